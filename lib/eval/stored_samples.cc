#include "eval/stored_samples.h"

#include <algorithm>
#include <map>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "base/limits.h"
#include "data/groups.h"
#include "eval/figures.h"
#include "eval/further.h"

namespace temper {
namespace {

// A column of a line, which must be there and of this type.
template <class T>
T column(const Record& line, const char* name, bool (Json::*is_type)() const noexcept, const char* type) {
  const auto found = line.json.find(name);
  if (found == line.json.end() || !((*found).*is_type)())
    user_error(
        "{}: \"{}\": expected {}, found {}; a line of samples is what temper-eval --output writes, or "
        "temper-generate --score",
        line.where(), name, type, found == line.json.end() ? "none" : dump_line(*found).substr(0, 40));
  return found->get<T>();
}

std::optional<double> number(const Record& line, const Json& json, const std::string& name) {
  if (json.is_null()) return std::nullopt;
  if (json.is_boolean()) return json.get<bool>() ? 1.0 : 0.0;
  if (!json.is_number())
    user_error("{}: {}: expected a number or null, found {}", line.where(), name,
               dump_line(json).substr(0, 40));
  return json.get<double>();
}

FinishReason finish_of(const Record& line) {
  const auto found = line.json.find("finish");
  if (found == line.json.end()) return FinishReason::kEnd;
  for (const FinishReason reason :
       {FinishReason::kEnd, FinishReason::kLength, FinishReason::kStop, FinishReason::kOpen})
    if (*found == finish_name(reason)) return reason;
  user_error("{}: finish: expected end, length or stop, found {}", line.where(),
             dump_line(*found).substr(0, 40));
}

// A line, before its rewards have places.
struct Line {
  EvalSample sample;
  std::string prompt;
  Json columns;
  std::optional<int64_t> number;  // of the sample, where the line says it
};

// A chat's prompt is its messages, as they are.
std::string prompt_of(const Record& line) {
  const auto found = line.json.find("prompt");
  if (found != line.json.end() && found->is_array()) return dump_line(*found);
  return column<std::string>(line, "prompt", &Json::is_string, "a text");
}

void read_completion(const Record& line, Completion& c) {
  const bool chat = has_column(line.json, "completion") && line.json["completion"].is_array() &&
                    is_chat_column(line, "completion");  // throws for what are no messages
  c.text = chat ? answer_text(line) : column<std::string>(line, "completion", &Json::is_string, "a text");
  c.raw_text = c.text;
  c.finish = finish_of(line);
  int64_t tokens = 0;
  if (has_column(line.json, "completion_ids")) {
    for (const Json& id : column<Json>(line, "completion_ids", &Json::is_array, "a list of token ids")) {
      if (!id.is_number_integer())
        user_error("{}: completion_ids: expected a list of token ids", line.where());
      c.ids.push_back(id.get<int64_t>());
    }
    tokens = static_cast<int64_t>(c.ids.size());
  } else if (has_column(line.json, "tokens")) {
    tokens = column<int64_t>(line, "tokens", &Json::is_number_integer, "a count");
    if (tokens < 0 || tokens > kMaxCount)
      user_error("{}: tokens: expected a count, found {}", line.where(), dump_line(line.json["tokens"]));
  }
  c.turns = {{0, tokens, c.finish}};
  if (!has_column(line.json, "messages") && !has_column(line.json, "environment")) return;
  c.conversation.emplace();
  if (has_column(line.json, "messages")) c.conversation->messages = line.json["messages"];
  if (!has_column(line.json, "environment")) return;
  const Json figures = column<Json>(line, "environment", &Json::is_object, "figures by name");
  for (const auto& [name, value] : figures.items()) {
    if (const auto figure = number(line, value, "environment." + name))
      c.conversation->figures[name] = *figure;
  }
}

Line read_line(const Record& line) {
  Line out;
  for (const char* one_of : {"budget", "round"})
    if (has_column(line.json, one_of))
      user_error(
          "{}: a sample of one of several evaluations, by \"{}\"; choose one of them, as by temper-eval --{} "
          "{}",
          line.where(), one_of, one_of, dump_line(line.json[one_of]));
  out.prompt = prompt_of(line);
  read_completion(line, out.sample.completion);
  const bool evaluated = line.json.contains("sample");
  if (evaluated) {
    out.number = column<int64_t>(line, "sample", &Json::is_number_integer, "a number from 0");
    out.columns = line.json.value("columns", Json(nullptr));
    column<Json>(
        line, "total",
        line.json.contains("total") && line.json["total"].is_null() ? &Json::is_null : &Json::is_number,
        "a number or null");
    out.sample.score.total = number(line, line.json["total"], "total");
    if (has_column(line.json, "correct"))
      out.sample.correct = column<bool>(line, "correct", &Json::is_boolean, "true, false or null");
    if (has_column(line.json, "answer"))
      out.sample.answer = column<std::string>(line, "answer", &Json::is_string, "a text or null");
  } else {
    out.columns = prompt_columns(line.json);
    out.sample.score.total = answer_reward(line);
  }
  return out;
}

// What the rewards said, by the names of all lines.
void read_rewards(const Record& line, const std::vector<std::string>& names, EvalResult& result,
                  EvalSample& sample) {
  const auto said = [&](const char* by, const std::string& name) -> const Json* {
    const auto all = line.json.find(by);
    if (all == line.json.end() || !all->is_object()) return nullptr;
    const auto one = all->find(name);
    return one == all->end() || one->is_null() ? nullptr : &*one;
  };
  for (size_t r = 0; r < names.size(); ++r) {
    Score score;
    if (const Json* value = said("rewards", names[r]))
      score.value = number(line, *value, "rewards." + names[r]);
    if (const Json* text = said("reward_texts", names[r]); text != nullptr && text->is_string())
      score.text = text->get<std::string>();
    if (const Json* outcome = said("reward_outcomes", names[r]); outcome != nullptr && outcome->is_string()) {
      score.outcome = outcome->get<std::string>();
      auto& known = result.outcomes[r];
      if (std::find(known.begin(), known.end(), score.outcome) == known.end()) known.push_back(score.outcome);
    }
    std::optional<double> counted = score.value;
    if (const Json* value = said("reward_transformed", names[r])) {
      counted = number(line, *value, "reward_transformed." + names[r]);
      result.transformed[r] = true;
    }
    sample.score.counted.push_back(counted);
    sample.score.parts.push_back(std::move(score));
  }
}

// The rewards that lines name, in the order in which they first stand.
std::vector<std::string> names_of(const std::vector<Record>& lines) {
  std::vector<std::string> out;
  std::set<std::string> known;
  for (const Record& line : lines) {
    const auto rewards = line.json.find("rewards");
    if (rewards == line.json.end() || !rewards->is_object()) continue;
    for (const auto& [name, value] : rewards->items())
      if (known.insert(name).second) out.push_back(name);
  }
  return out;
}

}  // namespace

int64_t StoredSamples::samples() const {
  std::vector<int64_t> counts(prompts.size());
  int64_t most = 0;
  for (const EvalSample& s : result.samples) most = std::max(most, ++counts[static_cast<size_t>(s.prompt)]);
  return most;
}

StoredSamples stored_samples(const std::vector<Record>& records) {
  const std::vector<Record> lines = unpacked(records);
  StoredSamples out;
  EvalResult& result = out.result;
  result.reward_names = names_of(lines);
  result.transformed.assign(result.reward_names.size(), false);
  result.outcomes.resize(result.reward_names.size());
  std::vector<Json> columns;
  std::map<std::string, size_t> open;  // the prompt that a line's words belong to
  std::vector<std::set<int64_t>> numbers;
  out.has_ids = true;
  for (const Record& record : lines) {
    Line line = read_line(record);
    const std::string key = dump_line(Json::array({line.prompt, line.columns}));
    auto found = open.find(key);
    if (found == open.end() || (line.number && numbers[found->second].count(*line.number) > 0)) {
      found = open.insert_or_assign(key, out.prompts.size()).first;
      out.prompts.push_back({{}, line.prompt, nullptr});
      columns.push_back(std::move(line.columns));
      numbers.emplace_back();
    }
    const size_t prompt = found->second;
    line.sample.prompt = static_cast<int64_t>(prompt);
    line.sample.sample = line.number.value_or(static_cast<int64_t>(numbers[prompt].size()));
    numbers[prompt].insert(line.sample.sample);
    read_rewards(record, result.reward_names, result, line.sample);
    out.judged = out.judged || line.number.has_value();
    out.scored = out.scored || line.number.has_value() || record.json.contains("reward");
    out.has_ids = out.has_ids && has_column(record.json, "completion_ids");
    result.votes = result.votes || line.sample.answer.has_value();
    result.samples.push_back(std::move(line.sample));
  }
  for (auto& outcomes : result.outcomes) std::sort(outcomes.begin(), outcomes.end());
  std::stable_sort(result.samples.begin(), result.samples.end(),
                   [](const EvalSample& a, const EvalSample& b) {
                     return std::pair(a.prompt, a.sample) < std::pair(b.prompt, b.sample);
                   });
  result.prompts = static_cast<int64_t>(out.prompts.size());
  out.columns = std::make_shared<const std::vector<Json>>(std::move(columns));
  for (size_t p = 0; p < out.prompts.size(); ++p) {
    const Json& of_prompt = (*out.columns)[p];
    if (of_prompt.is_object()) out.prompts[p].columns = &of_prompt;
  }
  return out;
}

void keep_first(StoredSamples& stored, int64_t prompts) {
  if (prompts == 0 || stored.result.prompts <= prompts) return;
  std::erase_if(stored.result.samples, [&](const EvalSample& sample) { return sample.prompt >= prompts; });
  stored.prompts.resize(static_cast<size_t>(prompts));
  stored.result.prompts = prompts;
}

void demand_scores(const StoredSamples& stored) {
  if (!stored.scored)
    user_error(
        "samples: the answers have no \"reward\"; temper-eval --output writes such, and --reward NAME scores "
        "these");
}

void judge_stored(StoredSamples& stored, const EvalOptions& options) {
  const std::string& by = options.correct_by;
  if (!by.empty())
    judge(stored.result, reward_index(stored.result.reward_names, by, "correct_by"), options.correct_above);
  else if (!stored.judged)
    judge(stored.result, -1, options.correct_above);
}

namespace {

void demand_ids(const StoredSamples& stored, const EvalOptions& options) {
  if (options.diversity && !stored.has_ids)
    user_error(
        "diversity: the samples have no \"completion_ids\"; temper-eval --diversity --output writes them");
}

}  // namespace

void measure_stored(StoredSamples& stored, EvalOptions options) {
  EvalResult& result = stored.result;
  options.samples = stored.samples();
  demand_ids(stored, options);
  demand_scores(stored);
  judge_stored(stored, options);
  // What the lines say is by no reward that they name.
  const int64_t correct_by =
      options.correct_by.empty() ? -1 : reward_index(result.reward_names, options.correct_by, "correct_by");
  check_further(result.reward_names, correct_by, stored.prompts, options);
  measure(result, stored.prompts, options);
}

void rescore_stored(StoredSamples& stored, RewardSet& rewards, EvalOptions options) {
  options.samples = stored.samples();
  demand_ids(stored, options);
  for (const EvalPrompt& prompt : stored.prompts) {
    if (prompt.columns == nullptr)
      user_error("rewards: a sample has no \"columns\", in which they look for references; its prompt is {}",
                 dump_line(prompt.text).substr(0, 60));
  }
  std::vector<std::vector<Completion>> completions(stored.prompts.size());
  for (EvalSample& sample : stored.result.samples)
    completions[static_cast<size_t>(sample.prompt)].push_back(std::move(sample.completion));
  eval_requests(stored.prompts, rewards, options);  // for what it checks
  stored.result = score_completions(stored.prompts, std::move(completions), rewards, options);
  stored.judged = stored.scored = true;
}

}  // namespace temper
