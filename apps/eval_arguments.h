// The command line of temper-eval.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "base/limits.h"
#include "data/segments.h"
#include "decoding.h"
#include "eval/evaluate.h"
#include "load_model.h"
#include "reward/reward.h"
#include "rollout/sampler.h"

namespace temper {

struct EvalArguments {
  std::vector<std::string> adapters;
  std::string score, segments;
  ModelArguments model;
  std::string environment, prefix, output, combine = "sum", chat_template = "auto", overlong = "error",
                                           special_tokens = "auto", targets = "auto";
  std::string speculation;
  std::vector<std::string> data, rewards, losses;
  std::vector<int64_t> budgets;
  int64_t limit = 0, max_tokens = 4096, threads = 0, max_batch = 64;
  uint64_t seed = 1;
  double temperature = -1;
  SamplingOptions sampling;
  EvalOptions eval;
  bool quiet = false;
};

inline void add_options(CLI::App& app, EvalArguments& a) {
  add_model_options(app, a.model);
  app.add_option("--adapter", a.adapters,
                 "an adapter folder that PEFT or Temper wrote: DIR or DIR@WEIGHT; several act together")
      ->type_size(1)
      ->allow_extra_args(false);
  app.add_option("--data", a.data, "JSONL with prompts and the columns that the rewards need");
  app.add_option(
      "--score", a.score,
      "in the place of --model and --data: JSONL with answers; writes its lines with what --reward "
      "says of them to --output or standard output");
  app.add_option("--segments", a.segments,
                 "with --score: each sentence or line of an answer on its own, as \"segments\"")
      ->check(CLI::IsMember(text_splits()));
  app.add_option("--loss", a.losses,
                 "JSONL of texts, completions or chats whose loss and perplexity are measured, FILE or "
                 "NAME=FILE; several, each on its own");
  app.add_option("--targets", a.targets, "--loss: of which tokens, as a run's data.targets [auto]")
      ->check(CLI::IsMember({"auto", "all", "assistant", "completion"}));
  app.add_option("--reward", a.rewards, "a reward's name, or an object as in a config: {\"kind\":\"math\"}")
      ->type_size(1)
      ->allow_extra_args(false);
  app.add_option(
      "--environment", a.environment,
      "who answers what the model writes, in conversations of several turns: a kind, or an object as in "
      "a config");
  app.add_option(
         "--budgets", a.budgets,
         "tokens of thinking, several: evaluates with each of them, by --environment budget [{\"kind\": "
         "\"budget\"}], and prints accuracy and regret over them")
      ->check(CLI::Range(int64_t{1}, kMaxCount));
  app.add_option("--combine", a.combine, "sum, product or min of several rewards, or the first that can tell")
      ->check(CLI::IsMember(reward_combinations()));
  app.add_option("--n", a.eval.samples, "answers a prompt")->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
  app.add_option("--k", a.eval.k, "k of pass@k and its kin; default: the powers of two up to --n")
      ->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
  app.add_option("--correct-by", a.eval.correct_by,
                 "the reward that says what is correct; default: the first that knows answers");
  app.add_option("--correct-above", a.eval.correct_above, "its score above which an answer is correct");
  app.add_flag("--diversity", a.eval.diversity,
               "also how different the answers to a prompt are: distinct and vendi; needs --n of at least 2");
  app.add_option("--output", a.output, "write every sample here, a line of JSON each");
  app.add_option("--temperature", a.temperature, "default: 0 (greedy) for --n 1, else 1")
      ->check(CLI::Range(0.0, 100.0));
  app.add_option("--top-k", a.sampling.top_k)->check(CLI::Range(int64_t{0}, kMaxCount));
  app.add_option("--top-p", a.sampling.top_p)->check(CLI::Range(0.0, 1.0));
  app.add_option("--min-p", a.sampling.min_p)->check(CLI::Range(0.0, 1.0));
  app.add_option("--typical-p", a.sampling.typical_p)->check(CLI::Range(0.0, 1.0));
  app.add_option("--epsilon-cutoff", a.sampling.epsilon_cutoff)->check(CLI::Range(0.0, 1.0));
  app.add_option("--eta-cutoff", a.sampling.eta_cutoff)->check(CLI::Range(0.0, 1.0));
  app.add_option("--mirostat-tau", a.sampling.mirostat_tau, "bits")->check(CLI::NonNegativeNumber);
  app.add_option("--mirostat-lr", a.sampling.mirostat_lr)->check(CLI::NonNegativeNumber);
  app.add_option("--repetition-penalty", a.sampling.repetition_penalty)->check(CLI::PositiveNumber);
  app.add_option("--presence-penalty", a.sampling.presence_penalty);
  app.add_option("--frequency-penalty", a.sampling.frequency_penalty);
  app.add_option("--min-new-tokens", a.sampling.min_new_tokens)->check(CLI::Range(int64_t{0}, kMaxCount));
  add_speculation_option(app, a.speculation);
  app.add_option("--stop", a.sampling.stop, "stop strings");
  app.add_option("--max-new-tokens", a.sampling.max_new_tokens)->check(CLI::Range(int64_t{1}, kMaxCount));
  app.add_option("--max-prompt-tokens", a.max_tokens, "longest prompt, or example of --loss; see --overlong")
      ->check(CLI::Range(int64_t{1}, kMaxCount));
  app.add_option("--overlong", a.overlong,
                 "a longer one: error, drop, or truncate (prompts from the left, examples from the right)")
      ->check(CLI::IsMember({"drop", "truncate", "error"}));
  app.add_option("--prefix", a.prefix, "text before every prompt, such as a control token");
  app.add_option("--ban", a.sampling.ban, "texts that may not appear in an answer");
  app.add_option("--limit", a.limit, "only the first records of the data, and of each file of --loss; 0: all")
      ->check(CLI::Range(int64_t{0}, kMaxCount));
  app.add_option("--batch", a.max_batch, "answers generated together")->check(CLI::Range(1, 1 << 20));
  app.add_option("--seed", a.seed);
  app.add_option("--template", a.chat_template, "auto, chatml, or a .jinja file");
  app.add_option("--special-tokens", a.special_tokens,
                 "special tokens that string prompts spell out, as a run's data.special_tokens [auto]")
      ->check(CLI::IsMember({"auto", "parse", "text"}));
  app.add_option("--threads", a.threads, "0: all cores")->check(CLI::Range(0, 4096));
  app.add_flag("--quiet", a.quiet, "warnings only");
}

}  // namespace temper
