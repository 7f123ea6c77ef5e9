// Transforms of rewards, and what rewards say beside their numbers, in whole rl runs.
#include <cmath>

#include "base/error.h"
#include "base/json.h"
#include "runs.h"
#include "test.h"

using namespace temper;

namespace {

const char* const kRlTransforms = R"({
  "task": "rl", "threads": 1, "model": {"path": "start/final", "dtype": "f32"},
  "data": {"train": ["train.jsonl"], "eval": ["eval.jsonl"], "max_tokens": 100},
  "rollout": {"prompts_per_step": 4, "group_size": 4, "max_new_tokens": 8},
  "algorithm": {"name": "grpo"}, "rewards": [{"kind": "math"}], "eval": {"every": 0, "samples": 2},
  "optimizer": {"name": "adamw", "lr": 3e-3}, "schedule": {"name": "constant"},
  "train": {"steps": 6, "batch_size": 2}, "checkpoint": {"every": 2, "keep": 9}, "run": "rl" })";

// What it says depends on the completion alone, and is rarely the same for two.
const std::string kCommand = R"("command": ["/bin/sh", "-c",
  "while IFS= read -r line; do id=${line#*'\"id\":'}; text=${line#*'\"completion\":'}; text=${text%%'\",\"raw'*}; n=$(printf %s \"$text\" | cksum); n=${n%% *}; printf '%s\n' \"{\\\"id\\\": ${id%%,*}, \\\"score\\\": 0.$n, \\\"text\\\": \\\"it sums to $n\\\"}\"; done"])";

std::string process(const std::string& transforms) {
  return "{\"kind\": \"process\", \"name\": \"sum\", " + kCommand + ", \"transforms\": [" + transforms + "]}";
}

struct TransformRuns : Runs {
  TransformRuns() {
    (*this)(tiny_sft("train.jsonl", 20), "start");
    write("eval.jsonl", arithmetic().substr(0, arithmetic().find('\n', 200) + 1));
  }
  Json state(const std::string& name, int step) const {
    return read_json_file((folder() / name / fmt::format("checkpoints/step-{}/state.json", step)).string());
  }
  std::vector<Json> lines(const std::string& name, const char* file) const {
    std::vector<Json> out;
    std::istringstream in(bytes(folder() / name / file));
    for (std::string line; std::getline(in, line);) {
      out.push_back(Json::parse(line));
      out.back().erase("time");
    }
    return out;
  }
  void check_same_run(const std::string& a, const std::string& b) const {
    for (const char* file : {"samples.jsonl", "final/model.safetensors"})
      CHECK(bytes(folder() / a / file) == bytes(folder() / b / file));
    CHECK(lines(a, "metrics.jsonl") == lines(b, "metrics.jsonl"));
  }
};

}  // namespace

TEST_CASE(
    "rewards that are compared with the initial model's answers ask for them once a record, and resume") {
  TransformRuns runs;
  const std::vector<std::string> sets = {
      "rewards=[" + process(R"({"kind": "calibrate", "samples": 3}, {"kind": "exp", "t": 2})") + "]",
      "eval.every=3", "adapter={\"kind\": \"full\"}"};
  const auto rows = runs(kRlTransforms, "whole", sets);
  for (const MetricsRow& row : rows) {
    const double said = *row.find("reward/sum"), counted = *row.find("reward/sum/transformed");
    CHECK(said > 0);
    CHECK(said < 1);
    CHECK(counted >= 1);  // e^(2 share)
    CHECK(counted <= std::exp(2.0));
    CHECK(*row.find("reward") == doctest::Approx(counted).epsilon(1e-12));
    CHECK(*row.find("sum/restarts") == 0);
  }
  const Json state = runs.state("whole", 6);
  CHECK(state["reference_scores"].size() == 16);  // all records
  CHECK(state["eval_reference_scores"].size() == runs.lines("whole", "../eval.jsonl").size());
  for (const auto& [record, scores] : state["reference_scores"].items()) {
    REQUIRE(scores.size() == 1);
    CHECK(scores[0].size() == 3);
  }
  for (const Json& sample : runs.lines("whole", "samples.jsonl")) {
    const double share = std::log(sample["reward_transformed"]["sum"].get<double>()) / 2;
    CHECK(std::abs(share * 3 - std::round(share * 3)) < 1e-9);
    CHECK(sample["reward_texts"]["sum"].get<std::string>().starts_with("it sums to "));
  }

  // Where the run was torn, and whether scores came while others were decoded, changes no byte.
  runs(kRlTransforms, "torn", sets);
  for (const char* step : {"4", "6"})
    std::filesystem::remove_all(runs.folder() / "torn/checkpoints" / (std::string("step-") + step));
  std::filesystem::remove_all(runs.folder() / "torn/final");
  runs(kRlTransforms, "torn", sets, "must");
  runs.check_same_run("whole", "torn");
  runs.scores_while_decoding = false;
  runs(kRlTransforms, "after", sets);
  runs.scores_while_decoding = true;
  runs.check_same_run("whole", "after");

  // They are the initial model's, whenever they are asked for: by a run that never changes it as well.
  auto still = sets;
  still.insert(still.end(), {"optimizer.lr=0", "rollout.prompts_per_step=16", "train.steps=1"});
  runs(kRlTransforms, "still", still);
  CHECK(runs.state("still", 1)["reference_scores"] == state["reference_scores"]);
  auto lora = sets;
  lora.back() = "adapter={\"kind\": \"lora\", \"rank\": 4}";
  runs(kRlTransforms, "lora", lora);
  CHECK(runs.state("lora", 6)["reference_scores"] == state["reference_scores"]);
}

TEST_CASE("a shaped score counts, what was said is told, and groups left over keep both") {
  TransformRuns runs;
  const std::string shaped =
      "rewards=[" + process(R"({"kind": "shape", "verifier": "says"})") +
      R"(, {"kind": "contains", "name": "says", "texts": ["1", "2", "3"], "weight": 0}])";
  const std::vector<std::string> sets = {shaped, "algorithm.name=dapo", "algorithm.filter_max_rounds=100"};
  runs(kRlTransforms, "whole", sets);
  for (const Json& sample : runs.lines("whole", "samples.jsonl")) {
    const double right = sample["rewards"]["says"], said = sample["rewards"]["sum"],
                 counted = sample["reward"];
    CHECK(counted == doctest::Approx(1 / (1 + std::exp(-said / 2)) + right - 1));
    CHECK(sample["reward_transformed"]["sum"] == counted);
    CHECK_FALSE(sample["reward_transformed"].contains("says"));
  }
  runs(kRlTransforms, "torn", sets);
  std::filesystem::remove_all(runs.folder() / "torn/checkpoints/step-6");
  std::filesystem::remove_all(runs.folder() / "torn/final");
  runs(kRlTransforms, "torn", sets, "must");
  runs.check_same_run("whole", "torn");
  CHECK_THROWS_WITH_AS(
      runs(kRlTransforms, "none",
           {R"(rewards=[{"kind": "math", "transforms": [{"kind": "shape", "verifier": "x"}]}])"}),
      doctest::Contains("reads another reward"), UserError);
}

TEST_CASE("outcomes of programs are shares of a step's completions") {
  TransformRuns runs;
  const std::vector<std::string> sets = {
      R"(rewards=[{"kind": "code", "score": "coderl", "inputs": "prompt", "outputs": "answer"}])",
      "train.steps=1", "eval.every=1"};
  const auto rows = runs(kRlTransforms, "code", sets);
  REQUIRE(rows.size() == 3);  // before, the step, after
  for (const MetricsRow& row : rows) {
    double sum = 0;
    for (const char* outcome : {"compile_error", "runtime_error", "failed_test", "passed"})
      sum += *row.find(std::string("code/") + outcome);
    CHECK(sum == doctest::Approx(1.0));
    // One to see whether it compiles, and one more where it does.
    const double items =
        row.split == "train" ? 16 : 2.0 * static_cast<double>(runs.lines("code", "../eval.jsonl").size());
    CHECK(*row.find("code/programs") == doctest::Approx(items * (2 - *row.find("code/compile_error"))));
  }
  // A run from before rewards had transforms goes on as one that has none.
  Json config = read_json_file((runs.folder() / "code/config.json").string());
  REQUIRE(config["rewards"][0].contains("transforms"));
  config["rewards"][0].erase("transforms");
  runs.write("code/config.json", config.dump());
  CHECK_NOTHROW(runs(kRlTransforms, "code", sets, "must"));
}
