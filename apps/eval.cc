// temper-eval: samples answers to the prompts of a file, scores them, and prints the figures with their
// intervals; or scores the answers that a file has.
#include <ATen/Parallel.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "adapter/adapter_set.h"
#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/progress.h"
#include "base/signals.h"
#include "common.h"
#include "conversing.h"
#include "data/records.h"
#include "eval/budgets.h"
#include "eval/evaluate.h"
#include "load_model.h"
#include "prompts.h"
#include "reward/references.h"
#include "rollout/end_ids.h"
#include "score_file.h"
#include "scored.h"

using namespace temper;
namespace {

struct Arguments {
  std::vector<std::string> adapters;
  std::string score, segments;
  ModelArguments model;
  std::string environment, prefix, output, combine = "sum", chat_template = "auto", overlong = "error",
                                           special_tokens = "auto";
  std::vector<std::string> data, rewards;
  std::vector<int64_t> budgets;
  int64_t limit = 0, max_tokens = 4096, threads = 0, max_batch = 64;
  uint64_t seed = 1;
  double temperature = -1;
  SamplingOptions sampling;
  EvalOptions eval;
  bool quiet = false;
};

void add_options(CLI::App& app, Arguments& a) {
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
  app.add_option("--output", a.output, "write every sample here, a line of JSON each");
  app.add_option("--temperature", a.temperature, "default: 0 (greedy) for --n 1, else 1")
      ->check(CLI::Range(0.0, 100.0));
  app.add_option("--top-k", a.sampling.top_k)->check(CLI::Range(int64_t{0}, kMaxCount));
  app.add_option("--top-p", a.sampling.top_p)->check(CLI::Range(0.0, 1.0));
  app.add_option("--min-p", a.sampling.min_p)->check(CLI::Range(0.0, 1.0));
  app.add_option("--stop", a.sampling.stop, "stop strings");
  app.add_option("--max-new-tokens", a.sampling.max_new_tokens)->check(CLI::Range(int64_t{1}, kMaxCount));
  app.add_option("--max-prompt-tokens", a.max_tokens, "longest prompt; see --overlong")
      ->check(CLI::Range(int64_t{1}, kMaxCount));
  app.add_option("--overlong", a.overlong, "a longer prompt: error, drop, or truncate (from the left)")
      ->check(CLI::IsMember({"drop", "truncate", "error"}));
  app.add_option("--prefix", a.prefix, "text before every prompt, such as a control token");
  app.add_option("--ban", a.sampling.ban, "texts that may not appear in an answer");
  app.add_option("--limit", a.limit, "only the first records of the data; 0: all")
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

int run(const Arguments& a) {
  demand_output("--output", a.output);
  if (a.threads > 0) at::set_num_threads(static_cast<int>(a.threads));
  if (!a.score.empty()) {
    if (!a.data.empty() || !a.environment.empty() || !a.budgets.empty() || !a.adapters.empty())
      user_error("--score: goes with none of --data, --environment, --budgets and --adapter");
    score_file({a.score, a.segments, a.output, a.model.path, a.rewards, a.combine, a.limit, a.quiet});
    return kExitDone;
  }
  if (!a.segments.empty()) user_error("--segments: goes with --score FILE");
  if (a.model.path.empty()) user_error("--model: expected a Hugging Face folder, or --score FILE");
  if (a.data.empty()) user_error("--data: expected JSONL with prompts");
  // With budgets, one environment each.
  std::vector<std::unique_ptr<Conversing>> environments;
  const std::vector<int64_t> budgets = sorted_budgets(a.budgets);
  for (const int64_t tokens : budgets)
    environments.push_back(std::make_unique<Conversing>(Conversing::with_budget(a.environment, tokens)));
  if (budgets.empty()) environments.push_back(std::make_unique<Conversing>(a.environment));
  for (const auto& environment : environments) environment->demand_room(a.sampling.max_new_tokens);
  const Conversing& conversing = *environments.front();
  const bool judged = a.rewards.empty() && conversing.scores();
  if (a.rewards.empty() && !judged) user_error("--reward: expected one, such as --reward math");
  RewardSet rewards(read_rewards(judged ? std::vector<std::string>{"environment"} : a.rewards, "--reward"),
                    a.combine);
  std::vector<Record> records = read_jsonl(a.data);
  if (a.limit > 0 && records.size() > static_cast<size_t>(a.limit))
    records.resize(static_cast<size_t>(a.limit));

  const auto tokenizer = Tokenizer::load(tokenizer_folder(a.model.path, a.adapters));
  std::unique_ptr<ChatTemplate> chat;
  if (a.chat_template != "auto" || !tokenizer->chat_template().empty()) {
    chat = std::make_unique<ChatTemplate>(resolve_template(*tokenizer, a.chat_template));
  }
  const RecordEncoder encoder(*tokenizer, chat.get(),
                              conversing.introduced({.max_tokens = a.max_tokens,
                                                     .overlong = a.overlong,
                                                     .special_tokens = a.special_tokens,
                                                     .prefix = a.prefix},
                                                    *tokenizer, chat.get(), records));
  for (const std::string& remark : encoder.remarks(records)) log_warning("--data: {}", remark);
  const size_t all = records.size();
  auto ids = keep_fitting(records, a.max_tokens, [&](const Record& r) { return encoder.prompt(r); });
  conversing.open(records, ids, encoder, a.seed);
  for (const std::string& line : check_references(rewards, records, "--data")) log_warning("{}", line);
  std::vector<EvalPrompt> prompts;
  for (size_t i = 0; i < ids.size(); ++i)
    prompts.push_back({ids[i], encoder.prompt_text(records[i]), &records[i].json});

  const auto model = load_model(a.model);
  std::unique_ptr<AdapterSet> adapters;
  const auto entries = adapter_entries(a.adapters);
  if (!entries.empty()) adapters = std::make_unique<AdapterSet>(*model, entries);
  EngineOptions engine;
  engine.max_batch = a.max_batch;
  engine.seed = a.seed;
  engine.end_ids = end_ids(*model, *tokenizer, chat.get(), end_ids_of(entries));
  SamplingOptions sampling = a.sampling;
  sampling.temperature = a.temperature >= 0 ? a.temperature : a.eval.samples == 1 ? 0.0 : 1.0;

  Console console({.quiet = a.quiet});
  const StopSignal stop;
  const auto check_signal = [&] {
    if (stop.pending() != 0) throw Interrupted(stop.pending());
  };
  const auto show = [&](const EngineProgress& p) {
    check_signal();
    console.status(fmt::format("eval {}/{} answers, {} tokens", p.finished, p.total, format_count(p.tokens)));
  };
  std::vector<EvalResult> results;
  for (const auto& environment : environments) {
    const auto conversations =
        environment->begin(records, eval_requests(prompts, rewards, a.eval), encoder, a.seed, check_signal);
    engine.respondent = conversations.get();
    results.push_back(
        evaluate(*model, *tokenizer, prompts, rewards, a.eval, sampling, engine, show, check_signal));
  }
  console.status("");

  Json out =
      budgets.empty() ? results.front().to_json() : over_budgets(budgets, results, a.eval.level).to_json();
  if (all > ids.size()) out["left_out"] = all - ids.size();
  std::printf("%s\n", out.dump(2).c_str());
  std::fflush(stdout);  // a failure is told at the end: the samples can be saved all the same
  if (a.output.empty()) return kExitDone;
  std::string lines;
  for (size_t i = 0; i < results.size(); ++i) {
    for (const EvalSample& sample : results[i].samples) {
      Json line = results[i].sample_json(sample, prompts);
      if (!budgets.empty()) line["budget"] = budgets[i];
      lines += dump_line(line) + "\n";
    }
  }
  write_file_atomic(a.output, lines);
  return kExitDone;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Samples answers to the prompts of a file, scores them, and prints the figures as JSON; or scores the "
      "answers of a file.",
      "temper-eval"};
  Arguments arguments;
  add_options(app, arguments);
  return run_app(app, argc, argv, [&] { return run(arguments); });
}
