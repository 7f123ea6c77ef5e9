// Which answers of groups are learnt: "data.select".
#include "base/error.h"
#include "data/groups.h"
#include "task/sft/config.h"
#include "train/config.h"

namespace temper {

bool SftTask::chooses() const {
  return select != nullptr || loss->make()->needs().group;
}

std::vector<Record> SftTask::chosen(const RunConfig& config, std::vector<Record> records,
                                    std::string* figures) const {
  if (!chooses()) return records;
  std::vector<Record> answers, out;
  bool rewards = false;
  for (Record& record : records) {
    const bool group = is_group(record);
    const bool scored = has_column(record.json, group ? "rewards" : "reward");
    rewards = rewards || scored;
    (group || (select && scored) ? answers : out).push_back(std::move(record));
  }
  if (answers.empty() && select)
    user_error("data.select: no record has \"completions\" with \"rewards\", or a \"reward\"");
  if (answers.empty()) return out;

  const std::string name = select ? select_name : rewards ? "all_above" : "all";
  const auto preset = select_registry().find(name)->make();
  SelectContext context{.seed = static_cast<uint64_t>(config.seed)};
  std::vector<Record> taken = (select ? *select : *preset).select(std::move(answers), context);
  std::string told;
  for (const auto& [figure, value] : context.figures)
    told += fmt::format("{}{} {}", told.empty() ? "" : ", ", figure, value);
  if (taken.empty()) {
    user_error(
        "data.select: {} takes none of the answers ({}); temper-inspect list selection {} has its fields",
        name, told, name);
  }
  if (figures != nullptr) *figures = fmt::format("{}: {}", name, told);
  out.insert(out.end(), std::make_move_iterator(taken.begin()), std::make_move_iterator(taken.end()));
  return out;
}

}  // namespace temper
