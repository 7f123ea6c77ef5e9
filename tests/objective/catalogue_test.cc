#include "objective/catalogue.h"

#include <set>

#include "base/error.h"
#include "cases.h"
#include "objective/inspect.h"
#include "objective/notes.h"
#include "objective/preference/preference.h"

namespace temper::objective {

TEST_CASE("the catalogue says of every objective where it comes from, what it computes and what it reads") {
  std::set<std::string> seen;
  std::map<std::string, int> families;
  for (const Json& e : list_objectives()) {
    const std::string id = e["family"].get<std::string>() + "/" + e["name"].get<std::string>();
    CAPTURE(id);
    CHECK(seen.insert(id).second);
    ++families[e["family"]];
    CHECK(e["summary"].get<std::string>().size() > 10);
    CHECK_MESSAGE(!e["equation"].get<std::string>().empty(), "its notes are missing in notes.cc");
    if (e["name"] != "nll") CHECK(!e["source"].get<std::string>().empty());
    CHECK(!e["inputs"].empty());
    CHECK(e["fields"].is_array());
    CHECK(find_objective(id).name == e["name"]);
  }
  CHECK(families.size() == 5);
  CHECK(families["policy"] == static_cast<int>(policy_registry().entries().size()));
  CHECK(families["preference"] == static_cast<int>(preference_registry().entries().size()));
}

TEST_CASE("every note belongs to an objective") {
  for (const FamilyNotes& f :
       {policy_notes(), preference_notes(), supervised_notes(), reward_model_notes(), distillation_notes()}) {
    CAPTURE(f.family);
    CHECK(f.summary.size() > 40);
    std::set<std::string> names;
    for (const ObjectiveNotes& n : f.objectives) {
      CAPTURE(n.name);
      CHECK(names.insert(n.name).second);
      CHECK(find_objective(f.family + "/" + n.name).family == f.family);
      for (const auto& [name, what] : n.metrics) CHECK(what.size() > 10);
    }
  }
}

TEST_CASE("a policy objective's metrics are those its notes define") {
  const Json input = parse_json(R"({"sequences": [
    {"logp": [-0.5, -1.2], "logp_old": [-0.7, -1.0], "logp_ref": [-0.6, -1.1], "value": [0.4, 0.6], "reward": 1, "group": 0, "greedy": 0.5, "ended": 1, "rewards": [1, 0]},
    {"logp": [-2.0], "logp_old": [-1.3], "logp_ref": [-1.8], "value": [0.3], "reward": 0, "group": 0, "greedy": 0.5, "ended": 0, "rewards": [0, 1]}],
    "max_length": 4})",
                                "t");
  const FamilyNotes family = policy_notes();
  std::set<std::string> common;
  for (const auto& [name, what] : family.metrics) common.insert(name);
  int compared = 0;
  for (const ObjectiveNotes& n : family.objectives) {
    CAPTURE(n.name);
    const Needs needs = policy_registry().find(n.name)->make()->needs();
    if (needs.top_k > 0 || needs.demonstration || needs.opening || needs.token_score) continue;
    std::set<std::string> known = common;
    for (const auto& [name, what] : n.metrics) known.insert(name);
    const Json out = evaluate_objective("policy/" + n.name, input, Json::object());
    for (const auto& [name, value] : out["metrics"].items()) CHECK_MESSAGE(known.count(name) == 1, name);
    ++compared;
  }
  CHECK(compared > 20);
}

TEST_CASE("objectives are found by name and by family") {
  CHECK(find_objective("dpo").family == "preference");
  CHECK(find_objective("policy/grpo").name == "grpo");
  CHECK_THROWS_WITH_AS(find_objective("gpro"), doctest::Contains("did you mean \"grpo\""), UserError);
  CHECK_THROWS_WITH_AS(find_objective("preference/grpo"), doctest::Contains("did you mean \"grpo\""),
                       UserError);
  const Json one = parse_json(R"({"sequences": [{"logp": [-0.5, -1.2]}]})", "t");
  CHECK(evaluate_objective("supervised/nll", one, Json::object()) ==
        evaluate_objective("nll", one, Json::object()));
}

}  // namespace temper::objective
