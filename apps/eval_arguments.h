// The command line of temper-eval.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>
#include <vector>

#include "base/limits.h"
#include "data/benchmarks.h"
#include "data/segments.h"
#include "decoding.h"
#include "eval/evaluate.h"
#include "load_model.h"
#include "reward/reward.h"
#include "rollout/sampler.h"

namespace temper {

struct EvalArguments {
  std::vector<std::string> adapters;
  std::string score, segments, samples, page;
  std::vector<std::string> compare;  // two files, or none
  ModelArguments model;
  std::string format = "jsonl", choice_form = "text", prior = "Answer:";
  std::string environment, prefix, output, combine = "sum", chat_template = "auto", overlong = "error",
                                           special_tokens = "auto", targets = "auto";
  std::string speculation, search;
  std::vector<std::string> data, rewards, losses, choices, select;
  std::vector<int64_t> budgets;
  int64_t limit = 0, max_tokens = 4096, threads = 0, max_batch = 0, rethink = 0, round = 0, budget = 0;
  uint64_t seed = 1;
  SamplingOptions sampling;
  EvalOptions eval;
  bool quiet = false, table = false, json = false, chat = false;
};

// What is measured of samples, whether they are drawn or stored.
inline void add_figure_options(CLI::App& app, EvalArguments& a) {
  const auto count = CLI::Range(int64_t{1}, int64_t{1} << 20);
  app.add_option("--k", a.eval.k, "k of pass@k and its kin; default: the powers of two up to --n")
      ->check(count);
  app.add_option(
         "--tau", a.eval.tau,
         "tau of G-Pass@k, the share of k answers that are correct, at each k; default: 0.5 and 1 at the "
         "largest k")
      ->check(CLI::Range(0.0, 1.0));
  app.add_option("--extrapolate", a.eval.extrapolate,
                 "pass@K for K beyond the answers, by a power law that is fitted to them")
      ->check(CLI::Range(int64_t{2}, kMaxCount));
  app.add_option("--correct-by", a.eval.correct_by,
                 "the reward that says what is correct; default: the first that knows answers");
  app.add_option("--correct-above", a.eval.correct_above, "its score above which an answer is correct");
  app.add_option(
      "--verifier", a.eval.verifier,
      "a reward that errs: how often it passes wrong answers, and what resampling until it passes one "
      "is worth");
  app.add_option("--verifier-above", a.eval.verifier_above, "its score above which it passes an answer");
  app.add_option("--wrong-cost", a.eval.wrong_cost,
                 "what accepting a wrong answer costs, where a right one is worth 1 [1]")
      ->check(CLI::Range(0.0, 1e9));
  app.add_option(
         "--select", a.select,
         "how often the answer that a selector chooses is correct: a kind, such as majority, or an object; "
         "several, each on its own")
      ->type_size(1)
      ->allow_extra_args(false);
  app.add_option("--by", a.eval.by, "a column, such as level: the figures of each of its values");
  app.add_flag("--diversity", a.eval.diversity,
               "also how different the answers to a prompt are: distinct and vendi; needs --n of at least 2");
  app.add_option("--level", a.eval.level, "of the intervals [0.95]")->check(CLI::Range(0.01, 0.9999));
}

inline void add_options(CLI::App& app, EvalArguments& a) {
  std::vector<std::string> formats = benchmark_names();
  formats.insert(formats.begin(), "jsonl");
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
  app.add_option(
      "--samples", a.samples,
      "in the place of --model and --data: samples that --output wrote; their figures, with --reward "
      "scored anew");
  app.add_option(
         "--compare", a.compare,
         "in the place of --model and --data: two files of samples of the same prompts, A and B; P(A > B) "
         "and the interval of the difference, of each figure")
      ->expected(2);
  app.add_option("--round", a.round,
                 "of the samples of --rethink in --samples or --compare: those of this round")
      ->check(CLI::Range(int64_t{1}, int64_t{65}));
  app.add_option("--budget", a.budget,
                 "of the samples of --budgets in --samples or --compare: those of this budget")
      ->check(CLI::Range(int64_t{1}, kMaxCount));
  app.add_option("--segments", a.segments,
                 "with --score: each sentence or line of an answer on its own, as \"segments\"")
      ->check(CLI::IsMember(text_splits()));
  app.add_option("--loss", a.losses,
                 "JSONL of texts, completions or chats whose loss and perplexity are measured, FILE or "
                 "NAME=FILE; several, each on its own");
  app.add_option(
      "--choices", a.choices,
      "JSONL of questions with \"choices\" and \"answer\", of which the likeliest is the model's: acc, and "
      "by log-prob per character, byte and token, and less its prior; FILE or NAME=FILE");
  app.add_option(
         "--choice-form", a.choice_form,
         "text: the choices' words are compared; letters: A, B ... behind a list of them; both [text]")
      ->check(CLI::IsMember({"text", "letters", "both"}));
  app.add_option("--prior", a.prior,
                 "behind which a choice's prior log-prob is taken [Answer:]; empty: no prior");
  app.add_option("--format", a.format,
                 "of the files of --data, --choices and --loss: jsonl, or a benchmark's own form [jsonl]")
      ->check(CLI::IsMember(formats));
  app.add_flag("--ask-as-chat", a.chat, "prompts that are texts become a user's message");
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
  app.add_option(
         "--rethink", a.rethink,
         "rounds in which each answer is given to the model again with its question, to answer anew; the "
         "figures of each round")
      ->check(CLI::Range(int64_t{0}, int64_t{64}));
  app.add_option("--combine", a.combine, "sum, product or min of several rewards, or the first that can tell")
      ->check(CLI::IsMember(reward_combinations()));
  app.add_option("--n", a.eval.samples, "answers a prompt")->check(CLI::Range(int64_t{1}, int64_t{1} << 20));
  add_figure_options(app, a);
  app.add_option("--output", a.output,
                 "write every sample here, a line of JSON each; what is stopped goes on from "
                 "FILE.partial when the same command is given again");
  add_speculation_option(app, a.speculation);
  add_search_option(app, a.search, "one a prompt");
  app.add_option("--max-prompt-tokens", a.max_tokens, "longest prompt, or example of --loss; see --overlong")
      ->check(CLI::Range(int64_t{1}, kMaxCount));
  app.add_option("--overlong", a.overlong,
                 "a longer one: error, drop, or truncate (prompts from the left, examples from the right)")
      ->check(CLI::IsMember({"drop", "truncate", "error"}));
  app.add_option("--prefix", a.prefix, "text before every prompt, such as a control token");
  app.add_option("--limit", a.limit, "only the first records of the data, and of each other file; 0: all")
      ->check(CLI::Range(int64_t{0}, kMaxCount));
  app.add_option("--batch", a.max_batch,
                 "answers generated together; 0: what half of the free memory holds [0]")
      ->check(CLI::Range(0, 1 << 20));
  app.add_option("--seed", a.seed);
  app.add_option("--template", a.chat_template, "auto, chatml, or a .jinja file");
  app.add_option("--special-tokens", a.special_tokens,
                 "special tokens that string prompts spell out, as a run's data.special_tokens [auto]")
      ->check(CLI::IsMember({"auto", "parse", "text"}));
  app.add_option("--threads", a.threads, "0: all cores")->check(CLI::Range(0, 4096));
  app.add_flag("--quiet", a.quiet, "warnings only");
  auto* table = app.add_flag("--table", a.table, "print aligned tables, as on a terminal, and not JSON");
  app.add_flag("--json", a.json, "print JSON, on a terminal too")->excludes(table);
  app.add_option("--page", a.page, "also write the figures as one HTML page that opens offline");
}

}  // namespace temper
