// temper-eval --score: rewards of answers that a file has, without a model that writes them.
#pragma once

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/signals.h"
#include "common.h"
#include "data/segments.h"
#include "reward/references.h"
#include "reward/stored.h"
#include "scored.h"

namespace temper {

struct ScoreFileArguments {
  std::string file, segments, output, model;  // model: a folder whose tokenizer counts tokens; may be empty
  std::vector<std::string> rewards;
  std::string combine;
  int64_t limit = 0;
  bool quiet = false;
};

// Writes the file's lines with their scores to --output, or else to standard output.
inline void score_file(const ScoreFileArguments& a) {
  if (a.rewards.empty()) user_error("--reward: expected one, such as --reward math");
  const std::vector<RewardEntry> entries = read_rewards(a.rewards, "--reward");
  RewardSet rewards(entries, a.combine);
  std::vector<Record> records = read_records({a.file});
  if (a.limit > 0 && records.size() > static_cast<size_t>(a.limit))
    records.resize(static_cast<size_t>(a.limit));
  for (const std::string& line : check_references(rewards, records, "--score")) log_warning("{}", line);
  std::unique_ptr<Tokenizer> tokenizer;
  if (!a.model.empty()) tokenizer = Tokenizer::load(a.model);

  Console console({.quiet = a.quiet});
  console.status(fmt::format("scoring {} lines", records.size()));
  const StopSignal stop;
  const StoredScoring how{a.segments, tokenizer.get(),
                          std::any_of(entries.begin(), entries.end(), counts_tokens)};
  const std::vector<Json> lines = score_stored(rewards, records, how, [&] {
    if (stop.pending() != 0) throw Interrupted(stop.pending());
  });
  console.status("");
  std::string out;
  for (const Json& line : lines) out += dump_line(line) + "\n";
  if (a.output.empty())
    print_text(out);
  else
    write_file_atomic(a.output, out);
}

}  // namespace temper
