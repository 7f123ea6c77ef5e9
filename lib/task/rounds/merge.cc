// merge: models that earlier phases of the round trained side by side become one, from which the next round
// goes on. With "model_stock" and trainings of n steps each this is Model Stock every n steps (arXiv
// 2403.19522, its periodic merging), the base being the model that the run starts from; every method of room
// merge that reads no statistics will do.
#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "merge/recipe.h"
#include "task/rounds/config.h"
#include "task/rounds/folder.h"
#include "task/rounds/phases.h"

namespace temper {
namespace {

struct MergePhase : PhaseOptions {
  std::vector<std::string> of;
  std::vector<double> weights;
  std::string method = "model_stock", from = "base";
  std::unique_ptr<MergeOptions> options;

  void fields(FieldVisitor& v) override {
    v.field("of", of, {.help = "the trainings of this round whose models are merged", .required = true});
    v.field("weights", weights, {.help = "of the models, for methods that have them; left out: 1 each"});
    v.choice("by", "method", options, method, merge_registry(), "how");
    v.field("from", from,
            {.help = "what differences are counted from: the model the run starts from, or the one that the "
                     "round began with",
             .choices = {"base", "round"}});
  }
  void check_phase(const RunConfig& config, size_t index, const std::string& where,
                   std::vector<std::string>& problems) const override {
    const auto& task = static_cast<const RoundsTask&>(*config.task);
    for (const std::string& name : of) {
      const auto end = task.phases.begin() + static_cast<int64_t>(index);
      const auto found =
          std::find_if(task.phases.begin(), end, [&](const PhaseEntry& p) { return p.name == name; });
      if (found == end || found->kind != "train")
        problems.push_back(
            fmt::format("{}.of: expected trainings before this phase, found \"{}\"", where, name));
    }
    if (task.keep_models > 0 && task.keep_models <= static_cast<int64_t>(of.size()))
      problems.push_back(
          fmt::format("keep_models: {} models are merged in a round, so expected at least {}, found {}",
                      of.size(), of.size() + 1, task.keep_models));
    if (!weights.empty() && weights.size() != of.size())
      problems.push_back(fmt::format("{}.weights: expected one for each of {} models, found {}", where,
                                     of.size(), weights.size()));
    if (options == nullptr) {
      problems.push_back(where + ".by: give a method, such as \"model_stock\"");
      return;
    }
    if (!options->needs().statistics.empty())
      problems.push_back(fmt::format("{}.by: {} reads statistics, which a phase has none of", where, method));
    std::vector<std::string> found;
    MergeRecipe unfilled = recipe(std::vector<std::string>(of.size(), "model"), "base");
    unfilled.check(found, where);
    for (const std::string& problem : found) problems.push_back(where + ": " + problem);
  }

  PhaseResult run(PhaseWork& w) const override {
    const std::string start = w.config.model.path, to = w.folder + "/model";
    if (w.ranks.first() && !fs::exists(to)) {
      std::vector<std::string> models;
      for (size_t i = 0; i < w.index; ++i) {
        if (std::find(of.begin(), of.end(), w.task.phases[i].name) == of.end()) continue;
        const auto left = w.done.result(w.round, i);
        if (!left) user_error("{}: \"{}\" did not run in this round", w.where(), w.task.phases[i].name);
        models.push_back(w.done.phase_folder(w.round, i) + "/" + left->model);
      }
      const std::string base = from == "base" ? start : w.done.last_model(start, w.round, 0);
      const Json report = merge_models(recipe(models, base), to + ".tmp", std::nullopt);
      fs::rename(to + ".tmp", to);
      w.say(fmt::format("{}: {} of {} models", w.where(), method, models.size()));
    }
    w.ranks.from_first("");
    PhaseResult out;
    out.figures = {{"change", read_json_file(to + "/merge.json")["change"].get<double>()}};
    out.model = "model";
    return out;
  }

 private:
  MergeRecipe recipe(const std::vector<std::string>& models, const std::string& base) const {
    MergeRecipe out;
    out.method = method;
    out.options = merge_registry().find(method)->make();
    read_fields(*out.options, dump_fields(*options), "by", "");
    if (out.options->needs().base == MergeNeeds::kRequired) out.base = base;
    for (size_t i = 0; i < models.size(); ++i) {
      MergeModel model;
      model.path = models[i];
      if (!weights.empty()) model.weight = weights[i];
      out.models.push_back(std::move(model));
    }
    return out;
  }
};

}  // namespace

std::unique_ptr<PhaseOptions> merge_phase() {
  return std::make_unique<MergePhase>();
}

}  // namespace temper
