#include "report/evaluation.h"

#include "base/json.h"
#include "test.h"

using namespace temper;

namespace {

const char* kEvaluation = R"({"prompts": 3, "samples": 12, "nulls": 0, "tokens": 12345,
  "figures": {"accuracy": {"value": 0.25, "low": 0.1, "high": 0.5, "prompts": 3},
              "pass@4": {"value": 0.5, "low": 0.2, "high": 0.8, "prompts": 3},
              "reward": {"value": 1.5, "low": null, "high": null, "prompts": 3},
              "loss/x": {"value": 2, "low": 1, "high": 3, "records": 7, "tokens": 70}},
  "extrapolated": {"law": {"a": -1.5, "b": -0.3, "points": 3, "rms": 0.01}, "prompts": 3,
                   "figures": {"pass@64": {"value": 0.9, "low": 0.4, "high": 1, "prompts": 3}}},
  "verifier": {"name": "w<eak", "prompts": 3, "false_positive_rate": {"value": 0.2, "low": 0.1, "high": 0.3, "prompts": 3},
    "true_positive_rate": null, "correct_given_pass": null, "cost": 2,
    "best": {"k": 1, "value": 0.1, "low": 0, "high": 0.2},
    "curve": [{"k": 1, "true_accept": {"value": 0.5, "low": 0.4, "high": 0.6, "prompts": 3},
               "false_accept": {"value": 0.2, "low": 0.1, "high": 0.3, "prompts": 3},
               "value": {"value": 0.1, "low": 0, "high": 0.2, "prompts": 3}}]},
  "by": {"level": {"easy": {"prompts": 1, "figures": {"accuracy": {"value": 1, "low": 0.2, "high": 1, "prompts": 1}}},
                   "häd": {"prompts": 2, "figures": {}}}}})";

}  // namespace

TEST_CASE("evaluation: tables that line up") {
  const Json json = parse_json(kEvaluation, "test");
  const std::string text = evaluation_text(json);
  CAPTURE(text);
  CHECK(text.find("prompts 3, samples 12, nulls 0, tokens 12,345\n"
                  "figure    value    interval  over\n"
                  "accuracy   0.25  [0.1, 0.5]     3\n"
                  "pass@4      0.5  [0.2, 0.8]     3\n"
                  "reward      1.5                 3\n"
                  "loss/x        2      [1, 3]     7\n") == 0);
  CHECK(text.find("pass@64    0.9  [0.4, 1]     3\n") != std::string::npos);
  CHECK(text.find("The verifier w<eak, a wrong answer costs 2: best with 1 attempts, worth 0.1 [0, 0.2]\n") !=
        std::string::npos);
  CHECK(
      text.find(
          "By level\nlevel  prompts    accuracy\neasy         1  1 [0.2, 1]\nhäd          2           -\n") !=
      std::string::npos);
  const Json choices = parse_json(
      R"({"by": {"level": {"easy": {"prompts": 2, "figures": {"acc/x": {"value": 1}, "acc_norm/x": {"value": 0}}}}}})",
      "test");
  CHECK(evaluation_text(choices) ==
        "By level\nlevel  prompts  acc/x  acc_norm/x\neasy         2      1           0\n");
  CHECK(evaluation_text(Json::object()).empty());
  CHECK(evaluation_text({{"figures", Json::object()}}).empty());

  const Json none = {{"extrapolated", {{"none", "nothing bends"}}}};
  CHECK(evaluation_text(none) == "Beyond the samples: nothing bends\n");
  const Json compared =
      parse_json(R"({"prompts": {"matched": 2, "only_a": 1, "only_b": 0}, "samples": {"a": 1, "b": 1},
    "compared": {"accuracy": {"a": {"value": 1}, "b": {"value": 0}, "difference": {"value": 1, "low": 0, "high": 1},
                 "p_a_above_b": 0.875, "prompts": 2}}})",
                 "test");
  CHECK(evaluation_text(compared) ==
        "A and B on 2 prompts; 1 are in A only, 0 in B only\n"
        "figure    A  B     A - B  P(A > B)  over\n"
        "accuracy  1  0  1 [0, 1]     0.875     2\n");
}

TEST_CASE("evaluation: a page of its own") {
  const Json json = parse_json(kEvaluation, "test");
  const std::string page = evaluation_html(json, "run <1>");
  CHECK(page == evaluation_html(json, "run <1>"));
  CHECK(page.find("run &lt;1&gt;") != std::string::npos);
  CHECK(page.find("w&lt;eak") != std::string::npos);
  CHECK(page.find("<script") == std::string::npos);
  CHECK(page.find("http") == page.find("http-equiv"));  // nothing is loaded
  CHECK(page.find("Repeated sampling") != std::string::npos);
  CHECK(page.find("pass@k by the power law") != std::string::npos);
  CHECK(page.find("Attempts with the verifier") != std::string::npos);
  CHECK(evaluation_html({{"figures", Json::object()}}, "x").find("<svg") == std::string::npos);
}
