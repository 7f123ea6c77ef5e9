#include "env/attempts.h"

#include <mutex>

#include "base/error.h"

namespace temper {
namespace {

// The verifier, which conversations ask one after the other.
class Judge {
 public:
  explicit Judge(std::unique_ptr<Reward> verifier) : verifier_(std::move(verifier)) {}
  const Reward& reward() const { return *verifier_; }
  void interrupt() { verifier_->interrupt(); }

  std::optional<double> score(const RewardItem& item) {
    const std::lock_guard lock(mutex_);
    return verifier_->score({item}).front().value;
  }
  // Whether the item gives an answer at all; a verifier that knows no answers cannot tell, and takes any.
  bool answers(const RewardItem& item) const {
    return !verifier_->knows_answers() || verifier_->answer(item).has_value();
  }

 private:
  std::mutex mutex_;
  std::unique_ptr<Reward> verifier_;
};

std::string with_left(std::string text, int64_t left) {
  const std::string mark = "{left}";
  for (size_t at = 0; (at = text.find(mark, at)) != std::string::npos;)
    text.replace(at, mark.size(), std::to_string(left));
  return text;
}

class Attempts : public Environment {
 public:
  Attempts(const AttemptsRules& rules, Judge& judge, const Record& record, int64_t allowed)
      : rules_(rules), judge_(judge), record_(record), allowed_(allowed) {}

  Reply reply(const PolicyTurn& turn) override {
    ++made_;
    const RewardItem item{.completion = turn.text,
                          .raw_completion = turn.raw_text,
                          .columns = &record_.json,
                          .tokens = turn.tokens,
                          .truncated = turn.finish == FinishReason::kLength};
    const bool answers = judge_.answers(item);
    const std::optional<double> score = answers ? judge_.score(item) : 0.0;
    if (!score) return {.over = true};  // the reference cannot be read
    answered_ = answered_ || answers;
    const bool right = *score > rules_.correct_above;
    if (!right && made_ < allowed_ && !turn.last) {
      const std::string text = with_left(answers ? rules_.feedback : rules_.no_answer, allowed_ - made_);
      return {.messages = {{{"role", "user"}, {"content", text}}},
              .state = fmt::format("{} left", allowed_ - made_)};
    }
    return end(right);
  }
  Reply cut() override { return end(false); }

 private:
  Reply end(bool right) const {
    Reply out{.over = true, .reward = right ? rules_.right : answered_ ? rules_.wrong : rules_.unanswered};
    for (int64_t k = 1; k <= allowed_; ++k)
      out.figures[fmt::format("solved_in_{}", k)] = right && made_ <= k ? 1.0 : 0.0;
    return out;
  }

  const AttemptsRules& rules_;
  Judge& judge_;
  const Record& record_;
  int64_t allowed_, made_ = 0;
  bool answered_ = false;
};

class AttemptsSource : public EnvironmentSource {
 public:
  AttemptsSource(const AttemptsRules& rules, std::unique_ptr<Reward> verifier)
      : rules_(rules), judge_(std::move(verifier)) {}

  std::unique_ptr<Environment> start(const ConversationStart& start) override {
    // One number for all of a group, whose rewards are compared.
    RandomStream random(start.group_seed, "attempts");
    const bool drawn = rules_.random && !start.held_out;
    const int64_t allowed =
        drawn ? 1 + static_cast<int64_t>(random.below(static_cast<uint64_t>(rules_.attempts)))
              : rules_.attempts;
    return std::make_unique<Attempts>(rules_, judge_, start.record, allowed);
  }
  std::optional<std::string> check(const Record& record) const override {
    return judge_.reward().check(record.json);
  }
  bool external() const override { return judge_.reward().external(); }
  void interrupt() override { judge_.interrupt(); }

 private:
  AttemptsRules rules_;
  Judge judge_;
};

}  // namespace

void AttemptsOptions::fields(FieldVisitor& v) {
  EnvironmentOptions::fields(v);
  v.field("attempts", rules.attempts,
          {.help = "attempts that a conversation may have", .min = 1, .max = 1000});
  v.field("random", rules.random,
          {.help = "in training each conversation has 1 to that many, equally likely"});
  v.choice("verifier", "kind", verifier, verifier_kind, reward_registry(),
           "what says whether an answer is right");
  v.field("correct_above", rules.correct_above, {.help = "the verifier's score above which it is"});
  v.field("right", rules.right, {.help = "reward of a right answer"});
  v.field("wrong", rules.wrong, {.help = "reward when answers were given and none was right"});
  v.field("unanswered", rules.unanswered, {.help = "reward when no answer was given"});
  v.field("feedback", rules.feedback, {.help = "what is said to a wrong answer; {left}: attempts left"});
  v.field("no_answer", rules.no_answer, {.help = "what is said to a turn without an answer"});
}

void AttemptsOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  if (rules.attempts > max_turns)
    problems.push_back(
        fmt::format("{}.max_turns: {} are fewer than the {} attempts", where, max_turns, rules.attempts));
}

std::unique_ptr<EnvironmentSource> AttemptsOptions::make() const {
  return std::make_unique<AttemptsSource>(rules, verifier->make());
}

}  // namespace temper
