#include "env/budget.h"

#include <algorithm>

#include "base/error.h"

namespace temper {
namespace {

class Budget : public Environment {
 public:
  explicit Budget(const BudgetRules& rules) : rules_(rules), left_(rules.tokens), waits_left_(rules.waits) {}

  int64_t turn_tokens() const override { return thinking_ ? left_ : rules_.answer_tokens; }
  std::string turn_end() const override { return thinking_ ? rules_.end : std::string(); }

  Reply reply(const PolicyTurn& turn) override {
    if (!thinking_) return {.over = true};
    left_ -= turn.tokens;
    Reply out{.figures = {{"thinking_tokens", static_cast<double>(turn.tokens)}}};
    if (rules_.waits > 0) out.figures["waits"] = 0.0;
    if (turn.before_end && waits_left_ > 0 && left_ > 0) {
      --waits_left_;
      out.words = rules_.wait;
      out.drops_end = true;
      out.figures["waits"] = 1.0;
      return out;
    }
    thinking_ = false;
    const bool cut = !turn.before_end && turn.finish == FinishReason::kLength;
    out.figures["cut"] = cut ? 1.0 : 0.0;
    if (cut)
      out.words = rules_.time_up;
    else if (turn.before_end)
      out.goes_on = true;
    else
      out.over = true;
    return out;
  }

 private:
  const BudgetRules& rules_;
  bool thinking_ = true;
  int64_t left_, waits_left_;
};

class BudgetSource : public EnvironmentSource {
 public:
  explicit BudgetSource(BudgetRules rules) : rules_(std::move(rules)) {}
  std::unique_ptr<Environment> start(const ConversationStart&) override {
    return std::make_unique<Budget>(rules_);
  }

 private:
  BudgetRules rules_;
};

}  // namespace

void BudgetOptions::fields(FieldVisitor& v) {
  EnvironmentOptions::fields(v);
  v.field("tokens", rules.tokens,
          {.help = "of thinking, at most; then the answer is asked for", .unit = "tokens", .min = 1});
  v.field("end", rules.end, {.help = "words with which the policy ends its thinking"});
  v.field("time_up", rules.time_up,
          {.help = "put behind thinking that has not ended; special tokens in it become tokens"});
  v.field("answer_tokens", rules.answer_tokens,
          {.help = "of the answer, at most; 0: as many as there are left", .unit = "tokens", .min = 0});
  v.field("waits", rules.waits,
          {.help = "so many times the end of thinking is taken back, and `wait` put in its place",
           .min = 0,
           .max = 1000});
  v.field("wait", rules.wait, {.help = "words that keep the policy thinking"});
}

void BudgetOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  const auto words = [&](const char* name, const std::string& text) {
    if (text.empty()) problems.push_back(fmt::format("{}.{}: expected words, found none", where, name));
  };
  words("end", rules.end);
  words("time_up", rules.time_up);
  words("wait", rules.wait);
  if (rules.waits + 2 > max_turns) {
    problems.push_back(fmt::format("{}.max_turns: {} are fewer than the {} pieces of a thought with {} waits",
                                   where, max_turns, rules.waits + 2, rules.waits));
  }
  if (turn_tokens > 0)
    problems.push_back(fmt::format("{}.turn_tokens: give tokens and answer_tokens in its place", where));
}

std::unique_ptr<EnvironmentSource> BudgetOptions::make() const {
  return std::make_unique<BudgetSource>(rules);
}

}  // namespace temper
