// temper-eval: samples answers to the prompts of a file and scores them, measures the loss of stored texts,
// and prints the figures with their intervals; or does so of stored samples, compares two files of them, or
// scores the answers that a file has.
#include <ATen/Parallel.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "adapter/adapter_set.h"
#include "base/json.h"
#include "base/signals.h"
#include "choice_files.h"
#include "common.h"
#include "eval_arguments.h"
#include "field_options.h"
#include "held_out_losses.h"
#include "load_model.h"
#include "questions.h"
#include "rollout/end_ids.h"
#include "sampled.h"
#include "score_file.h"
#include "shown.h"
#include "stored.h"

using namespace temper;
namespace {

// The figures of a model, and the lines of --output; done: called when they are saved.
Json measured(const EvalArguments& a, std::string& lines, std::function<void()>& done) {
  if (a.model.path.empty())
    user_error("--model: expected a Hugging Face folder, or one of --score, --samples and --compare");
  const auto questions = read_questions(a);
  const Wording words(a);
  if (questions) encode(a, words, *questions);
  const RecordEncoder encoder(*words.tokenizer, words.chat.get(), words.settings);
  const auto losses = read_loss_files(a.losses, a.format, encoder, a.limit, a.max_tokens);
  const auto choices = read_choice_files(a);
  EncodeSettings whole = words.settings;  // a choice is never cut
  whole.overlong = "error";
  const RecordEncoder choice_encoder(*words.tokenizer, words.chat.get(), whole);

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
  const auto pass_of = [&](const char* what) {
    return [&, what](const std::string& name, size_t records) {
      check_signal();
      console.status(fmt::format("{} of {}, {} records", what, name, records));
    };
  };

  Json out = {{"figures", Json::object()}};
  if (questions) {
    out = sampled_figures(a, *questions, words, *model,
                          end_ids(*model, *words.tokenizer, words.chat.get(), end_ids_of(entries)),
                          check_signal, console, lines, done);
  }
  out["figures"].update(loss_figures(*model, losses, a.eval.level, pass_of("loss")));
  add_choice_figures(*model, choice_encoder, choices, a, pass_of("choices"), out, lines);
  console.status("");
  return out;
}

int run(const EvalArguments& a) {
  demand_output("--output", a.output);
  demand_output("--page", a.page);
  check_modes(a);
  if (!a.score.empty()) {
    score_file({a.score, a.segments, a.output, a.model.path, a.rewards, a.combine, a.limit, a.quiet});
    return kExitDone;
  }
  std::string lines, title = a.model.path;
  std::function<void()> done = [] {};
  Json out;
  if (!a.compare.empty())
    out = compared_files(a), title = a.compare[0] + " and " + a.compare[1];
  else if (!a.samples.empty())
    out = stored_figures(a, lines), title = a.samples;
  else
    out = measured(a, lines, done);
  show_figures(out, a.table, a.json);
  if (!a.output.empty()) write_file_atomic(a.output, lines);
  done();
  if (!a.page.empty()) write_file_atomic(a.page, evaluation_html(out, title));
  return kExitDone;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{
      "Samples answers to the prompts of a file, scores them, measures the loss of stored texts, and prints "
      "the figures; or does so of samples that are stored, compares two files of them, or scores the answers "
      "of a file.",
      "temper-eval"};
  EvalArguments arguments;
  add_options(app, arguments);
  FieldOptions sampling(app, arguments.sampling, "Sampling");
  return run_app(app, argc, argv, [&] {
    sampling.read();
    // One answer is the likeliest one, several are drawn.
    if (!sampling.given("temperature")) arguments.sampling.temperature = arguments.eval.samples == 1 ? 0 : 1;
    arguments.eval.seed = arguments.seed;
    return run(arguments);
  });
}
