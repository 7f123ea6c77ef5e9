// difficulty: keeps the records of prompts whose answers' mean reward is within [low, high]; the records stay
// as they are. Prompts without any reward are left out.
#include <map>

#include "base/error.h"
#include "data/select/rules.h"

namespace temper {
namespace {

struct Difficulty : SelectOptions {
  double low = 0.2, high = 0.8;

  void fields(FieldVisitor& v) override {
    v.field("low", low, {.help = "smallest mean reward of a prompt's answers; those below are too hard"});
    v.field("high", high, {.help = "largest mean reward; those above are too easy"});
  }
  void check(std::vector<std::string>& problems, const std::string& where) const override {
    if (low > high) problems.push_back(where + ".low: is above high");
  }

  std::vector<Record> select(std::vector<Record> in, SelectContext& context) const override {
    int64_t hard = 0, easy = 0;
    std::map<std::string, bool> keeps;  // of each prompt
    for (const AnswerGroup& group : rewarded_groups(in, "difficulty", context)) {
      double sum = 0;
      for (const Record& answer : group.answers) sum += *answer_reward(answer);
      const double mean = sum / static_cast<double>(group.answers.size());
      hard += mean < low ? 1 : 0;
      easy += mean > high ? 1 : 0;
      keeps[group.answers[0].json["prompt"].dump()] = mean >= low && mean <= high;
    }
    std::vector<Record> out;
    for (Record& record : in) {
      if (keeps[answers_of(record)[0].json["prompt"].dump()]) out.push_back(std::move(record));
    }
    context.figures.emplace_back("too_hard", static_cast<double>(hard));
    context.figures.emplace_back("too_easy", static_cast<double>(easy));
    context.figures.emplace_back("selected", static_cast<double>(out.size()));
    return out;
  }
};

}  // namespace

std::unique_ptr<SelectOptions> select_difficulty() {
  return std::make_unique<Difficulty>();
}

}  // namespace temper
