// temper-generate's main mode: completions of a prompt or of a file of prompts.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapter/adapter_set.h"
#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/progress.h"
#include "common.h"
#include "conversing.h"
#include "data/formats/format.h"
#include "data/records.h"
#include "decoding.h"
#include "load_model.h"
#include "prompts.h"
#include "reward/references.h"
#include "rollout/constrained.h"
#include "rollout/engine.h"
#include "scored.h"
#include "selecting.h"
#include "teacher_cache.h"

namespace temper {

// What the command line says.
struct Settings {
  ModelArguments model;
  std::optional<std::string> prompt;
  std::string prefix, input, output, choice = "auto", overlong = "error", write = "records";
  std::string special_tokens = "auto";
  std::vector<std::string> adapters, score;
  std::string select;
  std::string environment;
  bool chat = false, ignore_end = false, logprobs = false, stats = false;
  int64_t n = 1, max_batch = 64, threads = 0;
  uint64_t seed = 1;
  SamplingOptions sampling;
  DecodingArguments decoding;
  CacheRequest cache;
};

// --select; none where it is not given.
inline std::vector<SelectorEntry> selectors_of(const Settings& s) {
  return read_selectors(s.select.empty() ? std::vector<std::string>() : std::vector{s.select}, "--select");
}

inline Json completion_json(const Completion& c, bool logprobs) {
  Json out{{"text", c.text}, {"finish", finish_name(c.finish)}, {"tokens", c.policy_tokens()}};
  if (c.conversation) out["conversation"] = c.conversation->messages;
  if (logprobs) out["ids"] = c.ids, out["logprobs"] = c.logp;
  if (c.log_weight) out["log_weight"] = *c.log_weight;
  return out;
}

inline std::vector<int64_t> prompt_of(const Record& record, const RecordEncoder& encoder) {
  const auto ids = record.json.find("ids");
  if (ids == record.json.end() || ids->is_null()) return encoder.prompt(record);
  const auto integer = [](const Json& id) { return id.is_number_integer(); };
  if (!ids->is_array() || ids->empty() || !std::all_of(ids->begin(), ids->end(), integer))
    user_error("{}: ids: expected an array of token ids, found {}", record.where(),
               dump_line(*ids).substr(0, 40));
  return ids->get<std::vector<int64_t>>();
}

// Each record's completions by the adapter that it names ("adapter": NAME, "" for the base), or by all of
// them.
inline std::vector<std::vector<Completion>> generate_with(
    AdapterSet& adapters, const std::vector<Record>& records, const std::vector<GenerateRequest>& requests,
    const std::function<std::vector<std::vector<Completion>>(const std::vector<GenerateRequest>&)>&
        generate) {
  std::vector<std::optional<std::string>> wanted;
  std::map<std::optional<std::string>, std::vector<size_t>> by_name;
  for (size_t i = 0; i < records.size(); ++i) {
    const auto name = records[i].json.find("adapter");
    std::optional<std::string> value;
    if (name != records[i].json.end() && !name->is_null()) {
      if (!name->is_string())
        user_error("{}: adapter: expected a name, found {}", records[i].where(), name->type_name());
      value = name->get<std::string>();
    }
    by_name[value].push_back(i);
  }
  std::vector<std::vector<Completion>> out(requests.size());
  for (const auto& [name, places] : by_name) {
    if (name) adapters.use(*name);
    std::vector<GenerateRequest> part;
    for (const size_t i : places) part.push_back(requests[i]);
    auto completions = generate(part);
    for (size_t k = 0; k < places.size(); ++k) out[places[k]] = std::move(completions[k]);
  }
  return out;
}

// One line a completion, as supervised training reads it.
inline std::string completion_lines(const std::vector<Record>& records,
                                    const std::vector<std::vector<Completion>>& completions) {
  std::string out;
  for (size_t i = 0; i < records.size(); ++i) {
    for (const Completion& c : completions[i])
      out += dump_line(c.conversation ? conversed(records[i], c.conversation->messages)
                                      : answered(records[i], c.text, c.finish != FinishReason::kLength)) +
             "\n";
  }
  return out;
}

// A line an answer, or a group of answers.
inline std::string lines_of(const std::vector<std::vector<Json>>& answers, bool groups) {
  std::string out;
  for (const std::vector<Json>& of_prompt : answers) {
    if (groups) out += dump_line(packed(of_prompt)) + "\n";
    for (const Json& line : groups ? std::vector<Json>() : of_prompt) out += dump_line(line) + "\n";
  }
  return out;
}

// Constrained texts that max_new_tokens cut before they were whole.
inline void tell_unfinished(const std::vector<std::vector<Completion>>& completions) {
  int64_t cut = 0, all = 0;
  for (const auto& of_prompt : completions) {
    for (const Completion& c : of_prompt) all += 1, cut += c.finish == FinishReason::kLength;
  }
  if (cut > 0)
    log_warning("{} of {} texts reached max_new_tokens before they were whole (\"finish\": \"length\")", cut,
                all);
}

// Completions of all records: JSON lines with --input or --output, else plain text; with --score or --write
// completions a line a response, with --write groups a line a prompt.
inline void complete(const Settings& s, Model& model, AdapterSet* adapters, const Tokenizer& tokenizer,
                     const ChatTemplate* chat, const EngineOptions& options) {
  std::vector<Record> records;
  std::vector<GenerateRequest> requests;
  if (s.input.empty())
    records.push_back({Json{{"prompt", *s.prompt}}, "--prompt", 1});
  else
    records = read_data({s.input});
  std::unique_ptr<RewardSet> rewards;
  if (!s.score.empty()) rewards = std::make_unique<RewardSet>(read_rewards(s.score, "--score"));
  if (rewards != nullptr) {
    for (const std::string& line : check_references(*rewards, records, "--input")) log_warning("{}", line);
  }
  const Conversing conversing(s.environment);
  conversing.demand_room(s.sampling.max_new_tokens);
  const int64_t max_tokens = model.config().max_positions;
  const RecordEncoder encoder(tokenizer, chat,
                              conversing.introduced({.max_tokens = max_tokens,
                                                     .overlong = s.overlong,
                                                     .special_tokens = s.special_tokens,
                                                     .prefix = s.prefix},
                                                    tokenizer, chat, records));
  for (const std::string& remark : encoder.remarks(records))
    log_warning("{}: {}", s.input.empty() ? "--prompt" : s.input, remark);
  const auto prompt = [&](const Record& record) { return prompt_of(record, encoder); };
  auto prompts = keep_fitting(records, max_tokens, prompt);
  conversing.open(records, prompts, encoder, s.seed);
  for (size_t i = 0; i < prompts.size(); ++i) {
    requests.push_back({std::move(prompts[i]), s.n, i});
    requests.back().constraint = record_constraint(s.sampling, records[i].json, records[i].where());
  }

  if (!s.decoding.find_skips.empty())
    return write_skips(s.decoding, model, tokenizer, requests, s.sampling, options);
  const auto searching = read_text_search(s.decoding.search, "--search");

  Console console;
  EngineProgress last;
  const auto start = std::chrono::steady_clock::now();
  const auto show = [&](const EngineProgress& p) {
    last = p;
    if (!s.input.empty()) console.status(fmt::format("{}/{} done, {} tokens", p.finished, p.total, p.tokens));
  };
  const auto work = [&](const std::vector<GenerateRequest>& part) {
    const auto conversations = conversing.begin(records, part, encoder, s.seed, {});
    EngineOptions engine = options;
    engine.respondent = conversations.get();
    engine.exact_weights = s.logprobs || s.write == "groups" || rewards != nullptr;
    return decode(model, tokenizer, part, s.sampling, engine, searching.get(), show);
  };
  auto completions = adapters == nullptr ? work(requests) : generate_with(*adapters, records, requests, work);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  console.status("");
  if (s.sampling.constrains()) tell_unfinished(completions);
  std::string out;
  const bool groups = s.write == "groups",
             answers = groups || (rewards != nullptr && s.write != "completions");
  ScoredAnswers scored = score_answers(rewards.get(), records, completions, encoder);
  if (!s.select.empty()) {
    keep_chosen(selectors_of(s).front(), rewards.get(), records, encoder, s.seed, completions, scored);
  }
  if (answers)
    out = lines_of(
        answer_lines(rewards.get(), scored, records, requests, completions, s.sampling.temperature), groups);
  else if (s.write == "completions")
    out = completion_lines(records, completions);
  for (size_t i = 0; !answers && s.write == "records" && i < records.size(); ++i) {
    Json list = Json::array();
    for (const Completion& c : completions[i]) list.push_back(completion_json(c, s.logprobs));
    records[i].json["completions"] = list;
    if (!s.input.empty() || !s.output.empty())
      out += dump_line(records[i].json) + "\n";
    else
      for (const Completion& c : completions[i]) out += c.text + "\n";
  }
  if (s.output.empty())
    print_text(out);
  else
    write_file_atomic(s.output, out);
  if (!s.stats) return;
  const Json stats{{"completions", last.finished},
                   {"tokens", last.tokens},
                   {"passes", last.passes},
                   {"drafted", last.drafted},
                   {"accepted", last.accepted},
                   {"seconds", seconds.count()},
                   {"peak_bytes", peak_memory_bytes()},
                   {"dtype", dtype_name(model.precision().compute)}};
  std::fprintf(stderr, "%s\n", dump_line(stats).c_str());
}

}  // namespace temper
