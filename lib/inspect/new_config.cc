#include "inspect/new_config.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <memory>

#include "base/error.h"
#include "base/fields.h"
#include "base/json.h"
#include "model/load.h"
#include "task/registry.h"
#include "text/template.h"
#include "text/tokenizer.h"
#include "train/config.h"
#include "train/first_config.h"
#include "train/plan.h"

namespace temper {
namespace {

FirstConfig guess_for(const std::string& task) {
  if (const auto* entry = task_registry().find(task)) {
    if (const auto guess = entry->make()->first_config()) return *guess;
  }
  std::string names;
  for (const auto& entry : task_registry().entries())
    if (entry.make()->first_config()) names += (names.empty() ? "" : ", ") + entry.name;
  user_error("--new {}: expected one of {}", task, names);
}

// What the data is like, by up to kLooked records spread over it.
struct DataFacts {
  int64_t records = 0, longest = 0, most = 0;  // tokens: the longest, and what 99 of 100 do not exceed
  bool chats = false;
  Record first;
};

bool is_chat(const Json& record) {
  return std::any_of(record.begin(), record.end(), [](const Json& value) {
    return value.is_array() && !value.empty() && value[0].is_object() && value[0].contains("role");
  });
}

DataFacts facts_of(const NewConfig& wanted, const FirstConfig& guess, const Tokenizer& tokenizer) {
  constexpr size_t kLooked = 2000;
  const std::vector<Record> records = DataSection().read(wanted.files);
  DataFacts out{.records = static_cast<int64_t>(records.size()), .first = records.front()};
  out.chats = std::any_of(records.begin(), records.end(), [](const Record& r) { return is_chat(r.json); });
  const std::string own = tokenizer.chat_template();
  std::unique_ptr<ChatTemplate> chat;
  if (out.chats || !own.empty()) chat = std::make_unique<ChatTemplate>(own.empty() ? "chatml" : own);
  const RecordEncoder encoder(tokenizer, chat.get(), {.max_tokens = 1 << 24, .overlong = "error"});
  std::vector<int64_t> lengths;
  const size_t step = std::max<size_t>(1, records.size() / kLooked);
  for (size_t i = 0; i < records.size(); i += step) {
    if (std::find(guess.kinds.begin(), guess.kinds.end(), record_kind(records[i])) == guess.kinds.end())
      user_error("{}: task \"{}\" learns from lines of {}", records[i].where(), wanted.task, guess.lines);
    lengths.push_back(guess.tokens(encoder, records[i]));
  }
  std::sort(lengths.begin(), lengths.end());
  out.longest = lengths.back();
  out.most = lengths[static_cast<size_t>(0.99 * static_cast<double>(lengths.size() - 1))];
  return out;
}

double physical_memory_gb() {
  return static_cast<double>(sysconf(_SC_PHYS_PAGES)) * static_cast<double>(sysconf(_SC_PAGESIZE)) / 1e9;
}

struct Planned {
  double gb = 0;
  int64_t steps = 0;
};

Planned planned(const Json& json) {
  RunConfig config(task_registry());
  read_fields(config, json, "--new", "");
  resolve_run_config(config, "run");
  return {plan_training(config)["memory"]["peak_bytes"].get<double>() / 1e9, config.train.steps};
}

}  // namespace

std::string new_config(const NewConfig& wanted,
                       const std::function<std::string(const std::string&)>& written) {
  const FirstConfig guess = guess_for(wanted.task);
  const auto tokenizer = Tokenizer::load(wanted.model);
  const int64_t positions = read_model_config(wanted.model).max_positions;
  const DataFacts data = facts_of(wanted, guess, *tokenizer);
  // All records, unless a few are much longer than the others.
  const int64_t wide = data.longest <= 2 * data.most ? data.longest : data.most;
  const int64_t max_tokens = std::min(positions, (wide + 63) / 64 * 64);
  const int64_t epochs = std::min<int64_t>(guess.most_epochs, data.records > 50000  ? 1
                                                              : data.records > 5000 ? 2
                                                                                    : 3);

  // As it is planned with here, in full; below as it is written.
  Json json = {{"task", wanted.task},
               {"model", {{"path", wanted.model}}},
               {"data", {{"train", wanted.files}, {"max_tokens", max_tokens}, {"eval_share", 0.05}}},
               {"train", {{"epochs", epochs}, {"micro_batch_tokens", std::max<int64_t>(2048, max_tokens)}}}};
  if (data.chats && tokenizer->chat_template().empty()) json["data"]["template"] = "chatml";
  FirstConfig::Sections sections;
  if (guess.sections) sections = guess.sections(data.first, max_tokens, positions);
  for (const auto& [section, comment] : sections) json[section.first] = section.second;
  const double room_gb = 0.8 * physical_memory_gb();
  const Planned whole = planned(json);
  const bool full = whole.gb < room_gb;
  json["adapter"] = full ? Json{{"kind", "full"}} : Json{{"kind", "lora"}, {"rank", 16}, {"alpha", 32}};
  const Planned plan = full ? whole : planned(json);

  std::string out = fmt::format("{{ // {} of {} on {} records. About {:.1f} GB of this machine's {:.0f}.\n",
                                wanted.task, wanted.model, data.records, plan.gb, physical_memory_gb());
  const auto line = [&](const std::string& key, const Json& value, const std::string& comment = "") {
    out += fmt::format("  {}: {},{}\n", dump_line(key), dump_line(value),
                       comment.empty() ? "" : "  // " + comment);
  };
  json["model"]["path"] = written(wanted.model);
  for (Json& file : json["data"]["train"]) file = written(file.get<std::string>());
  line("task", wanted.task);
  line("model", json["model"]);
  line("adapter", json["adapter"],
       full ? "every weight; {\"kind\": \"lora\", \"rank\": 16} needs less memory"
            : fmt::format("all weights would need {:.0f} GB; \"quantise\": \"nf4\" in model needs still less",
                          whole.gb));
  line("data", json["data"],
       fmt::format("the longest record has {} tokens{}", data.longest,
                   max_tokens < data.longest ? "; longer ones than max_tokens are left out" : ""));
  for (const auto& [section, comment] : sections) line(section.first, section.second, comment);
  line("optimizer", {{"name", "adamw"}, {"lr", full ? guess.full_lr : guess.adapter_lr}},
       "several: --sweep optimizer.lr=...");
  line("schedule", {{"name", "cosine"}, {"warmup", 0.05}});
  line("train", json["train"], fmt::format("{} steps", plan.steps));
  const int64_t every = std::max<int64_t>(1, plan.steps / 10);
  line("eval", {{"every", every}, {"limit", 200}}, "on the held-out share");
  line("checkpoint", {{"every", every}, {"best", true}},
       "\"final\": \"best\" leaves the best evaluation's weights");
  out += fmt::format("  \"run\": {} }}\n", dump_line(wanted.run));
  return out;
}

}  // namespace temper
