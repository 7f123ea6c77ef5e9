#include "base/error.h"
#include "data/select/rules.h"

namespace temper {

std::vector<AnswerGroup> rewarded_groups(const std::vector<Record>& records, const std::string& rule,
                                         SelectContext& context) {
  std::vector<AnswerGroup> groups = answer_groups(records);
  int64_t answers = 0, without = 0, asked = 0;
  for (AnswerGroup& group : groups) {
    for (const Record& answer : group.answers) asked += answer.json.contains("reward") ? 1 : 0;
    answers += static_cast<int64_t>(group.answers.size());
    without += static_cast<int64_t>(
        std::erase_if(group.answers, [](const Record& answer) { return !answer_reward(answer); }));
  }
  context.figures.emplace_back("prompts", static_cast<double>(groups.size()));
  context.figures.emplace_back("answers", static_cast<double>(answers));
  context.figures.emplace_back("without_reward", static_cast<double>(without));
  if (answers > 0 && asked == 0) {
    user_error(
        "{}: select.{} needs rewards, and none of the {} answers has one; temper-eval --score writes them, "
        "temper-generate --score with the answers",
        records[0].where(), rule, answers);
  }
  if (answers > 0 && without == answers) {
    user_error("{}: select.{}: the rewards of all {} answers are null, so there is nothing to choose by",
               records[0].where(), rule, answers);
  }
  std::erase_if(groups, [](const AnswerGroup& group) { return group.answers.empty(); });
  return groups;
}

}  // namespace temper
