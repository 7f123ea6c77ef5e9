#include "objective/inspect.h"

#include "base/error.h"
#include "cases.h"

namespace temper::objective {
namespace {

const char* kInput = R"({"sequences": [
  {"logp": [-0.5, -1.2], "logp_old": [-0.7, -1.0], "reward": 1, "group": 0},
  {"logp": [-2.0], "logp_old": [-1.3], "reward": 0, "group": 0}]})";

void refused_input(const Json& input, const std::string& text, const Json& set = Json::object(),
                   const std::string& name = "grpo") {
  CAPTURE(input.dump());
  CHECK_THROWS_WITH_AS(evaluate_objective(name, input, set), doctest::Contains(text.c_str()), UserError);
}

}  // namespace

TEST_CASE("an objective on numbers: loss, gradient, metrics") {
  const Json out = evaluate_objective("grpo", parse_json(kInput, "t"), Json::object());
  CHECK(out["grad"]["logp"].size() == 2);
  CHECK(out["grad"]["logp"][0].size() == 2);
  CHECK(out["grad"]["logp"][1].size() == 1);
  CHECK(out["metrics"].contains("ratio"));

  // Advantages of one number a sequence and of one number a token.
  Json given = parse_json(kInput, "t"), per_token = given;
  const std::vector<double> a = {.707006795, -.707006795};
  for (size_t i = 0; i < 2; ++i) {
    given["sequences"][i]["advantage"] = a[i];
    per_token["sequences"][i]["advantage"] = std::vector<double>(i == 0 ? 2 : 1, a[i]);
  }
  CHECK(evaluate_objective("grpo", given, Json::object())["loss"].get<double>() ==
        doctest::Approx(out["loss"].get<double>()).epsilon(1e-8));
  CHECK(evaluate_objective("grpo", per_token, Json::object()) ==
        evaluate_objective("grpo", given, Json::object()));
}

TEST_CASE("an objective on numbers: KL in the reward moves the advantage") {
  Json input = parse_json(kInput, "t");
  input["sequences"][0]["logp_ref"] = {-0.9, -0.9};
  input["sequences"][1]["logp_ref"] = {-1.0};
  // Rewards 1 - .5 (.2 - .1), 0 - .5 (-.3), centred.
  const double difference = (1 - 0.05) - 0.15;
  const Json out =
      evaluate_objective("dr_grpo", input, {{"kl_coef", 0.5}, {"kl_in", "reward"}, {"max_length", 2}});
  Json direct = parse_json(kInput, "t");
  direct["sequences"][0]["advantage"] = difference / 2;
  direct["sequences"][1]["advantage"] = -difference / 2;
  const Json wanted = evaluate_objective("dr_grpo", direct, {{"max_length", 2}});
  CHECK(worst_difference(out["grad"]["logp"], wanted["grad"]["logp"]) < 1e-12);
}

TEST_CASE("supervised losses on numbers") {
  const Json out = evaluate_objective("nll", parse_json(R"({"sequences": [{"logp": [-0.5, -1.2]}]})", "t"),
                                      Json::object());
  CHECK(out["loss"].get<double>() == doctest::Approx(0.85));
  CHECK(worst_difference(out["grad"]["logp"], parse_json("[[-0.5, -0.5]]", "t")) < 1e-12);
}

TEST_CASE("wrong numbers are refused in one line") {
  const Json good = parse_json(kInput, "t");
  refused_input(good, "did you mean \"grpo\"", Json::object(), "gpro");
  refused_input(good, "known: grpo", Json::object(), "zzzzzzzzzzzzzz");
  refused_input(good, "did you mean \"clip_high\"", {{"clip_higher", 1}});
  refused_input(Json::array(), "expected an object with \"sequences\"");
  refused_input({{"sequences", Json::array()}}, "\"sequences\" is empty");
  refused_input({{"sequences", {1}}}, "sequences.0: expected an object");
  refused_input({{"sequences", Json::array()}, {"pairs", 1}}, "unknown key \"pairs\"");
  Json bad = good;
  bad["sequences"][1].erase("logp");
  refused_input(bad, "sequences.1: \"logp\" is missing");
  bad = good;
  bad["sequences"][1].erase("logp_old");
  refused_input(bad, "sequences.1: \"logp_old\" is missing, which others have");
  bad["sequences"][0].erase("logp_old");
  refused_input(bad, "\"logp_old\" is missing, and objective grpo needs it");
  refused_input(good, "\"logp_ref\" is missing, and objective grpo needs it", {{"kl_coef", 0.1}});
  bad = good;
  bad["sequences"][0]["logp_old"] = {-0.7};
  refused_input(bad, "sequences.0.logp_old: 1 numbers, but logp has 2");
  bad["sequences"][0]["logp_old"] = {-0.7, nullptr};
  refused_input(bad, "sequences.0.logp_old.1: expected a finite number, found null");
  bad["sequences"][0]["logp_old"] = "x";
  refused_input(bad, "sequences.0.logp_old: expected an array");
  bad = good;
  bad["sequences"][0]["group"] = 0.5;
  refused_input(bad, "sequences.0.group: expected an integer");
  bad = good;
  bad["sequences"][0]["log_old"] = {1};
  refused_input(bad, "did you mean \"logp_old\"");
  bad = good;
  for (Json& sequence : bad["sequences"]) sequence.erase("group");
  refused_input(bad, "\"group\" is missing, and the advantage estimator group_zscore");
  refused_input(good, "seq_mean_token_sum divides by max_length", Json::object(), "dr_grpo");
}

TEST_CASE("what an objective reads") {
  CHECK(objective_inputs("grpo", Json::object()) ==
        std::vector<std::string>{"logp", "logp_old", "advantage, or reward and group"});
  CHECK(objective_inputs("grpo", {{"kl_coef", 1.0}})[2] == "logp_ref");
  CHECK(objective_inputs("nll", Json::object()) == std::vector<std::string>{"logp"});
}

}  // namespace temper::objective
