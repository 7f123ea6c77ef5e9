// temper-eval --samples and --compare: figures of samples that a file has, without a model.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/file.h"
#include "base/log.h"
#include "base/signals.h"
#include "common.h"
#include "eval/compare_samples.h"
#include "eval/select/selected.h"
#include "eval/stored_samples.h"
#include "eval_arguments.h"
#include "reward/stored.h"
#include "scored.h"

namespace temper {

// What of the command line goes together. Throws UserError.
inline void check_modes(const EvalArguments& a) {
  const bool drawn = !a.data.empty() || !a.losses.empty() || !a.choices.empty() || !a.environment.empty() ||
                     !a.budgets.empty() || !a.adapters.empty();
  for (const auto& [mode, given] : {std::pair{"--score", !a.score.empty()},
                                    {"--samples", !a.samples.empty()},
                                    {"--compare", !a.compare.empty()}})
    if (given && drawn)
      user_error("{}: goes with none of --data, --loss, --choices, --environment, --budgets and --adapter",
                 mode);
  if (!a.score.empty() + !a.samples.empty() + !a.compare.empty() > 1)
    user_error("give one of --score, --samples and --compare");
  if (a.rethink > 0 && (a.data.empty() || !a.environment.empty() || !a.budgets.empty()))
    user_error(
        "--rethink: asks the questions of --data again, and goes with neither --environment nor --budgets");
  if (!a.search.empty() && (a.data.empty() || a.eval.samples > 1 || !a.speculation.empty() ||
                            !a.environment.empty() || !a.budgets.empty() || a.sampling.constrains()))
    user_error(
        "--search: finds one answer to each prompt of --data by the model's own probabilities, and goes with "
        "none of --n above 1, --speculation, --environment, --budgets and a constraint such as --regex");
  read_text_search(a.search, "--search");  // before the long part
  if (!a.select.empty() && (!a.score.empty() || !a.compare.empty() || !a.budgets.empty()))
    user_error(
        "--select: chooses among samples, of --data or --samples; it goes with none of --score, --compare "
        "and "
        "--budgets");
  read_selectors(a.select, "--select");  // before the long part
  if (!a.compare.empty() && (!a.rewards.empty() || !a.output.empty()))
    user_error(
        "--compare: goes with none of --reward and --output; --samples FILE --reward scores a file anew");
  if (!a.output.empty() && !a.choices.empty() && (a.choices.size() > 1 || !a.data.empty()))
    user_error("--output: has the samples of --data, or of one file of --choices");
  if ((a.round > 0 || a.budget > 0) && a.samples.empty() && a.compare.empty())
    user_error("--round and --budget: choose among the lines of --samples or --compare");
  if (!a.segments.empty() && a.score.empty()) user_error("--segments: goes with --score FILE");
  if (a.eval.diversity && a.samples.empty() && a.eval.samples < 2)
    user_error("--diversity: compares the answers to a prompt, found --n {}; give --n 2 or more",
               a.eval.samples);
}

// The samples of a file, of the round and budget that are asked for.
inline StoredSamples read_samples(const EvalArguments& a, const std::string& file) {
  std::vector<Record> lines = read_records({file});
  for (const auto& [column, wanted] : {std::pair{"round", a.round}, {"budget", a.budget}}) {
    if (wanted == 0) continue;
    std::erase_if(lines, [&, column = column, wanted = wanted](const Record& line) {
      const auto found = line.json.find(column);
      return found == line.json.end() || *found != wanted;
    });
    if (lines.empty()) user_error("--{} {}: {} has no samples of it", column, wanted, file);
    for (Record& line : lines) line.json.erase(column);
  }
  return stored_samples(lines);
}

// The figures of a file of samples; with --reward, of what these say of them. lines: the samples anew.
inline Json stored_figures(const EvalArguments& a, std::string& lines) {
  StoredSamples stored = read_samples(a, a.samples);
  keep_first(stored, a.limit);
  if (!a.rewards.empty()) {
    const std::vector<RewardEntry> entries = read_rewards(a.rewards, "--reward");
    if (!stored.has_ids && std::any_of(entries.begin(), entries.end(), counts_tokens))
      user_error("--samples {}: a reward counts tokens, and the lines have no \"completion_ids\"", a.samples);
    RewardSet rewards(entries, a.combine);
    rescore_stored(stored, rewards, a.eval);
  } else {
    measure_stored(stored, a.eval);
  }
  if (!a.select.empty()) {
    EvalOptions options = a.eval;
    options.samples = stored.samples();
    const StopSignal stop;
    select_answers(read_selectors(a.select, "--select"), stored.prompts, options, stored.result,
                   {a.seed, [&] {
                      if (stop.pending() != 0) throw Interrupted(stop.pending());
                    }});
  }
  for (const EvalSample& sample : stored.result.samples)
    lines += dump_line(stored.result.sample_json(sample, stored.prompts, stored.has_ids)) + "\n";
  return stored.result.to_json();
}

inline Json compared_files(const EvalArguments& a) {
  StoredSamples first = read_samples(a, a.compare[0]), second = read_samples(a, a.compare[1]);
  EvalOptions judged;
  judged.correct_by = a.eval.correct_by, judged.correct_above = a.eval.correct_above;
  for (StoredSamples* stored : {&first, &second}) {
    keep_first(*stored, a.limit);
    demand_scores(*stored);
    judge_stored(*stored, judged);
  }
  Json out = {{"a", a.compare[0]}, {"b", a.compare[1]}};
  out.update(compare_samples(first, second, a.eval.level, a.seed));
  const Json& prompts = out["prompts"];
  if (prompts["only_a"] != 0 || prompts["only_b"] != 0)
    log_warning("--compare: {} prompts of A and {} of B are not among the other's and left out",
                prompts["only_a"].dump(), prompts["only_b"].dump());
  return out;
}

}  // namespace temper
