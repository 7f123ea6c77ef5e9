#include "task/rounds/config.h"

#include <algorithm>

#include "base/error.h"
#include "train/config.h"

namespace temper {

void RoundsTask::fields(FieldVisitor& v) {
  v.field("rounds", rounds, {.help = "how often the phases run", .min = 1, .max = 10000});
  v.list("phases", phases, "what a round does, one after the other");
  v.choice("environment", "kind", environment_options, environment_kind, environment_registry(),
           "who answers what the model writes, in conversations of several turns");
  v.field("max_batch", max_batch, {.help = "sequences decoded together", .min = 1, .max = 4096});
  v.field("keep_models", keep_models, {.help = "models of so many last trainings stay; 0: all", .min = 0});
}

std::optional<size_t> RoundsTask::lines_before(size_t index) const {
  for (size_t i = index; i-- > 0;)
    if (phases[i].options != nullptr && phases[i].options->writes_lines()) return i;
  return std::nullopt;
}

void RoundsTask::check_names(const std::vector<std::string>& names, const std::string& field,
                             std::vector<std::string>& problems) const {
  std::vector<std::string> known;
  for (const PhaseEntry& p : phases)
    if (p.options != nullptr && p.options->writes_lines()) known.push_back(p.name);
  for (const std::string& name : names) {
    if (std::find(known.begin(), known.end(), name) != known.end()) continue;
    std::string all;
    for (const std::string& k : known) all += (all.empty() ? "" : ", ") + k;
    problems.push_back(fmt::format("{}: no phase \"{}\" leaves lines; those that do: {}", field, name,
                                   all.empty() ? "none" : all));
  }
}

void RoundsTask::check_run(const RunConfig& config, std::vector<std::string>& problems) const {
  if (config.model.path.empty())
    problems.push_back("model.path: rounds start from a model; give a Hugging Face folder");
  if (!config.model.add_tokens.empty())
    problems.push_back(
        "model.add_tokens: rounds go on from the model before, which has them then; train with sft once and "
        "give "
        "its final/ as model.path");
  if (phases.empty()) problems.push_back("phases: give what a round does, such as generate, select, train");
  for (size_t i = 0; i < phases.size(); ++i) {
    const PhaseEntry& phase = phases[i];
    if (phase.options == nullptr) continue;
    const std::string where = fmt::format("phases.{}", i);
    if (phase.first() > rounds)
      problems.push_back(
          fmt::format("{}.first_round: {} is behind the last of {} rounds", where, phase.first(), rounds));
    for (size_t k = 0; k < i; ++k) {
      bool together = false;
      for (int64_t r = 0; r <= rounds; ++r) together = together || (phases[k].runs_in(r) && phase.runs_in(r));
      if (together && phases[k].name == phase.name)
        problems.push_back(fmt::format("{}.name: phase {} has the name \"{}\", too, in the same round", where,
                                       k, phase.name));
    }
    phase.options->check_phase(config, i, where, problems);
  }
}

void RoundsTask::resolve(RunConfig& config) {
  for (size_t i = 0; i < phases.size(); ++i) phases[i].options->resolve(config, i);
}

Json RoundsTask::plan(const RunConfig& config, int64_t ranks) const {
  Json plans = Json::array();
  for (const PhaseEntry& phase : phases) {
    Json of_phase = phase.options->plan(config, ranks);
    if (!of_phase.is_null()) plans.push_back({{"phase", phase.name}, {"plan", std::move(of_phase)}});
  }
  return {{"config", dump_fields(config)}, {"rounds", rounds}, {"phases", std::move(plans)}};
}

std::vector<NamedPath> RoundsTask::further_paths(const RunConfig& config) const {
  std::vector<NamedPath> out;
  for (const PhaseEntry& phase : phases) {
    if (phase.options == nullptr) continue;
    for (NamedPath& path : phase.options->further_paths(config)) out.push_back(std::move(path));
  }
  return out;
}

}  // namespace temper
