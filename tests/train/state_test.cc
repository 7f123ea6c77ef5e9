#include "run/state.h"

#include <ATen/ATen.h>

#include <limits>

#include "base/error.h"
#include "test.h"
#include "train/rollouts.h"

using namespace temper;

namespace {

RunState filled() {
  RunState s;
  s.step = 12;
  s.updates = 48;
  s.tokens = 123456789012345;
  s.cursor = 96;
  s.leftovers = Json::array({{{"draw", 3}}, {{"draw", 4}}});
  s.best = 0.1 + 0.2;  // not a short decimal
  s.best_step = 10;
  s.evaluation_due = false;
  s.health = {{"losses", {0.1, 1.0 / 3.0}}};
  s.log = {11, 22, 33};
  s.lengths = {{3, 17.25}, {40, 1.0 / 3.0}};
  s.reference_rewards = {{3, 1.0 / 3.0}, {12, -2.0}};
  s.reference_scores = {{4, {{0.1, 1.0 / 3.0}, {}}}};
  s.eval_reference_scores = {{0, {{}, {-0.0}}}};
  return s;
}

}  // namespace

TEST_CASE("a run state survives being written as text and read again") {
  const RunState s = filled();
  const RunState back = RunState::from_json(Json::parse(s.to_json().dump()), "state.json");
  CHECK(back.step == 12);
  CHECK(back.updates == 48);
  CHECK(back.tokens == 123456789012345);
  CHECK(back.cursor == 96);
  CHECK(back.leftovers == s.leftovers);
  REQUIRE(back.best.has_value());
  CHECK(*back.best == *s.best);
  CHECK(back.best_step == 10);
  CHECK_FALSE(back.evaluation_due);
  CHECK(back.health == s.health);
  CHECK(back.lengths == s.lengths);
  CHECK(back.reference_rewards == s.reference_rewards);
  CHECK(back.reference_scores == s.reference_scores);
  CHECK(back.eval_reference_scores == s.eval_reference_scores);
  CHECK(back.log.metrics_bytes == 11);
  CHECK(back.log.samples_bytes == 22);
  CHECK(back.log.events_bytes == 33);
  CHECK(back.to_json() == s.to_json());

  const RunState fresh = RunState::from_json(RunState().to_json(), "state.json");
  CHECK_FALSE(fresh.best.has_value());
  CHECK(fresh.evaluation_due);
}

TEST_CASE("a run state of before the lengths has none") {
  Json before = filled().to_json();
  before.erase("lengths");
  CHECK(RunState::from_json(before, "state.json").lengths.empty());
}

TEST_CASE("a run state that lacks a key or has one of another type names its file") {
  const Json whole = filled().to_json();
  for (const auto& [key, value] : whole.items()) {
    CAPTURE(key);
    if (key == "temper" || key == "lengths" || key == "open" || key == "order" || key == "history" ||
        key.ends_with("reference_scores"))
      continue;  // which older states lack
    Json missing = whole;
    missing.erase(key);
    CHECK_THROWS_WITH_AS(RunState::from_json(missing, "here/state.json"),
                         doctest::Contains("here/state.json"), UserError);
  }
  for (const char* key : {"step", "cursor", "best", "log"}) {
    CAPTURE(key);
    Json wrong = whole;
    wrong[key] = "twelve";
    CHECK_THROWS_WITH_AS(RunState::from_json(wrong, "here/state.json"), doctest::Contains("here/state.json"),
                         UserError);
  }
  CHECK_THROWS_AS(RunState::from_json(Json::array(), "here/state.json"), UserError);
}

TEST_CASE("a run state with a value out of its range is refused by name") {
  const auto refused = [](const char* key, const Json& value) {
    Json json = filled().to_json();
    json[key] = value;
    CAPTURE(key);
    CHECK_THROWS_WITH_AS(RunState::from_json(json, "here/state.json"), doctest::Contains(key), UserError);
  };
  for (const char* key : {"step", "updates", "tokens", "cursor", "stored_cursor", "best_step"}) {
    for (const Json& value :
         {Json(-1), Json(1.5), Json(1e300), Json(uint64_t{1} << 63), Json(int64_t{1} << 60), Json()})
      refused(key, value);
  }
  refused("best_step", 13);  // of 12 steps
  refused("best", std::numeric_limits<double>::infinity());
  for (const char* key : {"health", "loop", "adapter", "reference_rewards", "reference_scores"})
    refused(key, Json::array());
  for (const char* record : {"", "-1", "1x", "99999999999999999999"})
    refused("reference_rewards", {{record, 1.0}});
  refused("leftovers", Json::object());
  refused("open", Json::object());
  for (const char* text : {R"({"1": 2})", R"([3])", R"([[1]])", R"([[1, "2"]])", R"([[-1, 2]])",
                           R"([[1, -2]])", R"([[1, 2], [1, 2]])", R"([[1, 2, 3]])", R"([[0.5, 2]])"})
    refused("lengths", Json::parse(text));
}

TEST_CASE("a group left over that does not hold together is refused") {
  RolloutGroup g;
  g.prompt = {1};
  g.rollouts.push_back({{4, 5}, {}, {-0.1f, -0.2f}, {}, 1.0, {}, "text", "end"});
  const Json whole = g.to_json();
  CHECK_NOTHROW(RolloutGroup::from_json(whole));
  Json broken = whole;
  broken["record"] = -1;
  CHECK_THROWS_AS(RolloutGroup::from_json(broken), UserError);
  broken = whole;
  broken["rollouts"][0]["logp_rollout"] = {0.5};
  CHECK_THROWS_AS(RolloutGroup::from_json(broken), UserError);
  broken = whole;
  broken["rollouts"][0].erase("ids");
  CHECK_THROWS_AS(RolloutGroup::from_json(broken), UserError);
  CHECK_THROWS_AS(RolloutGroup::from_json(Json(3)), UserError);
}

TEST_CASE("groups left over keep every number, bit by bit") {
  RolloutGroup g;
  g.draw = 17;
  g.record = 5;
  g.prompt = {1, 2, 3};
  g.prompt_text = "a \"quoted\" prompt,\nZürich";
  g.rollouts.push_back(
      {{4, 5}, {}, {-0.1f, -1.0f / 3.0f}, {-1e-8f, -20.25f}, 1.0 / 3.0, {0.5, std::nullopt}, "text", "end"});
  g.rollouts[0].parts[1].text = "out of time\nZürich";
  g.rollouts[0].parts[1].outcome = "runtime_error";
  g.rollouts.push_back({{}, {}, {}, {}, std::nullopt, {std::nullopt, -1.0}, "", "length"});
  g.rollouts[0].counted = {0.25, 1.0 / 3};
  g.rollouts[1].counted = {std::nullopt, -1.0};
  const RolloutGroup back = RolloutGroup::from_json(Json::parse(g.to_json().dump()));
  CHECK(back.draw == 17);
  CHECK(back.record == 5);
  CHECK(back.prompt == g.prompt);
  CHECK(back.prompt_text == g.prompt_text);
  REQUIRE(back.rollouts.size() == 2);
  for (size_t i = 0; i < 2; ++i) {
    CHECK(back.rollouts[i].ids == g.rollouts[i].ids);
    CHECK(back.rollouts[i].logp_rollout == g.rollouts[i].logp_rollout);
    CHECK(back.rollouts[i].logp_old == g.rollouts[i].logp_old);
    CHECK((back.rollouts[i].reward == g.rollouts[i].reward));
    CHECK((back.rollouts[i].parts == g.rollouts[i].parts));
    CHECK((back.rollouts[i].counted == g.rollouts[i].counted));
    CHECK(back.rollouts[i].text == g.rollouts[i].text);
    CHECK(back.rollouts[i].finish == g.rollouts[i].finish);
  }
}

TEST_CASE("the tensors of a rollout batch follow its sequences, empty ones included") {
  std::vector<RolloutGroup> groups(2);
  groups[0].prompt = {1, 2};
  groups[0].rollouts.push_back({{3, 4}, {}, {-1, -2}, {-1.5f, -2.5f}, 1.0, {1.0}, "", "end"});
  groups[0].rollouts.push_back({{}, {}, {}, {}, 0.0, {0.0}, "", "end"});
  groups[1].prompt = {5};
  groups[1].rollouts.push_back(
      {{6, 7, 8}, {}, {-3, -4, -5}, {-3.5f, -4.5f, -5.5f}, std::nullopt, {std::nullopt}, "", "end"});
  const RolloutTensors all = rollout_tensors(groups);
  CHECK(all.offsets == std::vector<int64_t>{0, 2, 2, 5});
  CHECK(at::equal(all.batch.sequence, at::tensor({0, 0, 2, 2, 2}, at::kLong)));
  CHECK(at::equal(all.batch.group, at::tensor({0, 0, 1}, at::kLong)));
  CHECK(all.batch.reward[0].item<float>() == 1.0f);
  CHECK(std::isnan(all.batch.reward[2].item<float>()));
  const objective::PolicyBatch part = slice(all, 1, 3);
  CHECK(part.sequences == 2);
  CHECK(at::equal(part.sequence, at::tensor({1, 1, 1}, at::kLong)));
  CHECK(at::equal(part.logp_rollout, at::tensor({-3.0f, -4.0f, -5.0f})));
  CHECK(at::equal(part.logp_old, at::tensor({-3.5f, -4.5f, -5.5f})));
}
