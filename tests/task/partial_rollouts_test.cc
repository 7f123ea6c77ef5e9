// Completions that go on over several steps of a run.
#include "base/error.h"
#include "base/json.h"
#include "runs.h"

using namespace temper;

namespace {

const char* const kPartial = R"({
  "task": "rl", "threads": 1, "model": {"path": "start/final", "dtype": "f32"},
  "data": {"train": ["train.jsonl"], "max_tokens": 100},
  "rollout": {"prompts_per_step": 4, "group_size": 4, "max_new_tokens": 24, "step_tokens": 5, "max_batch": 16},
  "algorithm": {"name": "grpo", "correction": "truncate"}, "rewards": [{"kind": "contains", "texts": ["7", "8"]}],
  "optimizer": {"name": "adamw", "lr": 3e-3}, "schedule": {"name": "constant"},
  "train": {"steps": 6, "batch_size": 2}, "checkpoint": {"every": 0}, "run": "rl" })";

struct PartialRuns : Runs {
  PartialRuns() { (*this)(tiny_sft("train.jsonl", 8), "start"); }
  void check_same_bytes(const std::string& a, const std::string& b) const {
    for (const char* file : {"samples.jsonl", "final/model.safetensors"})
      CHECK(bytes(folder() / a / file) == bytes(folder() / b / file));
  }
  Json state(const std::string& name, int step) const {
    return read_json_file((folder() / name / fmt::format("checkpoints/step-{}/state.json", step)).string());
  }
};

}  // namespace

TEST_CASE("completions go on in later steps, and a torn run goes on with them") {
  PartialRuns runs;
  const std::vector<std::string> sets = {"checkpoint.every=1", "checkpoint.keep=9"};
  const auto whole = runs(kPartial, "whole", sets);
  REQUIRE(whole.size() == 6);
  double older = 0, weight = 0;
  size_t open = 0;
  for (int step = 1; step <= 6; ++step) {
    older += whole[static_cast<size_t>(step - 1)].find("older_tokens").value_or(0);
    weight += std::abs(*whole[static_cast<size_t>(step - 1)].find("correction_weight") - 1);
    const Json state = runs.state("whole", step);
    for (const Json& group : state["open"]) {
      ++open;
      size_t unfinished = 0;
      for (const Json& r : group["rollouts"]) {
        unfinished += r["finish"] == "open" ? 1 : 0;
        CHECK(r["ids"].size() == r["logp_rollout"].size());
        if (r["finish"] == "open") CHECK(r["ids"].size() % 5 == 0);
      }
      CHECK(unfinished > 0);
    }
  }
  CHECK(older > 0.2);
  CHECK(weight > 1e-3);  // the weights have moved since
  CHECK(open > 3);
  runs(kPartial, "torn", sets);
  for (const char* step : {"3", "4", "5", "6"})
    std::filesystem::remove_all(runs.folder() / "torn/checkpoints" / (std::string("step-") + step));
  std::filesystem::remove_all(runs.folder() / "torn/final");
  runs(kPartial, "torn", sets, "must");
  runs.check_same_bytes("whole", "torn");
}

TEST_CASE("who decodes beside whom, and micro-batches, change nothing in partial rollouts") {
  PartialRuns runs;
  const auto whole = runs(kPartial, "whole");
  check_same(whole, runs(kPartial, "narrow", {"rollout.max_batch=3"}), 1e-3);
  check_same(whole, runs(kPartial, "cut", {"train.micro_batch_tokens=60"}), 1e-3);
  // Every completion ends within a step: a plain run, but for the trainer's own pass.
  const auto at_once = runs(kPartial, "at-once", {"rollout.step_tokens=24"});
  for (const MetricsRow& row : at_once) CHECK_FALSE(row.find("older_tokens").has_value());
}

TEST_CASE("partial rollouts of filtered groups, and what they do not go with") {
  PartialRuns runs;
  const std::vector<std::string> dapo = {"algorithm.name=dapo", "algorithm.correction=truncate",
                                         "algorithm.filter_max_rounds=1000", "checkpoint.every=1",
                                         "checkpoint.keep=9"};
  runs(kPartial, "whole", dapo);
  runs(kPartial, "torn", dapo);
  for (const char* step : {"4", "5", "6"})
    std::filesystem::remove_all(runs.folder() / "torn/checkpoints" / (std::string("step-") + step));
  std::filesystem::remove_all(runs.folder() / "torn/final");
  runs(kPartial, "torn", dapo, "must");
  runs.check_same_bytes("whole", "torn");

  CHECK_THROWS_WITH_AS(
      runs(kPartial, "bare", {"algorithm.correction=none"}),
      doctest::Contains("rollout.step_tokens: tokens of earlier weights need algorithm.correction"),
      UserError);
  CHECK_THROWS_WITH_AS(
      runs(kPartial, "talks", {R"(environment={"kind": "attempts"})"}),
      doctest::Contains("conversations are sampled to their end; leave out rollout.step_tokens"), UserError);
  CHECK_THROWS_WITH_AS(
      runs(kPartial, "shown",
           {"algorithm.name=luffy", "algorithm.correction=truncate", "rollout.demonstrations=1"}),
      doctest::Contains("rollout.demonstrations: groups with them are sampled to their end"), UserError);
}
