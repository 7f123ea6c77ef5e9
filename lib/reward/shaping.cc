#include "reward/shaping.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <set>
#include <unordered_map>

#include "base/error.h"

namespace temper {
namespace {

class Cosine : public Reward {
 public:
  explicit Cosine(const CosineOptions& o)
      : verifier_(o.verifier->make()),
        max_(static_cast<double>(o.max_tokens)),
        correct_{o.correct_short, o.correct_long},
        wrong_{o.wrong_short, o.wrong_long},
        above_(o.correct_above) {}

  std::vector<Score> score(const std::vector<RewardItem>& items) override {
    auto scores = verifier_->score(items);
    for (size_t i = 0; i < items.size(); ++i) {
      if (!scores[i].value) continue;
      const Ends& ends = *scores[i].value > above_ ? correct_ : wrong_;
      const double progress = std::min(static_cast<double>(items[i].tokens) / max_, 1.0);
      scores[i].value =
          ends.at_max + 0.5 * (ends.at_zero - ends.at_max) * (1.0 + std::cos(progress * std::numbers::pi));
    }
    return scores;
  }
  bool each_alone() const override { return verifier_->each_alone(); }
  std::optional<std::string> answer(const RewardItem& item) const override { return verifier_->answer(item); }
  bool knows_answers() const override { return verifier_->knows_answers(); }
  Json read(const RewardItem& item) const override { return verifier_->read(item); }
  bool external() const override { return verifier_->external(); }
  std::vector<std::string> outcomes() const override { return verifier_->outcomes(); }
  std::optional<std::string> check(const Json& columns) const override { return verifier_->check(columns); }
  void interrupt() override { verifier_->interrupt(); }
  std::optional<std::string> compared_as(const Json& columns) const override {
    return verifier_->compared_as(columns);
  }
  std::map<std::string, int64_t> counters() const override { return verifier_->counters(); }

 private:
  struct Ends {
    double at_zero, at_max;
  };
  std::unique_ptr<Reward> verifier_;
  double max_;
  Ends correct_, wrong_;
  double above_;
};

class Overlong : public Reward {
 public:
  explicit Overlong(const OverlongOptions& o) : max_(o.max_tokens), cache_(o.cache), penalty_(o.penalty) {}

  std::vector<Score> score(const std::vector<RewardItem>& items) override {
    std::vector<Score> scores;
    for (const RewardItem& item : items)
      scores.emplace_back(penalty_ * soft_overlong(item.tokens, max_, cache_));
    return scores;
  }
  bool each_alone() const override { return true; }

 private:
  int64_t max_, cache_;
  double penalty_;
};

class Repetition : public Reward {
 public:
  explicit Repetition(const RepetitionOptions& o)
      : n_(o.ngram), penalty_(o.penalty), words_(o.unit == "words") {}

  std::vector<Score> score(const std::vector<RewardItem>& items) override {
    std::vector<Score> scores;
    for (const RewardItem& item : items) {
      if (!words_ && item.ids == nullptr)
        user_error("reward repetition: unit \"tokens\" needs the completion's token ids; or count \"words\"");
      const double share = repeated_share(words_ ? word_ids(item.completion) : *item.ids);
      scores.emplace_back(share > 0 ? penalty_ * share : 0.0);
    }
    return scores;
  }
  bool each_alone() const override { return true; }

 private:
  double repeated_share(const std::vector<int64_t>& units) const {
    const auto n = static_cast<size_t>(n_);
    if (units.size() < n) return 0.0;
    const size_t total = units.size() - n + 1;
    const auto less = [&](size_t a, size_t b) {
      return std::lexicographical_compare(&units[a], &units[a] + n, &units[b], &units[b] + n);
    };
    std::set<size_t, decltype(less)> distinct(less);
    for (size_t i = 0; i < total; ++i) distinct.insert(i);
    return 1.0 - static_cast<double>(distinct.size()) / static_cast<double>(total);
  }

  // Words are what white space separates; each distinct one gets a number.
  static std::vector<int64_t> word_ids(const std::string& text) {
    constexpr const char* kWhite = " \t\r\n\v\f";
    std::unordered_map<std::string, int64_t> numbers;
    std::vector<int64_t> out;
    for (size_t begin = text.find_first_not_of(kWhite); begin != std::string::npos;) {
      const size_t end = std::min(text.find_first_of(kWhite, begin), text.size());
      out.push_back(numbers.emplace(text.substr(begin, end - begin), static_cast<int64_t>(numbers.size()))
                        .first->second);
      begin = text.find_first_not_of(kWhite, end);
    }
    return out;
  }

  int64_t n_;
  double penalty_;
  bool words_;
};

}  // namespace

double soft_overlong(int64_t tokens, int64_t max_tokens, int64_t cache) {
  if (tokens <= max_tokens - cache) return 0.0;
  if (tokens > max_tokens) return -1.0;
  return static_cast<double>(max_tokens - cache - tokens) / static_cast<double>(cache);
}

void CosineOptions::fields(FieldVisitor& v) {
  v.field("max_tokens", max_tokens,
          {.help = "length at which the score reaches its long end", .unit = "tokens", .min = 1});
  v.field("correct_short", correct_short, {.help = "score of a right answer at length 0"});
  v.field("correct_long", correct_long, {.help = "score of a right answer at max_tokens and beyond"});
  v.field("wrong_short", wrong_short, {.help = "score of a wrong answer at length 0"});
  v.field("wrong_long", wrong_long, {.help = "score of a wrong answer at max_tokens and beyond"});
  v.field("correct_above", correct_above, {.help = "the verifier's score above which an answer is right"});
  v.choice("verifier", "kind", verifier, verifier_kind, reward_registry(),
           "the reward that says what is right");
}

std::unique_ptr<Reward> CosineOptions::make() const {
  if (!verifier) bug("reward cosine: no verifier; its options were not read");
  return std::make_unique<Cosine>(*this);
}

void OverlongOptions::fields(FieldVisitor& v) {
  v.field("max_tokens", max_tokens,
          {.help = "longest completion, as in rollout.max_new_tokens",
           .unit = "tokens",
           .min = 1,
           .required = true});
  v.field("cache", cache,
          {.help = "the last tokens before max_tokens, over which the penalty grows",
           .unit = "tokens",
           .min = 0,
           .required = true});
  v.field("penalty", penalty, {.help = "what a completion beyond max_tokens loses", .min = 0});
}

void OverlongOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  if (cache > max_tokens)
    problems.push_back(where +
                       ".cache: is above max_tokens, so that even an empty completion would be punished");
}

std::unique_ptr<Reward> OverlongOptions::make() const {
  return std::make_unique<Overlong>(*this);
}

void RepetitionOptions::fields(FieldVisitor& v) {
  v.field("ngram", ngram, {.help = "length of the n-grams", .unit = "tokens or words", .min = 1});
  v.field("penalty", penalty, {.help = "score of a completion that only repeats itself", .max = 0});
  v.field("unit", unit, {.help = "what n-grams are made of", .choices = {"tokens", "words"}});
}

std::unique_ptr<Reward> RepetitionOptions::make() const {
  return std::make_unique<Repetition>(*this);
}

}  // namespace temper
