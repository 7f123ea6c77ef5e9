#include "merge/recipe.h"

#include <algorithm>

namespace temper {

void MergeModel::fields(FieldVisitor& v) {
  v.field("path", path,
          {.help = "a model folder, or an adapter folder for the base", .required = true, .path = true});
  v.field("weight", weight, {.help = "its share; methods say what it means"});
  v.field("statistics", statistics,
          {.help = "what temper-convert --statistics made of it, for methods that read such", .path = true});
}

void MergeRecipe::fields(FieldVisitor& v) {
  v.choice_here("method", options, method, merge_registry());
  v.field(
      "base", base,
      {.help = "the model folder that task vectors are counted from, and adapters are for", .path = true});
  v.list("models", models, "what is merged");
  v.field("files", files,
          {.help = "the model folder whose config and tokenizer are kept; default: the base's, or the first "
                   "model's where there is none",
           .path = true});
}

void MergeRecipe::check(std::vector<std::string>& problems, const std::string&) const {
  if (!options) return;
  const MergeNeeds needs = options->needs();
  const auto count = static_cast<int64_t>(models.size());
  if (count < needs.least_models || count > needs.most_models) {
    const std::string wanted = needs.least_models == needs.most_models ? fmt::format("{}", needs.least_models)
                               : count < needs.least_models ? fmt::format("at least {}", needs.least_models)
                                                            : fmt::format("at most {}", needs.most_models);
    problems.push_back(fmt::format("models: {} merges {} model{}, found {}", method, wanted,
                                   wanted.ends_with(" 1") || wanted == "1" ? "" : "s", count));
  }
  if (needs.base == MergeNeeds::kRequired && base.empty())
    problems.push_back(fmt::format("base: missing; {} counts what the models are from it", method));
  bool lacking = false;  // told once
  for (size_t i = 0; i < models.size(); ++i) {
    const MergeModel& model = models[i];
    if (needs.weights == MergeNeeds::kUnweighted && model.weight != 1.0)
      problems.push_back(
          fmt::format("models.{}.weight: {} takes no weights, found {}", i, method, model.weight));
    if (needs.weights == MergeNeeds::kPositive && !(model.weight > 0))
      problems.push_back(
          fmt::format("models.{}.weight: {} takes positive weights, found {}", i, method, model.weight));
    if (needs.statistics.empty() && !model.statistics.empty())
      problems.push_back(fmt::format("models.{}.statistics: {} reads none", i, method));
    if (!needs.statistics.empty() && model.statistics.empty() && !lacking) {
      lacking = true;
      problems.push_back(
          fmt::format("models.{0}.statistics: missing; {1} reads those of kind {2}: temper-convert {3} FILE "
                      "--statistics {2} --data FILE.jsonl makes them",
                      i, method, needs.statistics, model.path));
    }
  }
}

const std::string& MergeRecipe::kept() const {
  if (!files.empty()) return files;
  return options->needs().refines_model || base.empty() ? models.front().path : base;
}

}  // namespace temper
