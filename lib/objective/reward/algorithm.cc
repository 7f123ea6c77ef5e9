#include "objective/reward/algorithm.h"

#include <fmt/format.h>

#include <set>

namespace temper::objective {

void RewardTerm::fields(FieldVisitor& v) {
  v.field("weight", weight, {.help = "weight of this loss in the sum of losses", .min = 0});
  v.choice_here("name", loss, name, reward_loss_registry());
}

void RewardAlgorithm::fields(FieldVisitor& v) {
  if (loss) loss->fields(v);
  v.field("weight", weight, {.help = "weight of this loss in the sum of losses", .min = 0});
  v.list("also", also, "further losses, each over the records of its form: name, weight and its own fields");
}

void RewardAlgorithm::check(std::vector<std::string>& problems, const std::string& where) const {
  if (!loss) return;
  std::set<std::string> names = {name};
  std::set<RewardRows> rows = {loss->make()->needs().rows};
  for (size_t i = 0; i < also.size(); ++i) {
    if (!also[i].loss) continue;
    if (!names.insert(also[i].name).second)
      problems.push_back(fmt::format("{}.also.{}: \"{}\" is there already", where, i, also[i].name));
    rows.insert(also[i].loss->make()->needs().rows);
  }
  if (rows.count(RewardRows::kGroups) && rows.count(RewardRows::kSteps)) {
    problems.push_back(
        where +
        ".also: listwise reads \"completions\" as whole answers and process as the steps of one; "
        "a run can have one of the two");
  }
}

const Registry<RewardAlgorithm>& reward_algorithm_registry() {
  static const Registry<RewardAlgorithm> registry = [] {
    Registry<RewardAlgorithm> r("reward model algorithm");
    for (const auto& entry : reward_loss_registry().entries()) {
      r.add({entry.name, entry.summary, entry.source, [name = entry.name] {
               auto algorithm = std::make_unique<RewardAlgorithm>();
               algorithm->name = name;
               algorithm->loss = reward_loss_registry().find(name)->make();
               return algorithm;
             }});
    }
    return r;
  }();
  return registry;
}

RewardObjective::RewardObjective(const RewardAlgorithm& algorithm) {
  const auto add = [&](const std::string& name, double weight, const RewardLossOptions& options) {
    auto loss = options.make();
    const RewardNeeds needs = loss->needs();
    parts_.push_back({name, weight, std::move(loss), needs});
  };
  add(algorithm.name, algorithm.weight, *algorithm.loss);
  for (const RewardTerm& term : algorithm.also) add(term.name, term.weight, *term.loss);
}

bool RewardObjective::wants(RewardRows rows) const {
  for (const Part& part : parts_) {
    if (part.needs.rows == rows) return true;
  }
  return false;
}

}  // namespace temper::objective
