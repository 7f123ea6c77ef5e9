// temper-convert --merge and --statistics: what the command line says, and what is told of it.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "adapter/adapter_set.h"
#include "base/config_layers.h"
#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/limits.h"
#include "base/log.h"
#include "held_out_losses.h"
#include "merge/examples.h"
#include "merge/recipe.h"
#include "merge/statistics.h"

namespace temper {

struct MergeArguments {
  std::string merge, statistics, labels = "data";
  std::vector<std::string> with, sets, data;
  int64_t max_tokens = 1024, limit = 0, seed = 1;
  bool recipe() const { return merge.ends_with(".json"); }
};

inline void add_merge_options(CLI::App& app, MergeArguments& a) {
  app.add_option(
      "--merge", a.merge,
      "merges models: RECIPE.json, with DST alone before or behind it; or a method (temper-inspect list "
      "merge) of --with and SRC, its base, or its first model where it has no base");
  app.add_option("--with", a.with, "a model to merge, or an adapter for SRC: DIR or DIR@WEIGHT; several")
      ->type_size(1)
      ->allow_extra_args(false);
  app.add_option("--set", a.sets, "--merge: a field of the recipe, a.b=VALUE")
      ->type_size(1)
      ->allow_extra_args(false);
  app.add_option("--statistics", a.statistics,
                 "DST becomes what merges read of SRC on --data, a safetensors file: gram, fisher or kfac")
      ->check(CLI::IsMember(statistics_kinds()));
  app.add_option("--labels", a.labels,
                 "--statistics fisher, kfac: the data's targets, or ones drawn from the model [data]")
      ->check(CLI::IsMember({"data", "sampled"}));
  app.add_option("--data", a.data,
                 "JSONL as sft reads it: held-out data whose loss is told before and after --merge, or what "
                 "--statistics are taken on")
      ->type_size(1)
      ->allow_extra_args(false);
  app.add_option("--max-tokens", a.max_tokens, "--data: longer records are cut [1024]")
      ->check(CLI::Range(int64_t{2}, kMaxCount));
  app.add_option("--limit", a.limit, "--data: the first records alone; 0: all [0]")
      ->check(CLI::Range(int64_t{0}, kMaxCount));
  app.add_option("--seed", a.seed, "--labels sampled: of the draws [1]")
      ->check(CLI::Range(int64_t{0}, kMaxCount));
}

// Throws UserError for options that say something of nothing.
inline void check_merge_options(const MergeArguments& a) {
  if (!a.merge.empty() && !a.statistics.empty()) user_error("--merge and --statistics: give one of them");
  for (const auto& [option, given, goes] :
       {std::tuple{"--with", !a.with.empty(), !a.merge.empty()},
        {"--set", !a.sets.empty(), !a.merge.empty()},
        {"--data", !a.data.empty(), !a.merge.empty() || !a.statistics.empty()}}) {
    if (given && !goes)
      user_error("{}: goes with --merge{}", option,
                 std::string(option) == "--data" ? " or --statistics" : "");
  }
}

// Throws UserError, a line a problem.
inline MergeRecipe read_merge_recipe(const MergeArguments& a, const std::string& source) {
  MergeRecipe recipe;
  if (a.recipe()) {
    if (!a.with.empty()) user_error("--with: goes with --merge METHOD; a recipe lists its models");
    read_config_file(recipe, a.merge, a.sets);
    return recipe;
  }
  const auto* entry = merge_registry().find(a.merge);
  if (entry == nullptr) {
    const std::string near = nearest_name(a.merge, merge_registry().names());
    user_error("--merge {}: expected RECIPE.json or a method{}; temper-inspect list merge has them", a.merge,
               near.empty() ? "" : fmt::format(", did you mean \"{}\"?", near));
  }
  Json json = {{"method", a.merge}, {"models", Json::array()}};
  if (entry->make()->needs().base == MergeNeeds::kRequired)
    json["base"] = source;
  else
    json["models"].push_back({{"path", source}});
  for (const std::string& with : a.with) {
    const AdapterEntry model = adapter_entries({with})[0];
    json["models"].push_back({{"path", model.folder}, {"weight", model.weight}});
  }
  for (const std::string& set : a.sets) {
    const size_t equals = set.find('=');
    if (equals == std::string::npos || equals == 0) user_error("--set {}: expected FIELD=VALUE", set);
    json[set.substr(0, equals)] = json_or_text(set.substr(equals + 1), "--set " + set.substr(0, equals));
  }
  read_fields(recipe, json, "--merge " + a.merge, ".");
  return recipe;
}

// The held-out files of --data by their paths, in the words of the model that is kept. Throws UserError.
inline std::vector<LossFile> held_out_files(const MergeArguments& a, const MergeRecipe& recipe) {
  const std::string folder = has_tokenizer(recipe.kept()) ? recipe.kept() : recipe.base;
  std::vector<LossFile> out;
  for (const std::string& file : a.data) {
    const ExampleFiles from{.files = {file}, .limit = a.limit, .max_tokens = a.max_tokens};
    out.push_back({file, read_examples(folder, from)});
  }
  return out;
}

// Merges into the folder `to` and says what it did, with the held-out loss of every model where --data is
// given.
inline void merge_and_tell(const MergeArguments& a, const MergeRecipe& recipe, const std::string& to,
                           std::optional<at::ScalarType> dtype) {
  const std::vector<LossFile> files = held_out_files(a, recipe);
  Console console;
  Json report = merge_models(recipe, to, dtype, [&](size_t done, size_t all) {
    console.status(fmt::format("merge {}/{} tensors", done, all));
  });
  console.status("");
  log_info("merged {} models by {}: the weights moved by {:.3g} of their norm; merge.json has it by tensor",
           recipe.models.size(), recipe.method, report["change"].get<double>());
  if (files.empty()) return;
  std::vector<std::pair<std::string, std::string>> folders;  // what to call each
  if (!recipe.base.empty()) folders.emplace_back("base", recipe.base);
  for (const MergeModel& model : recipe.models)
    if (fs::exists(model.path + "/config.json")) folders.emplace_back(model.path, model.path);
  folders.emplace_back("merged", to);
  for (const auto& [name, folder] : folders) {
    const auto model = Model::load(folder, Precision{});
    const Json figures = loss_figures(*model, files, 0.95, [](const std::string&, size_t) {});
    for (const LossFile& file : files) {
      const double loss = figures["loss/" + file.name]["value"];
      report["loss"][file.name][name] = loss;
      log_info("loss of {} under {}: {:.4f}", file.name, name, loss);
    }
  }
  write_file_atomic(to + "/merge.json", report.dump(2) + "\n");
}

// The statistics of the model in SRC, as the file `to`.
inline void take_statistics(const MergeArguments& a, const std::string& source, const std::string& to) {
  if (a.data.empty()) user_error("--statistics: needs --data FILE.jsonl to take them on");
  const auto examples =
      read_examples(source, {.files = a.data, .limit = a.limit, .max_tokens = a.max_tokens});
  const auto model = Model::load(source, Precision{});
  Console console;
  write_statistics(
      *model, examples,
      {.kind = a.statistics, .sampled_labels = a.labels == "sampled", .seed = static_cast<uint64_t>(a.seed)},
      to,
      [&](size_t done) { console.status(fmt::format("statistics {}/{} examples", done, examples.size())); });
  console.status("");
  log_info("{} of {} on {} examples", a.statistics, source, examples.size());
}

}  // namespace temper
