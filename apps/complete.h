// temper-generate's main mode: completions of a prompt or of a file of prompts.
#pragma once

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/log.h"
#include "base/memory.h"
#include "base/progress.h"
#include "data/records.h"
#include "rollout/engine.h"
#include "scored.h"
#include "teacher_cache.h"

namespace temper {

// What the command line says.
struct Settings {
  std::string model, adapter, prompt, prefix, input, output, choice = "auto", dtype = "auto", device = "cpu";
  std::vector<std::string> score;
  bool chat = false, ignore_end = false, logprobs = false, stats = false;
  int64_t n = 1, max_batch = 64, threads = 0;
  uint64_t seed = 1;
  SamplingOptions sampling;
  CacheRequest cache;
};

inline Json completion_json(const Completion& c, bool logprobs) {
  Json out{{"text", c.text}, {"finish", finish_name(c.finish)}, {"tokens", c.ids.size()}};
  if (logprobs) out["ids"] = c.ids, out["logprobs"] = c.logp;
  return out;
}

inline std::vector<int64_t> prompt_of(const Record& record, const RecordEncoder& encoder) {
  const auto ids = record.json.find("ids");
  if (ids == record.json.end()) return encoder.prompt(record);
  const auto integer = [](const Json& id) { return id.is_number_integer(); };
  if (!ids->is_array() || !std::all_of(ids->begin(), ids->end(), integer))
    user_error("{}: ids: expected an array of token ids, found {}", record.where(), ids->type_name());
  return ids->get<std::vector<int64_t>>();
}

// Completions of all records: JSON lines with --input or --output, else plain text; with --score a line a
// response.
inline void complete(const Settings& s, Model& model, const Tokenizer& tokenizer, const ChatTemplate* chat,
                     const EngineOptions& options) {
  std::vector<Record> records;
  std::vector<GenerateRequest> requests;
  if (s.input.empty())
    records.push_back({Json{{"prompt", s.prompt}}, "--prompt", 1});
  else
    records = read_jsonl({s.input});
  std::unique_ptr<RewardSet> rewards;
  if (!s.score.empty()) rewards = std::make_unique<RewardSet>(read_rewards(s.score, "--score"));
  for (const Record& record : records) {
    if (rewards != nullptr) rewards->check(record.json);
  }
  const RecordEncoder encoder(tokenizer, chat,
                              {.max_tokens = model.config().max_positions, .prefix = s.prefix});
  for (const Record& record : records) requests.push_back({prompt_of(record, encoder), s.n, requests.size()});

  Console console;
  EngineProgress last;
  const auto start = std::chrono::steady_clock::now();
  const auto show = [&](const EngineProgress& p) {
    last = p;
    if (!s.input.empty()) console.status(fmt::format("{}/{} done, {} tokens", p.finished, p.total, p.tokens));
  };
  const auto completions = generate(model, tokenizer, requests, s.sampling, options, show);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
  console.status("");
  std::string out;
  if (rewards != nullptr)
    out = scored_lines(*rewards, records, requests, completions, encoder, s.sampling.temperature);
  for (size_t i = 0; rewards == nullptr && i < records.size(); ++i) {
    Json list = Json::array();
    for (const Completion& c : completions[i]) list.push_back(completion_json(c, s.logprobs));
    records[i].json["completions"] = list;
    if (!s.input.empty() || !s.output.empty())
      out += dump_line(records[i].json) + "\n";
    else
      for (const Completion& c : completions[i]) out += c.text + "\n";
  }
  if (s.output.empty())
    std::fwrite(out.data(), 1, out.size(), stdout);
  else
    write_file_atomic(s.output, out);
  if (!s.stats) return;
  const Json stats{{"completions", last.finished},
                   {"tokens", last.tokens},
                   {"seconds", seconds.count()},
                   {"peak_bytes", peak_memory_bytes()},
                   {"dtype", dtype_name(model.precision().compute)}};
  std::fprintf(stderr, "%s\n", dump_line(stats).c_str());
}

}  // namespace temper
