// Where an rl run's groups come from: stored responses, demonstrations, forced openings; and critics.
#include <ATen/ATen.h>

#include <cmath>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "runs.h"
#include "test.h"

using namespace temper;

namespace {

const char* const kRlSources = R"({
  "task": "rl", "threads": 1, "model": {"path": "start/final", "dtype": "f32"},
  "data": {"train": ["train.jsonl"], "max_tokens": 100},
  "rollout": {"prompts_per_step": 4, "group_size": 4, "max_new_tokens": 6},
  "rewards": [{"kind": "contains", "texts": ["1", "2", "3", "4", "5"]}],
  "algorithm": {"name": "grpo"},
  "optimizer": {"name": "adamw", "lr": 3e-3}, "schedule": {"name": "constant"},
  "train": {"steps": 4, "batch_size": 2}, "checkpoint": {"every": 0}, "run": "rl" })";

// Two right and two wrong answers to each of four questions, without log-probs.
std::string stored() {
  std::string out;
  for (int a = 1; a <= 4; ++a) {
    for (int k = 0; k < 4; ++k) {
      out += fmt::format("{{\"prompt\": \"Add {} and 1:\", \"completion\": \" {}\", \"reward\": {}}}\n", a,
                         k < 2 ? a + 1 : a + 4 + k, k < 2 ? 1 : -1);
    }
  }
  return out;
}

class SourceRuns : public Runs {
 public:
  SourceRuns() {
    (*this)(tiny_sft("train.jsonl", 20), "start");
    write("stored.jsonl", stored());
    setenv("XDG_CACHE_HOME", (folder() / "cache").c_str(), 1);  // not the user's
  }
  std::vector<std::string> offline(std::vector<std::string> more = {}) const {
    more.push_back("offline.files=[\"" + (folder() / "stored.jsonl").string() + "\"]");
    return more;
  }
};

double mean_logp(const std::vector<MetricsRow>& rows, const std::string& name) {
  return *rows.back().find(name);
}

}  // namespace

TEST_CASE("every algorithm that can trains on stored responses, and does not depend on micro-batches") {
  SourceRuns runs;
  for (const std::string name : {"topr", "cispo", "gvpo", "copg", "brain", "awr", "grpo", "ppo"}) {
    CAPTURE(name);
    const auto sets = runs.offline({"algorithm.name=" + name, "rewards=[]", "data.train=[]"});
    const auto whole = runs(kRlSources, name, sets);
    REQUIRE(whole.size() == 4);
    for (const auto& row : whole) {
      CHECK(std::isfinite(*row.find("loss")));
      CHECK(*row.find("grad_norm") > 0);
      CHECK(*row.find("reward") == doctest::Approx(0));  // two right, two wrong
    }
    auto cut = sets;
    cut.emplace_back("train.micro_batch_tokens=20");
    check_same(whole, runs(kRlSources, name + "-cut", cut), 1e-4);
  }
  const auto topr =
      runs(kRlSources, "topr-share",
           runs.offline({"algorithm={\"name\": \"topr\", \"positive_share\": 0.2}", "rewards=[]"}));
  CHECK(mean_logp(topr, "positive_share") == doctest::Approx(0.2));
  CHECK_THROWS_WITH_AS(runs(kRlSources, "remax", runs.offline({"algorithm.name=remax"})),
                       doctest::Contains("offline.files"), UserError);
}

TEST_CASE("stored log-probs are the ones that count; half of the groups may be fresh") {
  SourceRuns runs;
  const auto computed = runs(kRlSources, "computed",
                             runs.offline({"algorithm.name=cispo", "train.steps=1", "train.batch_size=4"}));
  CHECK(*computed[0].find("approx_kl") == doctest::Approx(0).epsilon(1e-6));  // the behaviour is the start
  const auto again = runs(kRlSources, "again",
                          runs.offline({"algorithm.name=cispo", "train.steps=1", "train.batch_size=4"}));
  check_same(computed, again, 0x1p-60);
  int files = 0;
  for (const auto& entry : fs::directory_iterator(runs.folder() / "cache/temper/behaviour"))
    files += entry.is_regular_file();
  CHECK(files == 1);  // computed once, read the second time
  std::string far;
  for (int k = 0; k < 4; ++k) {
    far += fmt::format(
        "{{\"prompt\": \"Add 1 and 1:\", \"completion_ids\": [50, 51], \"completion\": \"\", "
        "\"reward\": {}, \"logprobs\": [-0.1, -0.1], \"temperature\": 1.0}}\n",
        k % 2);
  }
  runs.write("stored.jsonl", far);
  const auto given = runs(kRlSources, "given", runs.offline({"algorithm.name=cispo", "train.steps=1"}));
  CHECK(*given[0].find("weight") < 0.5);  // the policy finds these tokens far less likely
  CHECK_THROWS_WITH_AS(
      runs(kRlSources, "temperature", runs.offline({"algorithm.name=cispo", "rollout.temperature=0.7"})),
      doctest::Contains("stored.jsonl:1: temperature"), UserError);
  runs.write("stored.jsonl", stored());
  const auto mixed = runs(kRlSources, "mixed", runs.offline({"offline.share=0.5"}));
  CHECK(mixed[0].find("groups_kept"));  // of the sampled half
  CHECK_FALSE(computed[0].find("groups_kept"));
}

TEST_CASE("stored responses that cannot be used are named by file and line") {
  SourceRuns runs;
  const auto refused = [&](const std::string& line, const std::string& what) {
    CAPTURE(line);
    static int n = 0;
    runs.write("stored.jsonl", stored() + line + "\n");
    CHECK_THROWS_WITH_AS(runs(kRlSources, "bad" + std::to_string(n++), runs.offline()),
                         doctest::Contains(what.c_str()), UserError);
  };
  refused(R"({"prompt": "Add", "completion": " 2"})", "stored.jsonl:17: a scored response needs \"reward\"");
  refused(R"({"prompt": "Add", "completion": " 2", "reward": "good"})", "stored.jsonl:17: reward");
  refused(R"({"prompt": "Add", "completion": " 2", "reward": 1, "logprobs": [-1]})",
          "stored.jsonl:17: logprobs");
  refused(R"({"prompt": "Add", "completion_ids": [5], "reward": 1, "logprobs": [null]})",
          "stored.jsonl:17: logprobs.0: expected a finite log-prob");
  refused(R"({"prompt": "Add", "completion_ids": [5], "reward": 1, "logprobs": ["-inf"]})",
          "stored.jsonl:17: logprobs.0: expected a finite log-prob");
  refused(R"({"prompt": "Add", "completion_ids": [99999], "reward": 1})", "outside the model's vocabulary");
}

TEST_CASE("null rewards, groups of one, empty responses and far-off log-probs give finite steps") {
  SourceRuns runs;
  runs.write("stored.jsonl",
             R"({"prompt": "Add 1", "completion_ids": [], "reward": 1}
{"prompt": "Add 1", "completion_ids": [60], "reward": null}
{"prompt": "Add 2", "completion_ids": [60, 61], "reward": 1, "logprobs": [-100, -100]}
{"prompt": "Add 2", "completion_ids": [62, 61], "reward": 0, "logprobs": [0, 0]}
{"prompt": "Add 3", "completion_ids": [60, 61], "reward": 1}
{"prompt": "Add 4", "completion_ids": [60, 61], "reward": 1}
{"prompt": "Add 4", "completion_ids": [61, 61], "reward": 1}
)");
  for (const std::string name :
       {"grpo", "topr", "cispo", "gvpo", "copg", "brain", "awr", "gmpo", "gspo", "ppo"}) {
    CAPTURE(name);
    for (const auto& row : runs(kRlSources, name, runs.offline({"algorithm.name=" + name}))) {
      CHECK(std::isfinite(*row.find("loss")));
      CHECK(std::isfinite(*row.find("grad_norm")));
      CHECK(*row.find("skipped") == 0);
    }
  }
}

TEST_CASE("luffy's demonstrations are a share of every group") {
  SourceRuns runs;
  const auto rows = runs(kRlSources, "luffy",
                         {"algorithm.name=luffy", "rollout.demonstrations=1", "train.steps=30",
                          "rewards=[{\"kind\": \"math\"}]"});
  CHECK(*rows.back().find("demonstrations") == doctest::Approx(0.25));
  // Whether it rises in thirty steps of a model that answers nothing right by itself is chance; that a
  // demonstration is pulled to is the objective's own test.
  for (const MetricsRow& row : rows) {
    CHECK(*row.find("demonstration_p") > 0);
    CHECK(*row.find("demonstration_p") < 1);
  }
  CHECK_THROWS_WITH_AS(runs(kRlSources, "none", {"algorithm.name=luffy"}),
                       doctest::Contains("rollout.demonstrations"), UserError);
  CHECK_THROWS_WITH_AS(runs(kRlSources, "grpo", {"rollout.demonstrations=1"}), doctest::Contains("luffy"),
                       UserError);
}

TEST_CASE("adaptthink forces its openings, asks the initial model once a prompt, and resumes") {
  SourceRuns runs;
  const std::vector<std::string> sets = {"algorithm.name=adaptthink",
                                         R"(rollout.openings=["<|im_end|>", "<|im_start|>"])",
                                         "rollout.reference_samples=4", "train.steps=6"};
  const auto rows = runs(kRlSources, "adaptthink", sets);
  REQUIRE(rows.size() == 6);
  for (const auto& row : rows) CHECK(*row.find("opened") == doctest::Approx(0.5));
  const Json state = read_json_file((runs.folder() / "adaptthink/checkpoints/step-6/state.json").string());
  CHECK(state["reference_rewards"].size() == 16);  // of 16 records, each asked once
  CHECK_THROWS_WITH_AS(
      runs(kRlSources, "long", {"algorithm.name=adaptthink", R"(rollout.openings=["Add 1", "Add 2"])"}),
      doctest::Contains("must be one token"), UserError);
}

TEST_CASE("ppo's critic learns what to expect, first alone and then beside the policy") {
  SourceRuns runs;
  const auto rows = runs(kRlSources, "ppo",
                         {"algorithm={\"name\": \"ppo\", \"critic\": {\"warmup\": 5, \"coef\": 1.0}}",
                          "train.steps=25", "train.updates_per_rollout=2"});
  REQUIRE(rows.size() == 25);
  CHECK(*rows.back().find("value_error") < 0.7 * *rows.front().find("value_error"));
  for (int i = 0; i < 5; ++i) CHECK(std::abs(*rows[i].find("approx_kl")) < 1e-6);  // the policy stays
  CHECK(*rows[6].find("approx_kl") > 0);
  check_same(runs(kRlSources, "whole", {"algorithm.name=ppo"}),
             runs(kRlSources, "cut", {"algorithm.name=ppo", "train.micro_batch_tokens=30"}), 1e-4);
  for (const std::string trace : {"retrace", "rbis"}) {
    const auto traced = runs(
        kRlSources, trace, runs.offline({"algorithm={\"name\": \"ppo\", \"advantage\": \"" + trace + "\"}"}));
    CHECK(std::isfinite(*traced.back().find("loss")));
  }
  for (const std::string adapter : {"{\"kind\": \"lora\", \"rank\": 2}", "{\"kind\": \"full\"}"}) {
    const auto detached =
        runs(kRlSources, "detached" + std::to_string(adapter.size()),
             {"algorithm={\"name\": \"ppo\", \"critic\": {\"trunk\": \"detached\"}}", "adapter=" + adapter});
    CHECK(*detached.back().find("critic_loss") > 0);
  }
}

TEST_CASE("oreal's token scores learn the outcome") {
  SourceRuns runs;
  const auto rows =
      runs(kRlSources, "oreal",
           runs.offline({"algorithm={\"name\": \"oreal\", \"token_scores\": true, \"keep_one_each\": "
                         "true, \"critic\": {\"warmup\": 2, \"coef\": 0.5}}",
                         "train.steps=25", "optimizer.lr=1e-3"}));
  CHECK(*rows.back().find("critic_loss") < 0.8 * *rows.front().find("critic_loss"));
}
