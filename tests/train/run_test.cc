// Whole runs of tiny models: what they learn, and what their results must not depend on.
#include <ATen/ATen.h>

#include <cmath>
#include <set>

#include "base/error.h"
#include "base/log.h"
#include "objective/policy.h"
#include "objective/preference.h"
#include "temp_folder.h"
#include "test.h"
#include "train/metrics.h"
#include "train/tasks.h"

using namespace temper;

namespace {

const char* const kSft = R"({ // a model of a few thousand weights
  "task": "sft", "threads": 1,
  "model": {"dtype": "f32", "init": {"vocab": 280, "hidden": 32, "intermediate": 64, "layers": 2, "heads": 2,
                                     "kv_heads": 1, "max_positions": 128}},
  "data": {"train": ["train.jsonl"], "max_tokens": 100},
  "optimizer": {"name": "adamw", "lr": 1e-2}, "schedule": {"name": "constant"},
  "train": {"steps": 60, "batch_size": 8}, "checkpoint": {"every": 0}, "run": "sft" })";

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

const char* const kPreference = R"({
  "task": "preference", "threads": 1,
  "model": {"dtype": "f32", "init": {"vocab": 280, "hidden": 32, "intermediate": 64, "layers": 2, "heads": 2,
                                     "kv_heads": 1, "max_positions": 128}},
  "data": {"train": ["pairs.jsonl"], "eval": ["pairs.jsonl"], "max_tokens": 100},
  "algorithm": {"name": "dpo"},
  "optimizer": {"name": "adamw", "lr": 3e-3}, "schedule": {"name": "constant"},
  "train": {"steps": 4, "batch_size": 8}, "checkpoint": {"every": 0}, "run": "preference" })";

std::string pairs() {
  std::string out;
  for (int i = 0; i < 16; ++i) {
    const int a = 1 + i % 4, b = 1 + i / 4;
    out += fmt::format("{{\"prompt\": \"Add {} and {}:\", \"chosen\": \" {}\", \"rejected\": \" {} no\"}}\n",
                       a, b, a + b, a + b + 1);
  }
  return out;
}

std::string labelled() {
  std::string out;
  for (int i = 0; i < 16; ++i) {
    const int a = 1 + i % 4, b = 1 + i / 4, slip = i % 3 == 0 ? 1 : 0;
    out += fmt::format("{{\"prompt\": \"Add {} and {}:\", \"completion\": \" {}\", \"label\": {}}}\n", a, b,
                       a + b + slip, slip == 0 ? "true" : "false");
  }
  return out;
}

std::string data() {
  std::string out;
  for (int i = 0; i < 16; ++i) {
    const int a = 1 + i % 4, b = 1 + i / 4;
    out += fmt::format("{{\"prompt\": \"Add {} and {}:\", \"completion\": \" {}\", \"answer\": \"{}\"}}\n", a,
                       b, a + b, a + b);
  }
  return out;
}

class Runs {
 public:
  Runs() {
    folder_.write("train.jsonl", data());
    folder_.write("pairs.jsonl", pairs());
    folder_.write("labelled.jsonl", labelled());
  }

  // The rows of metrics.jsonl of a run of this config.
  std::vector<MetricsRow> operator()(const std::string& config, const std::string& name,
                                     const std::vector<std::string>& sets = {},
                                     const std::string& resume = "never") {
    const std::string file = folder_.write(name + ".json", config);
    RunConfig run;
    load_run_config(run, file, sets);
    run.run = (folder_ / name).string();
    ConsoleOptions options;
    options.quiet = true;
    Console console(options);
    run_training(run, {resume, nullptr, &console});
    return read_metrics(run.run + "/" + MetricsLog::kMetricsFile);
  }
  std::filesystem::path folder() const { return folder_.path(); }

 private:
  TempFolder folder_;
};

void check_same(const std::vector<MetricsRow>& a, const std::vector<MetricsRow>& b, double tolerance) {
  REQUIRE(a.size() == b.size());
  for (size_t i = 0; i < a.size(); ++i) {
    CAPTURE(a[i].step);
    REQUIRE(a[i].values.size() == b[i].values.size());
    for (size_t v = 0; v < a[i].values.size(); ++v) {
      const auto& [name, x] = a[i].values[v];
      CAPTURE(name);
      CHECK(b[i].values[v].first == name);
      if (name == "rollout_gap" || name == "approx_kl") continue;  // rounding itself
      CHECK(std::abs(x - b[i].values[v].second) < tolerance * std::max(1.0, std::abs(x)));
    }
  }
}

}  // namespace

TEST_CASE("sft overfits one batch and writes what it promises") {
  Runs runs;
  const auto rows = runs(kSft, "sft", {"train.batch_size=16", "train.steps=150"});
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
  const auto whole = runs(kSft, "whole", {"train.steps=4"});
  const auto cut = runs(kSft, "cut", {"train.steps=4", "train.micro_batch_tokens=16"});
  check_same(whole, cut, 1e-5);
  check_same(whole, runs(kSft, "checkpointed", {"train.steps=4", "model.checkpointing=all"}), 1e-5);
  const auto other = runs(kSft, "seed", {"train.steps=4", "seed=2"});
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

TEST_CASE("every algorithm takes its steps") {
  Runs runs;
  for (const std::string& name : objective::policy_registry().names()) {
    CAPTURE(name);
    std::vector<std::string> sets = {"train.steps=2", "algorithm.name=" + name, "optimizer.lr=1e-3",
                                     "algorithm.filter_max_rounds=1000"};
    if (name == "luffy") sets.emplace_back("rollout.demonstrations=1");
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

TEST_CASE("dpo begins at ln 2, learns its pairs, and does not depend on micro-batches or shared prompts") {
  Runs runs;
  const auto whole = runs(kPreference, "whole", {"eval.every=0"});
  REQUIRE(whole.size() == 4);
  CHECK(*whole[0].find("loss") == doctest::Approx(std::log(2.0)).epsilon(1e-6));
  check_same(whole, runs(kPreference, "cut", {"eval.every=0", "train.micro_batch_tokens=40"}), 1e-5);
  check_same(whole, runs(kPreference, "own", {"eval.every=0", "train.share_prompts=false"}), 1e-5);
  const auto rows = runs(kPreference, "longer", {"train.steps=30", "eval.every=30"});
  CHECK(rows.front().split == "eval");
  CHECK(*rows.front().find("reward_accuracy") == 0);
  CHECK(rows.back().split == "eval");
  CHECK(*rows.back().find("reward_accuracy") > 0.9);
  CHECK(*rows.back().find("loss") < 0.5);
}

TEST_CASE("every preference loss takes its steps, with the adapter off or a frozen copy as the reference") {
  Runs runs;
  for (const std::string& name : objective::preference_registry().names()) {
    CAPTURE(name);
    const bool unpaired = objective::preference_registry().find(name)->make()->needs().label;
    std::vector<std::string> sets = {"algorithm.name=" + name, "train.steps=2", "eval.every=0"};
    std::string config = kPreference;
    for (size_t at; unpaired && (at = config.find("pairs.jsonl")) != std::string::npos;)
      config.replace(at, 11, "labelled.jsonl");
    if (objective::preference_registry().find(name)->make()->needs().log_sum_squares) {
      CHECK_THROWS_AS(runs(config, name, sets), UserError);
      continue;
    }
    for (const bool lora : {false, true}) {
      auto more = sets;
      if (lora) more.push_back("adapter={\"kind\": \"lora\", \"rank\": 2}");
      const auto rows = runs(config, name + (lora ? "-lora" : ""), more);
      REQUIRE(rows.size() == 2);
      for (const auto& row : rows) {
        CHECK(std::isfinite(*row.find("loss")));
        CHECK(*row.find("grad_norm") > 0);
        CHECK(*row.find("skipped") == 0);
      }
    }
  }
}

TEST_CASE("a finished run that is started again stays what it is; a changed config is refused") {
  Runs runs;
  const auto rows = runs(kSft, "sft", {"train.steps=3"});
  const auto weights = (runs.folder() / "sft" / "final/model.safetensors").string();
  auto bytes = [&] {
    std::ostringstream out;
    out << std::ifstream(weights, std::ios::binary).rdbuf();
    return out.str();
  };
  const std::string before = bytes();
  check_same(rows, runs(kSft, "sft", {"train.steps=3"}, "auto"), 0x1p-60);
  CHECK(bytes() == before);
  CHECK_THROWS_WITH_AS(runs(kSft, "sft", {"train.steps=4"}, "auto"), doctest::Contains("train.steps"),
                       UserError);
  CHECK_THROWS_AS(runs(kSft, "sft", {"train.steps=3"}, "never"), UserError);
  CHECK_THROWS_AS(runs(kSft, "nothing", {"train.steps=3"}, "must"), UserError);
  CHECK(bytes() == before);
}
