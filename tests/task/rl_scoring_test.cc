// What scoring beside decoding, and the order of decoding, must not change in an rl run.
#include <cmath>

#include "base/error.h"
#include "base/json.h"
#include "runs.h"
#include "test.h"

using namespace temper;

namespace {

const char* const kRlScoring = R"({
  "task": "rl", "threads": 1, "model": {"path": "start/final", "dtype": "f32"},
  "data": {"train": ["train.jsonl"], "max_tokens": 100},
  "rollout": {"prompts_per_step": 4, "group_size": 4, "max_new_tokens": 12, "max_batch": 3},
  "algorithm": {"name": "grpo"}, "rewards": [],
  "optimizer": {"name": "adamw", "lr": 3e-3}, "schedule": {"name": "constant"},
  "train": {"steps": 4, "batch_size": 2}, "checkpoint": {"every": 0}, "run": "rl" })";

// A program that takes a while for each line; what it says depends on the line alone.
const std::string kSlow = R"({"kind": "process", "command": ["/bin/sh", "-c",
  "while IFS= read -r line; do id=${line#*'\"id\":'}; text=${line#*'\"completion\":'}; sleep 0.002; echo \"{\\\"id\\\": ${id%%,*}, \\\"score\\\": 0.${#text}}\"; done"]})";

struct ScoringRuns : Runs {
  ScoringRuns() { (*this)(tiny_sft("train.jsonl", 20), "start"); }

  // The same run scored beside decoding and after it: the same bytes but for times.
  void check_both(const std::string& name, const std::vector<std::string>& sets) {
    CAPTURE(name);
    const auto beside = (*this)(kRlScoring, name, sets);
    scores_while_decoding = false;
    const auto after = (*this)(kRlScoring, name + "-after", sets);
    scores_while_decoding = true;
    check_same_bytes(name, name + "-after");
    for (const auto* rows : {&beside, &after}) {
      REQUIRE(rows->size() == 4);
      for (const MetricsRow& row : *rows) {
        CHECK(*row.find("scoring_s") >= 0);
        CHECK(*row.find("scoring_s") <= *row.find("rollout_s"));
      }
    }
  }
  void check_same_bytes(const std::string& a, const std::string& b) const {
    for (const char* file : {"samples.jsonl", "final/model.safetensors"})
      CHECK(bytes(folder() / a / file) == bytes(folder() / b / file));
    CHECK(without_times(a) == without_times(b));
  }
  Json state(const std::string& name, int step) const {
    return read_json_file((folder() / name / fmt::format("checkpoints/step-{}/state.json", step)).string());
  }

 private:
  std::string without_times(const std::string& name) const {
    std::string out;
    for (const Json& row : lines(name)) {
      Json kept = row;
      kept.erase("time");
      out += kept.dump() + "\n";
    }
    return out;
  }
  std::vector<Json> lines(const std::string& name) const {
    std::vector<Json> out;
    std::istringstream in(bytes(folder() / name / "metrics.jsonl"));
    for (std::string line; std::getline(in, line);) out.push_back(Json::parse(line));
    return out;
  }
};

}  // namespace

TEST_CASE("scored beside decoding, an rl run has the bytes of one scored after it") {
  ScoringRuns runs;
  const std::string contains = R"({"kind": "contains", "texts": ["1", "2", "3"], "weight": 0.5})";
  runs.check_both("process", {"rewards=[" + kSlow + "]"});
  runs.check_both("several", {"rewards=[" + contains + ", {\"kind\": \"math\"}, " + kSlow + "]",
                              "combine=product", "algorithm.name=dapo", "algorithm.filter_max_rounds=1000"});
  runs.check_both("luffy", {"rewards=[" + kSlow + "]", "algorithm.name=luffy", "rollout.demonstrations=1"});
  runs.check_both("adaptthink",
                  {"rewards=[" + kSlow + "]", "algorithm.name=adaptthink",
                   R"(rollout.openings=["<|im_end|>", "<|im_start|>"])", "rollout.reference_samples=2"});
}

TEST_CASE("a model's scores come after decoding, in their batches, beside what is scored meanwhile") {
  ScoringRuns runs;
  runs.write("pairs.jsonl", arithmetic_pairs());
  Json judge = Json::parse(tiny_sft("pairs.jsonl", 3));
  judge["task"] = "reward_model";
  runs(judge.dump(), "judge");
  const std::string model = fmt::format(R"({{"kind": "model", "path": "{}", "micro_batch_tokens": 150}})",
                                        (runs.folder() / "judge/final").string());
  runs.check_both("model", {"rewards=[" + model + "]"});
  runs.check_both("both", {"rewards=[" + kSlow + ", " + model + "]"});
}

TEST_CASE("an error of a reward ends the run as it does when all is decoded first") {
  ScoringRuns runs;
  const std::string dies =
      R"(rewards=[{"kind": "process", "command": ["/bin/sh", "-c", "exit 7"], "fail_share": 0}])";
  std::string said[2];
  for (const bool beside : {true, false}) {
    runs.scores_while_decoding = beside;
    try {
      runs(kRlScoring, beside ? "beside" : "after",
           {dies, "rollout.prompts_per_step=8", "train.batch_size=8"});
      FAIL("it has not ended");
    } catch (const UserError& e) {
      said[beside ? 1 : 0] = e.what();
    }
  }
  CHECK(said[1].find("20 of its last 20 scores are null, more than fail_share") != std::string::npos);
  CHECK(said[1] == said[0]);
}

TEST_CASE("the order of decoding follows the lengths in the state, and a torn run goes on with them") {
  ScoringRuns runs;
  const std::vector<std::string> sets = {R"(rewards=[{"kind": "contains", "texts": ["1", "2", "3"]}])",
                                         "train.steps=10", "checkpoint.every=2", "checkpoint.keep=9"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), sets.begin(), sets.end());
    return more;
  };
  const auto whole = runs(kRlScoring, "whole", with({}));
  REQUIRE(whole.size() == 10);
  CHECK(runs.state("whole", 2)["lengths"].size() == 8);    // 4 records a step
  CHECK(runs.state("whole", 10)["lengths"].size() == 16);  // all there are
  const Json last = runs.state("whole", 10);
  for (const Json& pair : last["lengths"]) {
    CHECK(pair[1] >= 1);
    CHECK(pair[1] <= 12);
  }
  runs(kRlScoring, "torn", with({}));
  for (const char* step : {"8", "10"})
    std::filesystem::remove_all(runs.folder() / "torn/checkpoints" / (std::string("step-") + step));
  std::filesystem::remove_all(runs.folder() / "torn/final");
  runs(kRlScoring, "torn", with({}), "must");
  runs.check_same_bytes("whole", "torn");

  // Tokens depend on the order by rounding alone.
  check_same(whole, runs(kRlScoring, "drawn", with({"rollout.longest_first=false"})), 1e-3);
  // Where all are decoded at once there is no order, and no length to remember.
  runs(kRlScoring, "roomy", with({"rollout.max_batch=16"}));
  CHECK(runs.state("roomy", 10)["lengths"].empty());
}
