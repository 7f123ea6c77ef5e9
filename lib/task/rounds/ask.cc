#include <algorithm>

#include "base/error.h"
#include "task/rounds/config.h"
#include "task/rounds/folder.h"
#include "task/rounds/generate.h"

namespace temper {

void AskOptions::fields(FieldVisitor& v) {
  v.field("model", model,
          {.help = "last: the one that was trained last; base: the one that the run starts from",
           .choices = {"last", "base"}});
  v.field("prompts", prompts,
          {.help = fmt::format("the phase whose lines are asked; left out: \"files\", or data.{}",
                               held_out ? "eval" : "train")});
  v.field("files", files, {.help = "JSONL files whose prompts are asked", .path = true});
  v.field("count", count,
          {.help = held_out ? "only the first so many prompts; 0: all"
                            : "prompts a round, others each round until all were asked; 0: all",
           .min = 0});
  v.field("ask", ask,
          {.help = "what is asked in the place of a record's prompt; {prompt} or {column} stands for what "
                   "the record has there"});
  v.field("prefix", prefix, {.help = "text before every prompt, such as a control token"});
  v.list("rewards", rewards, "what scores the completions of this phase, in the place of the run's rewards");
  if (!rewards.empty()) {
    v.field("combine", combine, {.help = "how they combine", .choices = reward_combinations()});
  }
}

void AskOptions::check_phase(const RunConfig& config, size_t index, const std::string& where,
                             std::vector<std::string>& problems) const {
  const auto& task = static_cast<const RoundsTask&>(*config.task);
  if (!prompts.empty() && !files.empty())
    problems.push_back(where + ".prompts: a phase, or \"files\"; give one of them");
  if (!prompts.empty()) task.check_names({prompts}, where + ".prompts", problems);
  const bool stored = held_out ? config.data.has_eval() : !config.data.train.empty() || config.data.make.on();
  if (prompts.empty() && files.empty() && !stored)
    problems.push_back(fmt::format("{}: has no prompts to ask; give data.{}, \"files\" or \"prompts\"", where,
                                   held_out ? "eval" : "train"));
  for (const RewardEntry& reward : scored_by(config)) {
    if (reward.reference_samples() > 0)
      problems.push_back(fmt::format(
          "{}: a transform of {} compares with answers of a run's initial model, which no phase samples; "
          "give their rewards as a column (\"reference\": \"column\"), or leave it out",
          where, reward.kind));
  }
}

const std::vector<RewardEntry>& AskOptions::scored_by(const RunConfig& config) const {
  return rewards.empty() ? config.rewards : rewards;
}

std::unique_ptr<RewardSet> AskOptions::make_rewards(const RunConfig& config) const {
  const std::vector<RewardEntry>& entries = scored_by(config);
  if (entries.empty()) return nullptr;
  return std::make_unique<RewardSet>(entries, rewards.empty() ? config.combine : combine);
}

std::string AskOptions::model_folder(const PhaseWork& w) const {
  return model == "base" ? w.config.model.path : w.done.last_model(w.config.model.path, w.round, w.index);
}

std::vector<Record> AskOptions::records(const PhaseWork& w) const {
  const DataSection& data = w.config.data;
  std::vector<Record> all;
  if (!prompts.empty()) {
    all = read_lines(w.done.lines(prompts, w.round, w.index));
    if (all.empty()) user_error("{}: phase \"{}\" left no lines to ask", w.where(), prompts);
  } else {
    const DataCache cache = data.data_cache();
    Records read = !files.empty() ? data.open(files, cache)
                   : held_out     ? data.eval_records(cache)
                                  : data.train_records(cache);
    data.adapt(read);
    all = std::move(read.held("the phase"));
  }
  if (count == 0 || count >= static_cast<int64_t>(all.size())) return all;
  if (held_out) {
    all.resize(static_cast<size_t>(count));
  } else {
    const RecordOrder order(static_cast<int64_t>(all.size()), static_cast<uint64_t>(w.config.seed),
                            "shuffle");
    std::vector<Record> drawn;
    const int64_t round = std::max<int64_t>(w.round, 1);
    for (int64_t i = 0; i < count; ++i) drawn.push_back(all[order.at((round - 1) * count + i)]);
    all = std::move(drawn);
  }
  return all;
}

std::vector<Record> AskOptions::asked(const RunConfig& config, std::vector<Record> records) const {
  if (ask.empty()) return records;
  for (Record& record : records) {
    const std::string text = fill_in(ask, record);
    record.json.erase("messages");
    record.json["prompt"] =
        config.data.chat_prompts ? Json::array({{{"role", "user"}, {"content", text}}}) : Json(text);
  }
  return records;
}

namespace {

std::string text_of(const Json& value) {
  if (value.is_string()) return value.get<std::string>();
  const bool chat = value.is_array() && !value.empty() && value.back().is_object();
  if (chat && value.back().contains("content") && value.back()["content"].is_string())
    return value.back()["content"].get<std::string>();
  return dump_line(value);
}

}  // namespace

std::string fill_in(const std::string& text, const Record& record) {
  std::string out;
  for (size_t at = 0; at < text.size(); ++at) {
    const bool doubled = at + 1 < text.size() && text[at + 1] == text[at];
    if (text[at] == '{' && !doubled) {
      const size_t end = text.find('}', at);
      if (end == std::string::npos) user_error("ask: \"{}\" has a {{ without its }}", text);
      const std::string column = text.substr(at + 1, end - at - 1);
      if (!has_column(record.json, column))
        user_error("{}: has no column \"{}\", which \"ask\" names", record.where(), column);
      out += text_of(record.json[column]);
      at = end;
      continue;
    }
    if ((text[at] == '{' || text[at] == '}') && doubled) ++at;
    out += text[at];
  }
  return out;
}

}  // namespace temper
