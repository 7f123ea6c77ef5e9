// Whole runs of tiny models: what they learn, and what their results must not depend on.
#include <ATen/ATen.h>

#include <cmath>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "objective/policy/policy.h"
#include "runs.h"
#include "test.h"

using namespace temper;

namespace {

const std::string kSftRun = tiny_sft("train.jsonl", 60);

const char* const kRl = R"({
  "task": "rl", "threads": 1,
  "model": {"dtype": "f32", "init": {"vocab": 280, "hidden": 32, "intermediate": 64, "layers": 2, "heads": 2,
                                     "kv_heads": 1, "max_positions": 128}},
  "data": {"train": ["train.jsonl"], "max_tokens": 100},
  "rollout": {"prompts_per_step": 4, "group_size": 8, "max_new_tokens": 8},
  "rewards": [{"kind": "contains", "texts": ["1", "2", "3", "4", "5"]}],
  "algorithm": {"name": "grpo"},
  "optimizer": {"name": "adamw", "lr": 1e-2}, "schedule": {"name": "constant"},
  "train": {"steps": 3, "batch_size": 2, "updates_per_rollout": 2}, "checkpoint": {"every": 0}, "run": "rl" })";

}  // namespace

TEST_CASE("sft overfits one batch and writes what it promises") {
  Runs runs;
  const auto rows = runs(kSftRun, "sft", {"train.batch_size=16", "train.steps=150"});
  REQUIRE(rows.size() == 150);
  CHECK(*rows.front().find("loss") > 3.0);
  CHECK(*rows.back().find("loss") < 0.1);
  for (const char* file : {"config.json", "samples.jsonl", "report.html", "final/config.json",
                           "final/model.safetensors", "final/tokenizer.json", "checkpoints/step-150/DONE"}) {
    CAPTURE(file);
    CHECK(std::filesystem::exists(runs.folder() / "sft" / file));
  }
}

TEST_CASE("sft gives the same numbers for any micro-batch") {
  Runs runs;
  const auto whole = runs(kSftRun, "whole", {"train.steps=4"});
  const auto cut = runs(kSftRun, "cut", {"train.steps=4", "train.micro_batch_tokens=16"});
  check_same(whole, cut, 1e-5);
  check_same(whole, runs(kSftRun, "checkpointed", {"train.steps=4", "model.checkpointing=all"}), 1e-5);
  const auto other = runs(kSftRun, "seed", {"train.steps=4", "seed=2"});
  CHECK(*other[0].find("loss") != *whole[0].find("loss"));
}

TEST_CASE("rl gives the same numbers for any micro-batch, with and without shared prompts") {
  Runs runs;
  for (const std::string algorithm : {"grpo", "dapo", "gspo"}) {
    CAPTURE(algorithm);
    const std::vector<std::string> base = {"algorithm.name=" + algorithm, "algorithm.kl_coef=0.05"};
    auto with = [&](std::vector<std::string> more) {
      more.insert(more.begin(), base.begin(), base.end());
      return more;
    };
    const auto whole = runs(kRl, algorithm + "-whole", with({"train.micro_batch_tokens=100000"}));
    REQUIRE(whole.size() == 3);
    CHECK(*whole[0].find("grad_norm") > 0);
    check_same(whole, runs(kRl, algorithm + "-cut", with({"train.micro_batch_tokens=64"})), 1e-5);
    check_same(whole, runs(kRl, algorithm + "-own", with({"train.share_prompts=false"})), 1e-5);
    check_same(
        whole,
        runs(kRl, algorithm + "-both", with({"train.micro_batch_tokens=64", "train.share_prompts=false"})),
        1e-5);
  }
}

TEST_CASE("rl needs no completions in its data") {
  Runs runs;
  std::string questions;
  for (int a = 1; a < 9; ++a)
    questions += fmt::format("{{\"prompt\": \"Add {} and 1:\", \"answer\": \"{}\"}}\n", a, a + 1);
  runs.write("questions.jsonl", questions);
  const auto rows =
      runs(kRl, "questions",
           {"data.train=[\"" + (runs.folder() / "questions.jsonl").string() + "\"]", "model.init.vocab=275"});
  CHECK(rows.size() == 3);
}

TEST_CASE("every algorithm takes its steps") {
  Runs runs;
  for (const std::string& name : objective::policy_registry().names()) {
    CAPTURE(name);
    std::vector<std::string> sets = {"train.steps=2", "algorithm.name=" + name, "optimizer.lr=1e-3",
                                     "algorithm.filter_max_rounds=1000"};
    if (name == "luffy") sets.emplace_back("rollout.demonstrations=1");
    if (name == "mrt") sets.emplace_back(R"(rollout.prefix={"tokens": 4, "time_up": " so:"})");
    if (name == "coderl") {
      sets.emplace_back("rollout.demonstrations=1");
      sets.emplace_back(
          R"(rewards=[{"kind": "code", "score": "coderl", "extract": "all", "tests": "answer"}])");
    }
    if (name == "adaptthink") {
      sets.emplace_back(R"(rollout.openings=["<|im_end|>", "<|im_start|>"])");
      sets.emplace_back("rollout.reference_samples=2");
    }
    const auto rows = runs(kRl, name, sets);
    REQUIRE(rows.size() == 2);
    for (const auto& row : rows) {
      CHECK(std::isfinite(*row.find("loss")));
      CHECK(*row.find("skipped") == 0);
    }
  }
}

TEST_CASE("rl learns a toy task") {
  Runs runs;
  const auto rows = runs(kRl, "rl",
                         {"train.steps=40", "train.updates_per_rollout=1", "train.batch_size=4",
                          "rollout.prompts_per_step=4", "rollout.group_size=16"});
  REQUIRE(rows.size() == 40);
  CHECK(*rows.front().find("reward") < 0.5);
  double last = 0;
  for (size_t i = 35; i < 40; ++i) last += *rows[i].find("reward") / 5;
  CHECK(last > 0.9);
}

TEST_CASE("a finished run that is started again stays what it is; a changed config is refused") {
  Runs runs;
  const auto rows = runs(kSftRun, "sft", {"train.steps=3"});
  const auto weights = runs.folder() / "sft" / "final/model.safetensors";
  const std::string before = bytes(weights);
  check_same(rows, runs(kSftRun, "sft", {"train.steps=3"}, "auto"), 0x1p-60);
  CHECK(bytes(weights) == before);
  CHECK_THROWS_WITH_AS(runs(kSftRun, "sft", {"train.steps=4"}, "auto"), doctest::Contains("train.steps"),
                       UserError);
  CHECK_THROWS_AS(runs(kSftRun, "sft", {"train.steps=3"}, "never"), UserError);
  CHECK_THROWS_AS(runs(kSftRun, "nothing", {"train.steps=3"}, "must"), UserError);
  CHECK(bytes(weights) == before);
}
