// temper-generate --teacher-cache: a teacher's tokens, drawn at every target of a file, for distillation.
#pragma once

#include <CLI/CLI.hpp>
#include <string>

#include "base/log.h"
#include "common.h"
#include "data/formats/format.h"
#include "data/records.h"
#include "task/distill/teacher_cache.h"

namespace temper {

struct CacheRequest {
  std::string output;  // empty: none is written
  EncodeSettings encoding{.overlong = "drop"};
  CacheSettings settings;
};

inline void add_cache_options(CLI::App& app, CacheRequest& r) {
  const std::string group = "Teacher cache";
  app.add_option("--teacher-cache", r.output,
                 "write tokens drawn at every target of --input there, for sampled_kd")
      ->group(group);
  app.add_option("--draws", r.settings.draws, "draws a position [50]")
      ->check(CLI::Range(1, 1 << 20))
      ->group(group);
  app.add_option("--tau", r.settings.tau, "draw from softmax(logits)^tau [1]")
      ->check(CLI::Range(0.01, 100.0))
      ->group(group);
  app.add_option("--max-tokens", r.encoding.max_tokens, "as the run's data.max_tokens [1024]")
      ->check(CLI::Range(2, 1 << 30))
      ->group(group);
  app.add_option("--targets", r.encoding.targets, "as the run's data.targets [auto]")
      ->check(CLI::IsMember({"auto", "all", "assistant", "completion"}))
      ->group(group);
}

inline void check_cache_options(const CacheRequest& r, const std::string& input, const std::string& output) {
  if (r.output.empty()) return;
  if (input.empty() || !output.empty()) user_error("--teacher-cache goes with --input, and without --output");
  demand_output("--teacher-cache", r.output);
}

// chat_template: as it was asked for, --template.
inline void cache_teacher(const CacheRequest& r, uint64_t seed, const std::string& input,
                          const std::string& model_path, Model& model, const Tokenizer& tokenizer,
                          const ChatTemplate* chat, const std::string& chat_template) {
  const RecordEncoder encoder(tokenizer, chat, r.encoding);
  std::vector<Example> examples;
  int64_t longest = 0;
  const std::vector<Record> records = read_data({input});
  for (const Record& record : records) {
    Example example = encoder.supervised(record);
    longest = std::max(longest, static_cast<int64_t>(example.ids.size()));
    if (!example.ids.empty()) examples.push_back(std::move(example));
  }
  if (examples.empty()) user_error("{}: no example is within --max-tokens {}", input, r.encoding.max_tokens);
  if (longest > model.config().max_positions) {
    user_error("{}: {} positions, but {} has an example of {} tokens; lower --max-tokens", model_path,
               model.config().max_positions, input, longest);
  }
  if (examples.size() < records.size()) {
    log_warning("{} of {} examples are longer than --max-tokens {} and left out",
                records.size() - examples.size(), records.size(), r.encoding.max_tokens);
  }
  const CacheIdentity identity = cache_identity(tokenizer, examples, {input}, r.encoding, chat_template);
  CacheSettings settings = r.settings;
  settings.seed = seed;
  Console console;
  const uint64_t bytes = write_teacher_cache(
      r.output, model, model_path, examples, identity, settings,
      [&](int64_t done) { console.status(fmt::format("{}/{} examples", done, examples.size())); });
  console.status("");
  console.line(fmt::format("{}: {} draws at {} positions, {} bytes", r.output, r.settings.draws,
                           identity.positions, bytes));
}

}  // namespace temper
