#include "adapter/targets.h"

#include <ATen/ATen.h>

#include "base/error.h"
#include "base/json.h"
#include "test.h"
#include "told.h"

using namespace temper;

namespace {

using Names = std::vector<std::string>;

const Names kModules = {"model.layers.0.self_attn.q_proj", "model.layers.0.mlp.up_proj",
                        "model.layers.1.self_attn.q_proj", "model.layers.1.mlp.up_proj",
                        "model.layers.11.mlp.up_proj"};

std::string select_refusal(const Json& targets) {
  try {
    select_modules(kModules, targets, "adapter.targets");
  } catch (const UserError& e) {
    CHECK(std::string(e.what()).find('\n') == std::string::npos);
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("targets: all, names, ends of paths and regular expressions") {
  CHECK(select_modules(kModules, "all-linear", "x") == kModules);
  CHECK(select_modules(kModules, {"q_proj"}, "x") == Names{kModules[0], kModules[2]});
  CHECK(select_modules(kModules, {"1.mlp.up_proj", "q_proj"}, "x") ==
        Names{kModules[0], kModules[2], kModules[3]});
  CHECK(select_modules(kModules, R"(model\.layers\.\d\..*)", "x") ==
        Names{kModules[0], kModules[1], kModules[2], kModules[3]});
  CHECK(select_modules(kModules, R"(.*\.(?:up|down)_proj)", "x") ==
        Names{kModules[1], kModules[3], kModules[4]});
  CHECK(select_modules(kModules, R"(.*(?<=attn\.)q_proj)", "x").size() == 2);
}

TEST_CASE("targets: what matches nothing is refused with what there is") {
  CHECK(has(select_refusal("q_proj"), "matches no whole module path; there are q_proj, up_proj"));
  CHECK(has(select_refusal({"q_proj", "qq_proj"}),
            "no linear is called \"qq_proj\"; there are q_proj, up_proj"));
  CHECK(has(select_refusal({"proj"}), "no linear"));
  CHECK(has(select_refusal("("), "not a regular expression"));
  CHECK(has(select_refusal(3), "expected"));
  CHECK(has(select_refusal(Json::array()), "expected"));
  CHECK(has(select_refusal({1}), "expected"));
  CHECK(has(select_refusal(".*.*.*.*.*.*.*.*X"), "too many steps"));
}

TEST_CASE("targets: pattern values as PEFT looks them up") {
  const Json patterns = {{"q_proj", 3}, {R"(^model\.layers\.1\..*)", 5}, {R"(layers\.0\.mlp\.up_proj)", 7}};
  CHECK(pattern_value(patterns, kModules[0], 1, "x") == 3);
  CHECK(pattern_value(patterns, kModules[2], 1, "x") == 3);  // the first that matches
  CHECK(pattern_value(patterns, kModules[3], 1, "x") == 5);
  CHECK(pattern_value(patterns, kModules[1], 1, "x") == 7);
  CHECK(pattern_value(patterns, kModules[4], 1, "x") == 1);
  CHECK_THROWS_AS(pattern_value({{"q_proj", -1}}, kModules[0], 1, "x"), UserError);
  CHECK_THROWS_AS(pattern_value({{"q_proj", "a"}}, kModules[0], 1, "x"), UserError);
  CHECK_THROWS_AS(pattern_value({{"(", 1}}, kModules[0], 1, "x"), UserError);
}

TEST_CASE("targets: short names select the same modules again") {
  for (const Names& chosen : {kModules, Names{kModules[0], kModules[2]}, Names{kModules[0]},
                              Names{kModules[0], kModules[1], kModules[2]}}) {
    CHECK(select_modules(kModules, Json(short_names(kModules, chosen)), "x") == chosen);
  }
  CHECK(short_names(kModules, kModules) == Names{"q_proj", "up_proj"});
}
