// Runs that learn again from groups of earlier steps.
#include "base/error.h"
#include "base/json.h"
#include "inspect/inspect.h"
#include "runs.h"

using namespace temper;

namespace {

const char* const kReplay = R"json({
  "task": "rl", "threads": 1, "model": {"path": "start/final", "dtype": "f32"},
  "data": {"train": ["train.jsonl"], "max_tokens": 60},
  "replay": {"share": 0.5, "capacity": 6, "kind": "btp"},
  "rollout": {"prompts_per_step": 4, "group_size": 4, "max_new_tokens": 8, "max_batch": 16},
  "rewards": [{"kind": "contains", "texts": ["7", "8"]}],
  "algorithm": {"name": "grpo"},
  "optimizer": {"name": "adamw", "lr": 3e-3}, "schedule": {"name": "constant"},
  "train": {"steps": 5, "batch_size": 4}, "checkpoint": {"every": 0}, "samples_logged": 64, "run": "rl" })json";

struct ReplayRuns : Runs {
  ReplayRuns() { (*this)(tiny_sft("train.jsonl", 12), "start"); }
  void tear(const std::string& name, int after) const {
    for (int step = after + 1; step <= 5; ++step)
      std::filesystem::remove_all(folder() / name / fmt::format("checkpoints/step-{}", step));
    std::filesystem::remove_all(folder() / name / "final");
  }
  void check_same_bytes(const std::string& a, const std::string& b) const {
    for (const char* file : {"samples.jsonl", "final/model.safetensors"})
      CHECK(bytes(folder() / a / file) == bytes(folder() / b / file));
  }
  void check_resumes(const std::string& name, std::vector<std::string> sets) {
    CAPTURE(name);
    sets.insert(sets.end(), {"checkpoint.every=1", "checkpoint.keep=9"});
    const std::string torn = name + "-torn", buffer = "checkpoints/step-5/replay.jsonl";
    const auto rows = (*this)(kReplay, name, sets);
    CHECK(*rows.back().find("replayed_groups") == 2);
    (*this)(kReplay, torn, sets);
    tear(torn, 2);
    check_same(rows, (*this)(kReplay, torn, sets, "must"), 0x1p-60);
    check_same_bytes(name, torn);
    CHECK(bytes(folder() / name / buffer) == bytes(folder() / torn / buffer));
  }
};

}  // namespace

TEST_CASE(
    "replay: half of a step's groups are earlier ones, under the log-probs that they were sampled with") {
  ReplayRuns runs;
  const auto rows = runs(kReplay, "replay");
  const auto none = runs(kReplay, "none", {"replay.share=0"});
  REQUIRE(rows.size() == 5);
  for (size_t i = 0; i < 5; ++i) {
    CAPTURE(i);
    const MetricsRow& row = rows[i];
    CHECK(*row.find("replayed_groups") == (i == 0 ? 0 : 2));
    CHECK(*row.find("replay_size") == std::min<double>(6, 4 + 2 * static_cast<double>(i)));
    CHECK(row.find("replay_age").has_value() == (i > 0));
    if (i > 0) CHECK(*row.find("replay_age") >= 1);
    if (i > 0) CHECK(*row.find("replay_priority") > 0);
    CHECK(*row.find("rollout_gap") < 1e-4);  // both log-probs of a replayed token are of the same weights
    // With one update of all prompts a step, what was sampled now has ratios of 1.
    CHECK(std::abs(*none[i].find("approx_kl")) < 1e-6);
    CHECK_FALSE(none[i].find("replay_size").has_value());
  }
  CHECK(*rows[0].find("approx_kl") < 1e-6);
  double moved = 0;
  for (size_t i = 1; i < 5; ++i) moved += *rows[i].find("approx_kl");
  CHECK(moved > 1e-3);
  CHECK(inspect_run((runs.folder() / "replay").string())["state"]["replay"] == 6);
  CHECK_FALSE(fs::exists(runs.folder() / "none/checkpoints/step-5/replay.jsonl"));

  // Begun later, by a kind without priorities.
  const auto later = runs(kReplay, "later", {"replay.from_step=3", "replay.kind=uniform"});
  CHECK(*later[2].find("replayed_groups") == 0);
  CHECK(*later[3].find("replayed_groups") == 2);
  CHECK_FALSE(later[3].find("replay_priority").has_value());
}

TEST_CASE("replay: a share of 0 is a run without the section, bit by bit") {
  ReplayRuns runs;
  Json config = parse_json(kReplay, "t");
  config.erase("replay");
  const auto without = runs(config.dump(), "without");
  check_same(without, runs(kReplay, "zero", {"replay.share=0"}), 0x1p-60);
  runs.check_same_bytes("without", "zero");
}

TEST_CASE("replay: a killed run goes on to the same bytes") {
  ReplayRuns runs;
  runs.check_resumes("btp", {"replay.evict=lowest", "replay.draw=rank"});
  runs.check_resumes("recency", {R"(replay={"share": 0.5, "kind": "recency", "decay": 0.5})",
                                 "train.batch_size=2", "train.updates_per_rollout=2"});
  // With groups left over, and weights against what the engine sampled from.
  runs.check_resumes("filtered", {"algorithm.name=dapo", "algorithm.filter_max_rounds=1000",
                                  "algorithm.correction=truncate"});
  // Of conversations the policy's turns alone are learnt, replayed ones too.
  runs.check_resumes("talk",
                     {R"(environment={"kind": "budget", "tokens": 3, "end": "1", "time_up": " so:"})"});
}

TEST_CASE("replay: micro-batches change nothing, and a critic values replayed tokens anew") {
  ReplayRuns runs;
  const auto whole = runs(kReplay, "whole");
  check_same(whole, runs(kReplay, "cut", {"train.micro_batch_tokens=40"}), 1e-3);
  for (const std::string name : {"ppo", "gspo", "cispo", "gvpo"}) {
    CAPTURE(name);
    for (const MetricsRow& row : runs(kReplay, name, {"algorithm.name=" + name})) {
      CHECK(std::isfinite(*row.find("loss")));
      CHECK(*row.find("skipped") == 0);
    }
  }
}

TEST_CASE("replay: groups of other data are forgotten") {
  ReplayRuns runs;
  const std::vector<std::string> sets = {"checkpoint.every=1", "checkpoint.keep=9"};
  runs(kReplay, "changed", sets);
  runs.tear("changed", 2);
  runs.write("train.jsonl", "{\"prompt\": \"Add 9 and 1:\", \"completion\": \" 10\", \"answer\": \"10\"}\n");
  const auto rows = runs(kReplay, "changed", sets, "must", true);
  REQUIRE(rows.size() == 5);
  CHECK(*rows[1].find("replayed_groups") == 2);
  CHECK(*rows[2].find("replayed_groups") == 0);
  CHECK(*rows[3].find("replayed_groups") == 2);
}

TEST_CASE("replay: beside stored responses") {
  ReplayRuns runs;
  std::string stored;
  for (int a = 1; a <= 4; ++a)
    for (int k = 0; k < 4; ++k)
      stored += fmt::format(
          "{{\"prompt\": \"Add {} and 1:\", \"completion\": \" {}\", \"reward\": {}, \"completion_ids\": "
          "[{}], \"logprobs\": [-1]}}\n",
          a, k, k % 2, 60 + k);
  runs.write("stored.jsonl", stored);
  const std::string file = "offline.files=[\"" + (runs.folder() / "stored.jsonl").string() + "\"]";
  const auto rows = runs(kReplay, "both", {file, "offline.share=0.25", "replay.share=0.25"});
  for (size_t i = 0; i < rows.size(); ++i) {
    CHECK(*rows[i].find("replayed_groups") == (i == 0 ? 0 : 1));
    CHECK(*rows[i].find("replay_size") == std::min<double>(6, 3 + 2 * static_cast<double>(i)));
  }
  CHECK_THROWS_WITH_AS(
      runs(kReplay, "full", {file, "offline.share=0.5", "replay.share=0.5"}),
      doctest::Contains("replay.share: 2 replayed and 2 stored of 4 prompts a step leave nothing to sample"),
      UserError);
  CHECK_THROWS_WITH_AS(runs(kReplay, "offline", {file, "offline.share=1"}),
                       doctest::Contains("offline.share 1: nothing is sampled; leave out replay"), UserError);
}

TEST_CASE("replay: what does not go together is told") {
  ReplayRuns runs;
  const auto refused = [&](const std::vector<std::string>& sets, const char* what) {
    CHECK_THROWS_WITH_AS(runs(kReplay, "refused", sets), doctest::Contains(what), UserError);
  };
  refused({"algorithm.name=remax"}, "algorithm: it compares with a greedy answer of the policy as it is");
  refused({"algorithm.name=luffy", "rollout.demonstrations=1"},
          "rollout.demonstrations: each group brings its own; leave out replay");
  refused({"rollout.step_tokens=4", "algorithm.correction=truncate"},
          "rollout.step_tokens: completions go on over several steps; leave out replay");
  refused({"algorithm.name=adaptthink", R"(rollout.openings=["<|im_end|>", "<|im_start|>"])"},
          "rollout.openings: completions are made to begin in two ways; leave out replay");
  refused({"algorithm.name=mrt", "rollout.prefix.tokens=4"},
          "rollout.prefix: completions share a beginning; leave out replay");
  refused({"replay.share=0.9"}, "replay.share: 4 replayed of 4 prompts a step leave nothing to sample");
  refused({"replay.kind=fifo"}, "replay.kind");
}

TEST_CASE("rl: how different the completions of a group are, where it is asked for") {
  ReplayRuns runs;
  CHECK_FALSE(runs(kReplay, "unasked")[0].find("vendi").has_value());
  for (const MetricsRow& row : runs(kReplay, "asked", {"rollout.diversity=true"})) {
    CHECK(*row.find("distinct") > 0.25);
    CHECK(*row.find("distinct") <= 1);
    CHECK(*row.find("vendi") > 1);
    CHECK(*row.find("vendi") <= 4 * (1 + 1e-12));
  }
  // Almost greedy, so all are the same.
  const auto cold = runs(kReplay, "cold", {"rollout.diversity=true", "rollout.temperature=0.001"});
  CHECK(*cold[0].find("distinct") < 0.4);
  CHECK(*cold[0].find("vendi") < 1.3);
}
