#include "train/groups/replay.h"

#include <algorithm>
#include <cmath>
#include <map>

#include "base/error.h"
#include "test.h"

using namespace temper;

namespace {

struct Config : Fields {
  ReplaySection replay;
  void fields(FieldVisitor& v) override { v.section("replay", replay, "replay"); }
};

Config section(const std::string& json) {
  Config config;
  read_fields(config, parse_json("{\"replay\": " + json + "}", "c"), "c", "");
  return config;
}

Rollout rollout(std::vector<float> logp, std::optional<double> reward) {
  Rollout r;
  r.ids.assign(logp.size(), 5);
  r.logp_rollout = r.logp_old = std::move(logp);
  r.reward = reward;
  r.finish = "end";
  return r;
}

RolloutGroup group(int64_t draw, std::vector<Rollout> rollouts) {
  RolloutGroup g;
  g.draw = g.record = draw;
  g.prompt = {1, 2};
  g.rollouts = std::move(rollouts);
  return g;
}

std::vector<ReplayItem> replay_items(const std::vector<std::pair<int64_t, double>>& step_and_priority) {
  std::vector<ReplayItem> out;
  for (const auto& [step, priority] : step_and_priority) out.push_back({step, priority, ""});
  return out;
}

std::vector<double> chances(const std::string& json, const std::vector<ReplayItem>& replay_items) {
  const Config config = section(json);
  return draw_probabilities(config.replay.options->log_weights(replay_items));
}

void check_proportional(const std::vector<double>& got, const std::vector<double>& weights) {
  double sum = 0;
  for (const double w : weights) sum += w;
  REQUIRE(got.size() == weights.size());
  for (size_t i = 0; i < got.size(); ++i) CHECK(got[i] == doctest::Approx(weights[i] / sum).epsilon(1e-12));
}

// Draws of the groups in the buffer, oldest first.
std::vector<int64_t> kept(const RunState& state) {
  std::vector<int64_t> out;
  for (const ReplayItem& item : state.replay) out.push_back(parse_json(item.group, "t")["draw"]);
  return out;
}

}  // namespace

TEST_CASE("replay: btp's priority is alpha P + (1 - alpha) pass rate, the mean over a group") {
  const RolloutGroup g =
      group(0, {rollout({-0.5f, -1.25f, -0.25f}, 1.0), rollout({-2.0f}, 0.25), rollout({}, std::nullopt),
                rollout({-1.0f, -1.0f}, -3.0), rollout({-0.125f}, 7.0)});
  const double sequence[] = {std::exp(-2.0), std::exp(-2.0), 1, std::exp(-2.0), std::exp(-0.125)};
  const double mean[] = {std::exp(-2.0 / 3), std::exp(-2.0), 1, std::exp(-1.0), std::exp(-0.125)};
  const double pass_rate[] = {1, 0.25, 0, 0, 1};
  for (const double alpha : {0.0, 0.3, 1.0}) {
    for (const bool whole : {true, false}) {
      const Config config = section(fmt::format(R"({{"kind": "btp", "alpha": {}, "probability": "{}"}})",
                                                alpha, whole ? "sequence" : "mean"));
      double expected = 0;
      for (int i = 0; i < 5; ++i)
        expected += (alpha * (whole ? sequence[i] : mean[i]) + (1 - alpha) * pass_rate[i]) / 5;
      CHECK(config.replay.options->priority(g).value() == doctest::Approx(expected).epsilon(1e-12));
    }
  }
  CHECK_FALSE(section(R"({"kind": "uniform"})").replay.options->priority(g).has_value());
  CHECK_FALSE(section(R"({"kind": "recency"})").replay.options->priority(g).has_value());
}

TEST_CASE("replay: chances of being drawn") {
  const auto buffer = replay_items({{0, 0.5}, {3, 0.0}, {3, 0.9}, {7, 0.5}});
  check_proportional(chances(R"({"kind": "uniform"})", buffer), {1, 1, 1, 1});
  check_proportional(chances(R"({"kind": "recency", "decay": 0.8})", buffer),
                     {std::pow(0.8, 9), std::pow(0.8, 6), std::pow(0.8, 6), std::pow(0.8, 2)});
  check_proportional(
      chances(R"({"kind": "btp", "exponent": 0.6})", buffer),
      {std::pow(0.5 + 1e-6, 0.6), std::pow(1e-6, 0.6), std::pow(0.9 + 1e-6, 0.6), std::pow(0.5 + 1e-6, 0.6)});
  // Of the two equal ones the newer has the better rank.
  check_proportional(chances(R"({"kind": "btp", "draw": "rank", "exponent": 0.7})", buffer),
                     {std::pow(3, -0.7), std::pow(4, -0.7), 1, std::pow(2, -0.7)});
  check_proportional(chances(R"({"kind": "btp", "exponent": 0})", buffer), {1, 1, 1, 1});
  // So far apart that a power would be 0.
  check_proportional(chances(R"({"kind": "recency", "decay": 0.001})", replay_items({{0, 0}, {100000, 0}})),
                     {0, 1});
  CHECK(draw_probabilities({}).empty());
}

TEST_CASE("replay: draws are without replacement, by the weights of those that are left") {
  const std::vector<double> p = {0.1, 0.2, 0.3, 0.4};
  std::vector<double> log_weights;
  for (const double x : p) log_weights.push_back(std::log(x) - 5000);  // only differences count
  constexpr int kDraws = 40000;
  std::map<std::pair<size_t, size_t>, double> seen;
  for (int step = 0; step < kDraws; ++step) {
    const auto drawn = draw_items(log_weights, 2, 3, static_cast<uint64_t>(step));
    REQUIRE(drawn.size() == 2);
    seen[{drawn[0], drawn[1]}] += 1;
  }
  for (size_t i = 0; i < 4; ++i) {
    CHECK(seen.count({i, i}) == 0);
    for (size_t j = 0; j < 4; ++j) {
      if (i == j) continue;
      const double expected = p[i] * p[j] / (1 - p[i]);
      const double sigma = std::sqrt(expected * (1 - expected) / kDraws);
      CAPTURE(i);
      CAPTURE(j);
      CHECK(std::abs(seen[{i, j}] / kDraws - expected) < 4 * sigma);
    }
  }
  CHECK(draw_items(log_weights, 2, 3, 17) == draw_items(log_weights, 2, 3, 17));
  auto all = draw_items(log_weights, 9, 3, 17);  // there are no more than four
  CHECK(std::vector<size_t>(all.begin(), all.begin() + 2) == draw_items(log_weights, 2, 3, 17));
  std::sort(all.begin(), all.end());
  CHECK(all == std::vector<size_t>{0, 1, 2, 3});
  CHECK(draw_items({0.0, -1e6}, 2, 1, 0) == std::vector<size_t>{0, 1});  // exp(-1e6) is 0
  CHECK(draw_items({}, 3, 1, 0).empty());
}

TEST_CASE("replay: a full buffer loses the oldest groups, or those of lowest priority") {
  const auto filled = [](const std::string& json) {
    const Config config = section(json);
    RunState state;
    for (int64_t step = 0; step < 3; ++step) {
      state.step = step;
      add_to_replay(config.replay, state,
                    {group(10 * step, {rollout({-1.0f}, step == 1 ? 1.0 : 0.0)}),
                     group(10 * step + 1, {rollout({-1.0f}, 0.5)})});
    }
    return state;
  };
  CHECK(kept(filled(R"({"capacity": 3, "kind": "uniform"})")) == std::vector<int64_t>{11, 20, 21});
  CHECK(kept(filled(R"({"capacity": 3, "kind": "recency"})")) == std::vector<int64_t>{11, 20, 21});
  CHECK(kept(filled(R"({"capacity": 3, "kind": "btp"})")) == std::vector<int64_t>{11, 20, 21});
  // Priorities but for the same P: 0, .5, 1, .5, 0, .5; of equal ones the oldest leaves.
  const RunState lowest = filled(R"({"capacity": 3, "kind": "btp", "evict": "lowest"})");
  CHECK(kept(lowest) == std::vector<int64_t>{10, 11, 21});
  CHECK(lowest.replay[0].step == 1);
  CHECK(lowest.replay[2].step == 2);
  CHECK(kept(filled(R"({"capacity": 100, "kind": "uniform"})")).size() == 6);
}

TEST_CASE("replay: what was sampled now alone is kept, and comes back as it was, with its age") {
  const Config config = section(R"({"share": 0.5, "from_step": 2, "kind": "btp", "draw": "rank"})");
  RunState state;
  state.step = 1;
  RolloutGroup stored = group(7, {rollout({-1.0f}, 1.0)}), old = group(8, {rollout({-1.0f}, 1.0)});
  stored.stored = true;
  old.age = 3;
  RolloutGroup fresh = group(9, {rollout({-1.0f / 3, -1e-8f}, 1.0 / 3), rollout({-20.25f}, std::nullopt)});
  fresh.rollouts[0].logp_rollout = {-0.5f, -0.25f};
  add_to_replay(config.replay, state, {stored, fresh, old});
  REQUIRE(kept(state) == std::vector<int64_t>{9});
  CHECK(draw_replay(config.replay, state, 1, 8).empty());  // before from_step
  state.step = 6;
  const auto drawn = draw_replay(config.replay, state, 1, 8);
  REQUIRE(drawn.size() == 1);  // there are no four
  CHECK(drawn[0].age == 5);
  CHECK_FALSE(drawn[0].fresh());
  CHECK(drawn[0].to_json() == fresh.to_json());
  const NamedValues row = replay_metrics(config.replay, state, {drawn[0], stored});
  const std::map<std::string, double> values(row.begin(), row.end());
  CHECK(values.at("replay_size") == 1);
  CHECK(values.at("replayed_groups") == 1);
  CHECK(values.at("replay_age") == 5);
  CHECK(values.at("replay_reward") == doctest::Approx(1.0 / 3));
  CHECK(values.at("replay_priority") == *state.replay[0].priority);
  CHECK(replay_metrics(config.replay, state, {stored}).size() == 2);  // means of nothing are not there

  const ReplayItem back = ReplayItem::from_line(state.replay[0].to_line(), "t");
  CHECK(back.step == 1);
  CHECK(back.priority == state.replay[0].priority);
  CHECK(back.group == state.replay[0].group);
  CHECK_FALSE(ReplayItem::from_line(R"({"step":3,"priority":null,"group":{}})", "t").priority.has_value());
}

TEST_CASE("replay: a broken buffer is refused by file and line") {
  for (const char* line : {"", "[]", "{}", R"({"step":-1,"priority":null,"group":{}})",
                           R"({"step":1,"priority":"x","group":{}})", R"({"step":1,"group":{}})",
                           R"({"step":1,"priority":null,"group":[]})"}) {
    CAPTURE(line);
    CHECK_THROWS_WITH_AS(ReplayItem::from_line(line, "replay.jsonl:4"), doctest::Contains("replay.jsonl:4"),
                         UserError);
  }
  const Config config = section(R"({"share": 0.5})");
  RunState state;
  state.step = 2;
  state.replay.push_back({1, std::nullopt, R"({"draw":1})"});
  CHECK_THROWS_AS(draw_replay(config.replay, state, 1, 4), UserError);
}

TEST_CASE("replay: how many of a step's prompts") {
  CHECK(section(R"({"share": 0.25})").replay.replayed_prompts(16) == 4);
  CHECK(section(R"({"share": 0.25})").replay.replayed_prompts(2) == 1);
  CHECK(section(R"({"share": 0.01})").replay.replayed_prompts(8) == 1);
  CHECK_FALSE(section(R"({"share": 0})").replay.on());
  CHECK_FALSE(Config().replay.on());
  CHECK_THROWS_WITH_AS(section(R"({"share": 1})"), doctest::Contains("replay.share"), UserError);
  CHECK_THROWS_WITH_AS(section(R"({"kind": "btb"})"), doctest::Contains("btp"), UserError);
}
