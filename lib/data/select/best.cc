// Rules that keep answers by their rewards:
//   all        every answer, whatever its reward
//   all_above  every answer with a reward of at least `min`
//   best       of each prompt the answer of the highest reward, the first of equals; none if that is below
//   `min` top        of each prompt the `k` answers of the highest rewards, of at least `min`, after answers
//   that say the
//              same as one before them are dropped
#include <algorithm>
#include <set>

#include "base/error.h"
#include "data/select/rules.h"
#include "data/select/text.h"

namespace temper {
namespace {

struct AllAnswers : SelectOptions {
  void fields(FieldVisitor&) override {}
  std::vector<Record> select(std::vector<Record> in, SelectContext& context) const override {
    std::vector<Record> out;
    const std::vector<AnswerGroup> groups = answer_groups(in);
    for (const AnswerGroup& group : groups) out.insert(out.end(), group.answers.begin(), group.answers.end());
    context.figures.emplace_back("prompts", static_cast<double>(groups.size()));
    context.figures.emplace_back("selected", static_cast<double>(out.size()));
    return out;
  }
};

// What takes some of each prompt's answers, highest rewards first.
struct ByReward : SelectOptions {
  explicit ByReward(std::string name) : rule(std::move(name)) {}
  virtual std::vector<Record> of_group(std::vector<Record> answers) const = 0;
  std::vector<Record> select(std::vector<Record> in, SelectContext& context) const override {
    std::vector<Record> out;
    int64_t prompts = 0;
    for (AnswerGroup& group : rewarded_groups(in, rule, context)) {
      std::vector<Record> taken = of_group(std::move(group.answers));
      prompts += taken.empty() ? 0 : 1;
      out.insert(out.end(), std::make_move_iterator(taken.begin()), std::make_move_iterator(taken.end()));
    }
    context.figures.emplace_back("prompts_selected", static_cast<double>(prompts));
    context.figures.emplace_back("selected", static_cast<double>(out.size()));
    return out;
  }
  std::string rule;
};

void drop_below(std::vector<Record>& answers, std::optional<double> min) {
  if (min) std::erase_if(answers, [&](const Record& answer) { return *answer_reward(answer) < *min; });
}

struct AllAbove : ByReward {
  AllAbove() : ByReward("all_above") {}
  double min = kGoodReward;
  void fields(FieldVisitor& v) override {
    v.field("min", min, {.help = "smallest reward; 0.5 lies between rewards of 0 and 1"});
  }
  std::vector<Record> of_group(std::vector<Record> answers) const override {
    drop_below(answers, min);
    return answers;
  }
};

struct Best : ByReward {
  Best() : ByReward("best") {}
  std::optional<double> min;
  void fields(FieldVisitor& v) override {
    v.field("min", min,
            {.help = "a prompt whose best answer has a lower reward gives none; left out: any reward"});
  }
  std::vector<Record> of_group(std::vector<Record> answers) const override {
    const auto best = std::max_element(answers.begin(), answers.end(), [](const Record& a, const Record& b) {
      return *answer_reward(a) < *answer_reward(b);
    });
    std::vector<Record> out = {std::move(*best)};
    drop_below(out, min);
    return out;
  }
};

struct Top : ByReward {
  Top() : ByReward("top") {}
  int64_t k = 8;
  std::optional<double> min;
  std::string same = "exact";
  void fields(FieldVisitor& v) override {
    v.field("k", k, {.help = "most answers of a prompt", .min = 1});
    v.field("min", min, {.help = "smallest reward; left out: any"});
    v.field(
        "same", same,
        {.help =
             "answers that are dropped as said before: equal ones, those equal but for case and white space, "
             "or none",
         .choices = {"exact", "folded", "off"}});
  }
  std::vector<Record> of_group(std::vector<Record> answers) const override {
    std::set<std::string> seen;
    if (same != "off") {
      std::erase_if(answers,
                    [&](const Record& a) { return !seen.insert(text_key(answer_text(a), same)).second; });
    }
    drop_below(answers, min);
    std::stable_sort(answers.begin(), answers.end(),
                     [](const Record& a, const Record& b) { return *answer_reward(a) > *answer_reward(b); });
    answers.resize(std::min(answers.size(), static_cast<size_t>(k)));
    return answers;
  }
};

}  // namespace

std::unique_ptr<SelectOptions> select_all() {
  return std::make_unique<AllAnswers>();
}
std::unique_ptr<SelectOptions> select_all_above() {
  return std::make_unique<AllAbove>();
}
std::unique_ptr<SelectOptions> select_best() {
  return std::make_unique<Best>();
}
std::unique_ptr<SelectOptions> select_top() {
  return std::make_unique<Top>();
}

}  // namespace temper
