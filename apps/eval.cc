// temper-eval: samples answers to the prompts of a file and scores them, measures the loss of stored texts,
// and prints the figures with their intervals; or scores the answers that a file has.
#include <ATen/Parallel.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "adapter/adapter_set.h"
#include "base/file.h"
#include "base/json.h"
#include "base/progress.h"
#include "base/signals.h"
#include "common.h"
#include "eval/budgets.h"
#include "eval/evaluate.h"
#include "eval_arguments.h"
#include "held_out_losses.h"
#include "load_model.h"
#include "questions.h"
#include "rollout/end_ids.h"
#include "score_file.h"

using namespace temper;
namespace {

// The figures of sampled answers; lines: a line of JSON for each sample.
Json sampled(const EvalArguments& a, Questions& q, const Wording& words, Model& model,
             const std::vector<int64_t>& end_ids, const std::function<void()>& check_signal, Console& console,
             std::string& lines) {
  EngineOptions engine;
  engine.max_batch = a.max_batch;
  engine.seed = a.seed;
  engine.end_ids = end_ids;
  const auto speculation = read_speculation(a.speculation, "--speculation");
  engine.speculation = speculation.get();
  SamplingOptions sampling = a.sampling;
  sampling.temperature = a.temperature >= 0 ? a.temperature : a.eval.samples == 1 ? 0.0 : 1.0;
  const auto show = [&](const EngineProgress& p) {
    check_signal();
    console.status(fmt::format("eval {}/{} answers, {} tokens", p.finished, p.total, format_count(p.tokens)));
  };
  std::vector<EvalResult> results;
  for (const auto& environment : q.environments) {
    const auto conversations = environment->begin(q.records, eval_requests(q.prompts, *q.rewards, a.eval),
                                                  *q.encoder, a.seed, check_signal);
    engine.respondent = conversations.get();
    results.push_back(evaluate(model, *words.tokenizer, q.prompts, *q.rewards, a.eval, sampling, engine, show,
                               check_signal));
  }
  for (size_t i = 0; i < results.size(); ++i) {
    for (const EvalSample& sample : results[i].samples) {
      Json line = results[i].sample_json(sample, q.prompts);
      if (!q.budgets.empty()) line["budget"] = q.budgets[i];
      lines += dump_line(line) + "\n";
    }
  }
  Json out = q.budgets.empty() ? results.front().to_json()
                               : over_budgets(q.budgets, results, a.eval.level).to_json();
  if (q.given > q.prompts.size()) out["left_out"] = q.given - q.prompts.size();
  return out;
}

int run(const EvalArguments& a) {
  demand_output("--output", a.output);
  if (a.eval.diversity && a.eval.samples < 2)
    user_error("--diversity: compares the answers to a prompt, found --n {}; give --n 2 or more",
               a.eval.samples);
  if (!a.score.empty()) {
    if (!a.data.empty() || !a.losses.empty() || !a.environment.empty() || !a.budgets.empty() ||
        !a.adapters.empty())
      user_error("--score: goes with none of --data, --loss, --environment, --budgets and --adapter");
    score_file({a.score, a.segments, a.output, a.model.path, a.rewards, a.combine, a.limit, a.quiet});
    return kExitDone;
  }
  if (!a.segments.empty()) user_error("--segments: goes with --score FILE");
  if (a.model.path.empty()) user_error("--model: expected a Hugging Face folder, or --score FILE");
  const auto questions = read_questions(a);
  const Wording words(a);
  if (questions) encode(a, words, *questions);
  const RecordEncoder encoder(*words.tokenizer, words.chat.get(), words.settings);
  const auto losses = read_loss_files(a.losses, encoder, a.limit, a.max_tokens);

  if (a.threads > 0) at::set_num_threads(static_cast<int>(a.threads));
  const auto model = load_model(a.model);
  std::unique_ptr<AdapterSet> adapters;
  const auto entries = adapter_entries(a.adapters);
  if (!entries.empty()) adapters = std::make_unique<AdapterSet>(*model, entries);
  Console console({.quiet = a.quiet});
  const StopSignal stop;
  const auto check_signal = [&] {
    if (stop.pending() != 0) throw Interrupted(stop.pending());
  };

  Json out = {{"figures", Json::object()}};
  std::string lines;
  if (questions) {
    out = sampled(a, *questions, words, *model,
                  end_ids(*model, *words.tokenizer, words.chat.get(), end_ids_of(entries)), check_signal,
                  console, lines);
  }
  out["figures"].update(loss_figures(*model, losses, a.eval.level, [&](const std::string& name, size_t done) {
    check_signal();
    console.status(fmt::format("loss of {}, {} records", name, done));
  }));
  console.status("");
  std::printf("%s\n", out.dump(2).c_str());
  std::fflush(stdout);  // a failure is told at the end: the samples can be saved all the same
  if (!a.output.empty()) write_file_atomic(a.output, lines);
  return kExitDone;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Samples answers to the prompts of a file, scores them, measures the loss of stored texts, and prints "
      "the figures as JSON; or scores the answers of a file.",
      "temper-eval"};
  EvalArguments arguments;
  add_options(app, arguments);
  return run_app(app, argc, argv, [&] { return run(arguments); });
}
