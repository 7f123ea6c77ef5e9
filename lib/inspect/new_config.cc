#include "inspect/new_config.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/fields.h"
#include "base/json.h"
#include "data/records.h"
#include "model/load.h"
#include "task/registry.h"
#include "text/template.h"
#include "text/tokenizer.h"
#include "train/config.h"
#include "train/plan.h"

namespace temper {
namespace {

// What a task's line must be, and the rates that usually work for it.
struct TaskGuess {
  const char* task;
  std::vector<RecordKind> kinds;
  const char* lines;  // for people
  double full_lr, adapter_lr;
};

const std::vector<TaskGuess>& guesses() {
  using K = RecordKind;
  static const std::vector<TaskGuess> all = {
      {"sft",
       {K::kText, K::kPromptCompletion, K::kMessages},
       "{\"prompt\", \"completion\"}, {\"messages\"} or {\"text\"}",
       2e-5,
       2e-4},
      {"preference",
       {K::kPreference, K::kUnpaired},
       "{\"prompt\", \"chosen\", \"rejected\"} or {\"prompt\", \"completion\", \"label\"}",
       1e-6,
       1e-5},
      {"reward_model", {K::kPreference}, "{\"prompt\", \"chosen\", \"rejected\"}", 1e-5, 1e-4},
      {"rl",
       {K::kPrompt, K::kPromptCompletion},
       "{\"prompt\", ...} with what a reward reads, such as \"answer\"",
       1e-6,
       1e-5}};
  return all;
}

const TaskGuess& guess_for(const std::string& task) {
  std::string names;
  for (const TaskGuess& g : guesses()) {
    if (task == g.task) return g;
    names += (names.empty() ? "" : ", ") + std::string(g.task);
  }
  user_error("--new {}: expected one of {}", task, names);
}

// What the data is like, of up to kLooked records spread over it.
struct DataFacts {
  int64_t records = 0, longest = 0, most = 0;  // tokens: the longest, and what 99 of 100 do not exceed
  bool chats = false;
};

int64_t tokens_of(const RecordEncoder& encoder, const std::string& task, const Record& record) {
  const auto size = [](const Answer& a) {
    return static_cast<int64_t>(a.prompt.size() + a.completion.size());
  };
  if (task == "rl") return static_cast<int64_t>(encoder.prompt(record).size());
  if (task == "sft") return static_cast<int64_t>(encoder.supervised(record).ids.size());
  if (record_kind(record) == RecordKind::kUnpaired) return size(encoder.unpaired(record).first);
  const auto [chosen, rejected] = encoder.preference(record);
  return std::max(size(chosen), size(rejected));
}

DataFacts facts_of(const NewConfig& wanted, const TaskGuess& guess, const Tokenizer& tokenizer) {
  constexpr size_t kLooked = 2000;
  const std::vector<Record> records = DataSection().read(wanted.files);
  DataFacts out{static_cast<int64_t>(records.size())};
  const auto is_chat = [](const Json& json) {
    return std::any_of(json.begin(), json.end(), [](const Json& value) {
      return value.is_array() && !value.empty() && value[0].is_object() && value[0].contains("role");
    });
  };
  out.chats = std::any_of(records.begin(), records.end(), [&](const Record& r) { return is_chat(r.json); });
  std::unique_ptr<ChatTemplate> chat;
  if (out.chats || !tokenizer.chat_template().empty())
    chat = std::make_unique<ChatTemplate>(tokenizer.chat_template().empty() ? "chatml"
                                                                            : tokenizer.chat_template());
  const RecordEncoder encoder(tokenizer, chat.get(), {.max_tokens = 1 << 24, .overlong = "error"});
  std::vector<int64_t> lengths;
  const size_t step = std::max<size_t>(1, records.size() / kLooked);
  for (size_t i = 0; i < records.size(); i += step) {
    if (std::find(guess.kinds.begin(), guess.kinds.end(), record_kind(records[i])) == guess.kinds.end())
      user_error("{}: task \"{}\" learns from lines of {}", records[i].where(), wanted.task, guess.lines);
    lengths.push_back(tokens_of(encoder, wanted.task, records[i]));
  }
  std::sort(lengths.begin(), lengths.end());
  out.longest = lengths.back();
  out.most = lengths[static_cast<size_t>(0.99 * static_cast<double>(lengths.size() - 1))];
  return out;
}

// A reward that the records have a reference for.
Json reward_for(const NewConfig& wanted) {
  const Record first = DataSection().read({wanted.files.front()}).front();
  for (const char* column : {"answer", "solution", "ground_truth", "target"}) {
    if (!has_column(first.json, column)) continue;
    Json reward = {{"kind", "math"}};
    if (std::string(column) != "answer") reward["column"] = column;
    return reward;
  }
  user_error(
      "{}: no column says what a right answer is (looked for answer, solution, ground_truth, target); write "
      "the "
      "config by hand with a reward of \"temper-inspect list reward\"",
      first.where());
}

int64_t physical_memory_bytes() {
  return static_cast<int64_t>(sysconf(_SC_PHYS_PAGES)) * static_cast<int64_t>(sysconf(_SC_PAGESIZE));
}

double planned_gb(const Json& json, const std::string& where) {
  RunConfig config(task_registry());
  read_fields(config, json, where, "");
  resolve_run_config(config, "run");
  return plan_training(config)["memory"]["peak_bytes"].get<double>() / 1e9;
}

}  // namespace

std::string new_config(const NewConfig& wanted,
                       const std::function<std::string(const std::string&)>& written) {
  const TaskGuess& guess = guess_for(wanted.task);
  const auto tokenizer = Tokenizer::load(wanted.model);
  const int64_t positions = read_model_config(wanted.model).max_positions;
  const DataFacts data = facts_of(wanted, guess, *tokenizer);
  const auto rounded = [](int64_t tokens) { return (tokens + 63) / 64 * 64; };
  // All records, unless a few are much longer than the others.
  const int64_t max_tokens =
      std::min(positions, rounded(data.longest <= 2 * data.most ? data.longest : data.most));
  const bool rl = wanted.task == "rl";
  constexpr int64_t kBatch = 16, kPrompts = 8;
  const double epochs = rl || wanted.task != "sft" || data.records > 50000 ? 1 : data.records > 5000 ? 2 : 3;
  const auto steps = static_cast<int64_t>(
      std::ceil(epochs * 0.95 * static_cast<double>(data.records) / (rl ? kPrompts : kBatch)));

  Json json = {{"task", wanted.task},
               {"model", {{"path", wanted.model}}},
               {"data", {{"train", wanted.files}, {"max_tokens", max_tokens}}},
               {"train",
                {{"steps", std::max<int64_t>(1, steps)},
                 {"micro_batch_tokens", std::max<int64_t>(2048, max_tokens)}}}};
  if (rl) {
    json["rollout"] = {{"prompts_per_step", kPrompts},
                       {"group_size", 8},
                       {"max_new_tokens", std::min<int64_t>(256, positions - max_tokens)}};
    json["rewards"] = Json::array({reward_for(wanted)});
  } else {
    json["train"]["batch_size"] = kBatch;
  }
  const double room_gb = 0.8 * static_cast<double>(physical_memory_bytes()) / 1e9,
               full_gb = planned_gb(json, "--new");
  const bool full = full_gb < room_gb;
  if (!full) json["adapter"] = {{"kind", "lora"}, {"rank", 16}, {"alpha", 32}};
  const double gb = full ? full_gb : planned_gb(json, "--new");

  const auto text = [](const Json& value) { return dump_line(value); };
  std::string out =
      fmt::format("{{ // {} of {} on {} record{}. About {:.1f} GB, of which this machine has {:.0f}.\n",
                  wanted.task, wanted.model, data.records, data.records == 1 ? "" : "s", gb, room_gb / 0.8);
  const auto line = [&](const std::string& key, const Json& value, const std::string& comment) {
    out += fmt::format("  {}: {},{}\n", text(key), text(value), comment.empty() ? "" : "  // " + comment);
  };
  line("task", wanted.task, "");
  json["model"]["path"] = written(wanted.model);
  for (Json& file : json["data"]["train"]) file = written(file.get<std::string>());
  line("model", json["model"], "");
  if (full)
    line("adapter", {{"kind", "full"}}, "every weight; {\"kind\": \"lora\", \"rank\": 16} needs less memory");
  else
    line("adapter", json["adapter"],
         fmt::format("all weights would need {:.0f} GB; \"quantise\": \"nf4\" in model needs still less",
                     full_gb));
  json["data"]["eval_share"] = 0.05;
  if (data.chats && tokenizer->chat_template().empty()) json["data"]["template"] = "chatml";
  line("data", json["data"],
       max_tokens < data.longest
           ? fmt::format("the longest has {} tokens; longer ones than max_tokens are left out", data.longest)
           : fmt::format("the longest has {} tokens", data.longest));
  if (rl) {
    line("rollout", json["rollout"], "prompts a step, and answers to each");
    line("rewards", json["rewards"], "others: temper-inspect list reward");
    line("algorithm", {{"name", "grpo"}}, "others: temper-inspect list objective");
  }
  line("optimizer", {{"name", "adamw"}, {"lr", full ? guess.full_lr : guess.adapter_lr}},
       "try three: --sweep optimizer.lr=...");
  line("schedule", {{"name", "cosine"}, {"warmup", 0.05}}, "");
  Json train = json["train"];
  train.erase("steps");
  train["epochs"] = epochs;
  line("train", train, fmt::format("about {} steps", steps));
  Json eval = {{"every", std::max<int64_t>(1, steps / 10)}};
  if (rl) eval["limit"] = 100;
  line("eval", eval, "on the held-out share");
  line("checkpoint", {{"every", std::max<int64_t>(1, steps / 10)}, {"best", true}},
       "\"final\": \"best\" leaves the best evaluation's weights");
  out += fmt::format("  \"run\": {} }}\n", text(wanted.run));
  return out;
}

}  // namespace temper
