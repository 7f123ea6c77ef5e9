// temper-inspect: the window into every part. All output is JSON on stdout.
#include "inspect/inspect.h"

#include <ATen/Parallel.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "base/config_layers.h"
#include "base/file.h"
#include "base/hub.h"
#include "base/json.h"
#include "common.h"
#include "data/problems/problem.h"
#include "objective/inspect.h"
#include "report/runs.h"
#include "task/registry.h"
#include "text/inspect.h"
#include "train/config.h"
#include "train/config_paths.h"

using namespace temper;

namespace {

void print(const Json& value) {
  print_text(dump_line(value) + "\n");
}

// {field: value} of "field=value" each.
Json overrides_of(const std::vector<std::string>& sets) {
  Json out = Json::object();
  for (const std::string& set : sets) {
    const size_t equals = set.find('=');
    if (equals == std::string::npos) user_error("--set {}: expected field=value", set);
    const std::string field = set.substr(0, equals);
    out[field] = json_or_text(set.substr(equals + 1), "--set " + field.substr(0, 80));
  }
  return out;
}

}  // namespace

int main(int argc, char** argv) {
  CLI::App app{"Shows what Temper has and what it makes of files. All output is JSON.", "temper-inspect"};
  app.require_subcommand(1);
  std::string model, adapter, input, text, name, file, output, from, weights = "adam";
  std::string dtype = "f32", chat_template = "auto";
  std::vector<std::string> sets;
  bool special = false, add_special = false, generation_prompt = false, held_out = false;
  int64_t count = 10;
  uint64_t seed = 1;

  auto* list = app.add_subcommand(
      "list", "objectives, rewards, problems, adapters, optimizers, families, formats ...");
  list->add_option("kind", file, "one kind only");
  list->add_option("name", name, "one entry only, with its fields");
  auto* config = app.add_subcommand("config", "the resolved config, or every problem in it");
  config->add_option("file", file)->required();
  config->add_option("--set", sets, "override a field: a.b=VALUE")->type_size(1)->allow_extra_args(false);
  auto* schedule = app.add_subcommand("schedule", "the learning rate of each update, and its drawing");
  auto* schedule_config = schedule->add_option("config", file, "a config file");
  schedule->add_option("--set", sets, "override a field: a.b=VALUE")->type_size(1)->allow_extra_args(false);
  schedule->add_option("--from", from, "a run folder: writes the file of a \"refined\" schedule")
      ->excludes(schedule_config);
  schedule->add_option("--weights", weights, "of --from")->check(CLI::IsMember({"adam", "sgd"}));
  schedule->add_option("--output", output, "the drawing (.svg), or the file of --from (.json)");
  auto* tokenize = app.add_subcommand("tokenize", "ids, pieces and the decoded text, a line each");
  tokenize->add_option("--model", model, "a Hugging Face folder")->transform(model_folder)->required();
  auto* text_option = tokenize->add_option("--text", text);
  tokenize->add_option("--input", input, "JSONL with \"text\"")->excludes(text_option);
  tokenize->add_flag("--special", special, "special tokens in the text are special");
  tokenize->add_flag("--add-special", add_special, "add begin and end tokens");
  auto* render = app.add_subcommand("template", "a chat as the model sees it");
  render->add_option("--model", model, "a Hugging Face folder")->transform(model_folder)->required();
  render->add_option("--input", input, "JSON: messages, or {\"messages\", further variables}")->required();
  render->add_option("--template", chat_template, "auto, chatml, or a .jinja file");
  render->add_flag("--generation-prompt", generation_prompt);
  auto* logprob = app.add_subcommand("logprob", "log p(ids[t] | ids[<t]) for t >= 1, a line each");
  logprob->add_option("--model", model, "a Hugging Face folder")->transform(model_folder)->required();
  logprob->add_option("--adapter", adapter, "an adapter folder");
  logprob->add_option("--dtype", dtype)->check(CLI::IsMember({"f32", "bf16", "auto"}));
  logprob->add_option("--input", input, "JSONL with \"ids\"")->required();
  auto* objective = app.add_subcommand("objective", "one objective on the numbers given");
  objective->add_option("name", name)->required();
  objective->add_option("--input", input, "a batch as JSON; .jsonl: a batch a line")->required();
  objective->add_option("--set", sets, "field=value")->type_size(1)->allow_extra_args(false);
  auto* reward = app.add_subcommand("reward", "one reward on completions, a score a line, without a model");
  reward->add_option("kind", name)->required();
  reward->add_option("--input", input, "JSONL: completion, and the columns that the reward reads")
      ->required();
  reward->add_option("--set", sets, "field=value")->type_size(1)->allow_extra_args(false);
  auto* problems =
      app.add_subcommand("problems", "made problems as records, a line each, with their answers");
  problems->add_option("kind", name)->required();
  problems->add_option("--count", count, "how many [10]")->check(CLI::Range(int64_t{1}, kMostProblems));
  problems->add_option("--seed", seed, "a run's seed, or its data.make.seed [1]");
  problems->add_flag("--held-out", held_out, "those of data.make_eval, which no data.make gives");
  problems->add_option("--set", sets, "field=value")->type_size(1)->allow_extra_args(false);
  auto* data = app.add_subcommand("data", "the first records of a file as a run would read them");
  data->add_option("file", file)->required();
  data->add_option("--format", name, "as data.format of a config: auto, alpaca, sharegpt ...");
  data->add_option("--set", sets, "field=value of \"data\"")->type_size(1)->allow_extra_args(false);
  data->add_option("--model", model, "a folder: its tokens of the records, and which are learnt");
  auto* shapes = app.add_subcommand("model", "family, shapes, parameters, missing and unexpected tensors");
  shapes->add_option("folder", file)->transform(model_folder)->required();
  auto* run = app.add_subcommand("run", "state, last metrics, checkpoints and whether each is whole");
  run->add_option("folder", file)->required();
  auto* runs =
      app.add_subcommand("runs", "all runs of a folder: where their configs differ, and their figures");
  runs->add_option("folder", file)->required();
  runs->add_option("--page", output, "writes them as a page with curves (.html)");

  return run_app(app, argc, argv, [&]() -> int {
    if (*list) print(inspect_list(file, name));
    if (*config) {
      RunConfig resolved(task_registry());
      load_startable_config(resolved, file, sets);
      print_text(dump_fields(resolved).dump(2) + "\n");
    }
    if (*schedule) {
      if (from.empty() && file.empty()) user_error("schedule: give a config file, or --from RUN");
      if (!from.empty() && output.empty()) user_error("schedule --from: give --output FILE.json");
      demand_output("--output", output);
      print(from.empty() ? inspect_schedule(file, sets, output) : refine_schedule(from, weights, output));
    }
    if (*tokenize) {
      const auto tokenizer = Tokenizer::load(model);
      const EncodeOptions options{.add_special = add_special, .parse_special = special};
      if (input.empty())
        print(inspect_tokenize(*tokenizer, text, options));
      else
        inspect_tokenize_file(*tokenizer, input, options, print);
    }
    if (*render)
      print(inspect_template(model, chat_template, read_json_file(input), input, generation_prompt));
    if (*logprob) inspect_logprob(model, adapter, dtype, input, print);
    if (*problems) inspect_problems(name, count, seed, held_out, overrides_of(sets), print);
    if (*reward) inspect_reward_file(name, input, overrides_of(sets), print);
    if (*objective) {
      const Json overrides = overrides_of(sets);
      if (input.ends_with(".jsonl"))
        inspect_objective_file(name, input, overrides, print);
      else
        print(objective::evaluate_objective(name, read_json_file(input), overrides));
    }
    if (*data) {
      Json fields = overrides_of(sets);
      if (!name.empty()) fields["format"] = name;
      print(inspect_data(file, model, fields));
    }
    if (*shapes) print(inspect_model(file));
    if (*run) print(inspect_run(file));
    if (*runs) {
      demand_output("--page", output);
      print(compare_runs(file));
      if (!output.empty()) write_file_atomic(output, runs_html(file));
    }
    return kExitDone;
  });
}
