// Runs whose groups share a beginning of their thinking, behind which half of them are told to end (MRT).
#include <map>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "rollout/completion.h"
#include "runs.h"
#include "tensor/packed.h"
#include "text/fake_tokenizer.h"
#include "train/groups/prefix.h"
#include "train/micro_batch.h"
#include "train/rollout_batch.h"

using namespace temper;

namespace {

const char* const kThink = R"({
  "task": "rl", "threads": 1, "model": {"path": "start/final", "dtype": "f32"},
  "data": {"train": ["train.jsonl"], "eval": ["train.jsonl"], "max_tokens": 60},
  "rollout": {"prompts_per_step": 4, "group_size": 4, "max_new_tokens": 12, "max_batch": 16,
              "prefix": {"tokens": 6, "end": "7", "time_up": " so:"}},
  "rewards": [{"kind": "contains", "texts": ["2", "4", "6"]}],
  "algorithm": {"name": "mrt"},
  "optimizer": {"name": "adamw", "lr": 3e-3}, "schedule": {"name": "constant"},
  "train": {"steps": 4, "batch_size": 2}, "eval": {"every": 2, "limit": 6}, "checkpoint": {"every": 0}, "run": "rl" })";

struct ThinkRuns : Runs {
  ThinkRuns() { (*this)(tiny_sft("train.jsonl", 12), "start"); }
  void check_same_bytes(const std::string& a, const std::string& b) const {
    for (const char* file : {"samples.jsonl", "final/model.safetensors"})
      CHECK(bytes(folder() / a / file) == bytes(folder() / b / file));
  }
  void check_resumes(const std::vector<std::string>& more) {
    std::vector<std::string> sets = {"checkpoint.every=1", "checkpoint.keep=9"};
    sets.insert(sets.end(), more.begin(), more.end());
    (*this)(kThink, "unbroken", sets);
    (*this)(kThink, "torn", sets);
    for (const char* step : {"2", "3", "4"})
      std::filesystem::remove_all(folder() / "torn/checkpoints" / (std::string("step-") + step));
    std::filesystem::remove_all(folder() / "torn/final");
    (*this)(kThink, "torn", sets, "must");
    check_same_bytes("unbroken", "torn");
  }
};

}  // namespace

TEST_CASE("what of a sample is thinking") {
  const FakeTokenizer tokenizer({"<e>"}, {"x</"});
  const auto tokens = [&](const std::string& text, FinishReason finish) {
    Completion c;
    c.ids = tokenizer.encode(text, {.parse_special = true});
    c.finish = finish;
    return thinking_tokens(tokenizer, c, "</think>");
  };
  CHECK(tokens("ab", FinishReason::kLength) == 2);
  CHECK(tokens("ab<e>", FinishReason::kEnd) == 2);
  CHECK(tokens("ab</think>", FinishReason::kStop) == 2);
  CHECK(tokens("abx</think>", FinishReason::kStop) ==
        2);  // "x</" is one token, which holds the end's first letter
  CHECK(tokens("</think>", FinishReason::kStop) == 0);
  CHECK(tokens("<e>", FinishReason::kEnd) == 0);
}

TEST_CASE("neither the shared beginning nor the words that end it are learnt") {
  RolloutGroup group;
  group.prompt = {1, 2, 3, 50, 51};  // the last two are the beginning
  group.prefix = 2;
  Rollout ended;
  ended.ids = {90, 91, 10, 11};
  ended.turns = {{2, 4}};
  ended.logp_rollout = {-1, -2};
  ended.opening = kToldToEnd;
  Rollout on;
  on.ids = {20, 21, 22};
  on.logp_rollout = {-3, -4, -5};
  on.opening = kGoesOn;
  group.rollouts = {ended, on};
  const std::vector<RolloutGroup> groups = {group};
  const RolloutTensors all = rollout_tensors(groups);
  CHECK(all.batch.opening[0].item<float>() == 1);
  CHECK(all.batch.opening[1].item<float>() == 0);
  std::vector<int64_t> learnt;
  int64_t read = 0;
  for (const MicroBatch& batch : cut_into_micro_batches(all.sequences, 1000, true, at::kCPU)) {
    const int64_t* token = batch.targets.token.const_data_ptr<int64_t>();
    learnt.insert(learnt.end(), token, token + batch.targets.token.size(0));
    read += batch.tokens.ids.size(0);
  }
  CHECK(learnt == std::vector<int64_t>{10, 11, 20, 21, 22});
  CHECK(read == 5 + 4 + 3);  // the beginning is computed once
  Json json = group.to_json();
  CHECK(RolloutGroup::from_json(json).prefix == 2);
  json["prefix"] = 6;
  CHECK_THROWS_AS(RolloutGroup::from_json(json), UserError);
}

TEST_CASE("mrt: half of a group goes on from its beginning, half is told to end") {
  ThinkRuns runs;
  const auto whole = runs(kThink, "whole");
  for (const MetricsRow& row : whole) {
    if (row.split != "train") continue;
    CHECK(*row.find("rollout_gap") < 1e-4);  // the trainer sees what the engine saw
    CHECK(*row.find("length") <= 12);
  }
  std::istringstream in(bytes(runs.folder() / "whole/samples.jsonl"));
  std::map<std::pair<int64_t, std::string>, std::vector<std::string>> groups;
  for (std::string line; std::getline(in, line);) {
    const Json sample = Json::parse(line);
    if (sample.value("split", "train") == "train")
      groups[{sample["step"], sample["prompt"]}].push_back(sample["completion"]);
  }
  REQUIRE(groups.size() >= 4);
  std::set<size_t> lengths;
  for (const auto& [key, completions] : groups) {
    if (completions.size() != 4) continue;  // a prompt that was drawn twice, or not logged whole
    CHECK(key.second.find(":") != std::string::npos);
    const size_t cut = completions[0].find(" so:");
    REQUIRE(cut != std::string::npos);
    lengths.insert(cut);
    for (int i = 0; i < 4; ++i) {
      CHECK(completions[i].substr(0, cut) == completions[0].substr(0, cut));
      CHECK(completions[i].substr(0, cut).find("7") == std::string::npos);
      CHECK((completions[i].substr(cut, 4) == " so:") == (i < 2));
    }
  }
  CHECK(lengths.size() > 1);
  check_same(whole, runs(kThink, "cut", {"train.micro_batch_tokens=60"}), 1e-4);
  check_same(whole, runs(kThink, "apart", {"train.share_prompts=false"}), 1e-4);
  check_same(whole, runs(kThink, "narrow", {"rollout.max_batch=3"}), 1e-3);
  // The bonus matters, and so does its other form.
  for (const std::string set : {"algorithm.progress_bonus=0.5", "algorithm.advantage=ended_baseline"}) {
    runs(kThink, set, {set});
    CHECK(bytes(runs.folder() / "whole/final/model.safetensors") !=
          bytes(runs.folder() / set / "final/model.safetensors"));
  }
}

TEST_CASE("mrt: a killed run goes on to the same bytes, with groups left over too") {
  ThinkRuns runs;
  runs.check_resumes({});
  ThinkRuns filtered;
  filtered.check_resumes({"algorithm.filter_zero_variance=true", "algorithm.filter_max_rounds=1000",
                          "train.updates_per_rollout=2"});
}

TEST_CASE("mrt: what does not go together is told") {
  ThinkRuns runs;
  const auto refused = [&](const std::vector<std::string>& sets, const char* what) {
    CHECK_THROWS_WITH_AS(runs(kThink, "refused", sets), doctest::Contains(what), UserError);
  };
  refused({"rollout.prefix.tokens=0"}, "rollout.prefix.tokens: \"mrt\" needs answers that go on");
  refused({"algorithm.name=grpo"}, "use algorithm \"mrt\"");
  refused({"rollout.group_size=5"}, "cannot be shared equally by 2 halves");
  refused({R"(environment={"kind": "budget", "tokens": 4})"}, "leave out environment and rollout.openings");
  refused({"rollout.prefix={\"tokens\": 3, \"end\": \"\"}"},
          "rollout.prefix.end: expected words, found none");
}
