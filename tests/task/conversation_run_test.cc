// Runs whose completions are conversations with an environment.
#include <cmath>
#include <set>

#include "base/error.h"
#include "base/json.h"
#include "runs.h"
#include "tensor/packed.h"
#include "train/micro_batch.h"
#include "train/rollout_batch.h"

using namespace temper;

namespace {

const char* const kTalk = R"({
  "task": "rl", "threads": 1, "model": {"path": "start/final", "dtype": "f32"},
  "data": {"train": ["train.jsonl"], "eval": ["train.jsonl"], "max_tokens": 100},
  "environment": {"kind": "attempts", "attempts": 4, "turn_tokens": 6, "verifier": {"kind": "contains", "texts": ["7", "8"]},
                  "feedback": "no, {left}"},
  "rollout": {"prompts_per_step": 4, "group_size": 4, "max_new_tokens": 48, "max_batch": 16},
  "algorithm": {"name": "grpo"},
  "optimizer": {"name": "adamw", "lr": 3e-3}, "schedule": {"name": "constant"},
  "train": {"steps": 4, "batch_size": 2}, "eval": {"every": 2, "limit": 6}, "checkpoint": {"every": 0}, "run": "rl" })";

// Says how long the words were.
const char* const kTalker = R"(
import json, sys, time
turns = {}
for line in sys.stdin:
    m = json.loads(line)
    number, out = m.get("conversation"), {"id": m.get("id")}
    if "close" in m: continue
    if "reset" in m:
        turns[number] = 0
        out["messages"] = [{"role": "user", "content": "go %d" % (m["reset"]["seed"] % 10)}]
    elif "cut" in m: out["reward"] = -1
    else:
        time.sleep(float(sys.argv[1]) * (number % 3))
        turns[number] += 1
        long = len(m["step"]["text"])
        out.update(over=turns[number] > number % 4 or m["step"]["last"], reward=long % 5 / 4,
                   messages=[{"role": "user", "content": "%d" % long}])
        if out["over"]: del out["messages"]
    print(json.dumps(out), flush=True)
)";

// Whether it is slow changes the time alone.
std::string talker(const std::string& sleeps) {
  return "environment=" +
         Json{{"kind", "process"}, {"turn_tokens", 6}, {"command", {"python3", "-c", kTalker, sleeps}}}
             .dump();
}

struct TalkRuns : Runs {
  TalkRuns() { (*this)(tiny_sft("train.jsonl", 20), "start"); }
  std::vector<Json> samples(const std::string& name) const {
    std::vector<Json> out;
    std::istringstream in(bytes(folder() / name / "samples.jsonl"));
    for (std::string line; std::getline(in, line);) out.push_back(Json::parse(line));
    return out;
  }
  void check_same_bytes(const std::string& a, const std::string& b) const {
    for (const char* file : {"samples.jsonl", "final/model.safetensors"})
      CHECK(bytes(folder() / a / file) == bytes(folder() / b / file));
  }
};

}  // namespace

TEST_CASE("what an environment wrote is never a target, nor has it a number") {
  RolloutGroup group;
  group.prompt = {1, 2, 3};
  Rollout one;
  one.ids = {10, 11, 90, 91, 92, 12, 93, 13, 14};
  one.turns = {{0, 2}, {5, 6}, {7, 9}};
  one.logp_rollout = {-1, -2, -3, -4, -5};
  one.reward = 1.0;
  Rollout plain;
  plain.ids = {20, 21};
  plain.logp_rollout = {-6, -7};
  plain.reward = 0.0;
  group.rollouts = {one, plain};
  const std::vector<RolloutGroup> groups = {group};
  const RolloutTensors all = rollout_tensors(groups);
  CHECK(one.tokens() == 5);
  CHECK(all.offsets == std::vector<int64_t>{0, 5, 7});
  std::vector<int64_t> learnt, sources, order;
  for (const MicroBatch& batch : cut_into_micro_batches(all.sequences, 1000, true, at::kCPU)) {
    const int64_t* token = batch.targets.token.const_data_ptr<int64_t>();
    learnt.insert(learnt.end(), token, token + batch.targets.token.size(0));
  }
  CHECK(learnt == std::vector<int64_t>{10, 11, 12, 13, 14, 20, 21});
  // A state keeps it, and one that is damaged is refused.
  Json json = group.to_json();
  CHECK(RolloutGroup::from_json(json).rollouts[0].turns.size() == 3);
  CHECK(RolloutGroup::from_json(json).rollouts[0].tokens() == 5);
  json["rollouts"][0]["turns"][1] = {1, 6, 0};
  CHECK_THROWS_AS(RolloutGroup::from_json(json), UserError);
}

TEST_CASE("conversations train: micro-batches, batch sizes and resumption change nothing") {
  TalkRuns runs;
  const auto whole = runs(kTalk, "whole");
  REQUIRE(whole.size() == 7);  // with three evaluations
  double turns = 0;
  for (const MetricsRow& row : whole) {
    if (row.split != "train") continue;
    turns = std::max(turns, *row.find("environment/turns"));
    CHECK(*row.find("rollout_gap") < 1e-4);  // the trainer sees what the engine saw
    CHECK(row.find("environment/solved_in_1").has_value());
  }
  CHECK(turns > 1.2);
  int64_t several = 0;
  for (const Json& sample : runs.samples("whole")) {
    const Json& messages = sample["messages"];
    REQUIRE(messages.size() % 2 == 1);
    several += messages.size() > 1 ? 1 : 0;
    CHECK(messages.back()["content"] == sample["completion"]);
    CHECK((sample["reward"] == 1 || sample["reward"] == -0.5));
    CHECK(sample["reward"] == sample["rewards"]["environment"]);
    for (size_t i = 1; i < messages.size(); i += 2)
      CHECK(messages[i]["content"].get<std::string>().starts_with("no, "));
  }
  CHECK(several > 5);
  check_same(whole, runs(kTalk, "cut", {"train.micro_batch_tokens=60"}), 1e-4);
  check_same(whole, runs(kTalk, "narrow", {"rollout.max_batch=3"}), 1e-3);
  runs(kTalk, "again");
  runs.check_same_bytes("whole", "again");

  runs(kTalk, "torn", {"checkpoint.every=1", "checkpoint.keep=9"});
  for (const char* step : {"3", "4"})
    std::filesystem::remove_all(runs.folder() / "torn/checkpoints" / (std::string("step-") + step));
  std::filesystem::remove_all(runs.folder() / "torn/final");
  runs(kTalk, "torn", {"checkpoint.every=1", "checkpoint.keep=9"}, "must");
  runs.check_same_bytes("whole", "torn");
}

TEST_CASE("groups of conversations that are left over go on in the next step, and after a resumption") {
  TalkRuns runs;
  const std::vector<std::string> sets = {"algorithm.name=dapo", "algorithm.filter_max_rounds=1000",
                                         "checkpoint.every=1", "checkpoint.keep=9"};
  runs(kTalk, "whole", sets);
  runs(kTalk, "torn", sets);
  for (const char* step : {"2", "3", "4"})
    std::filesystem::remove_all(runs.folder() / "torn/checkpoints" / (std::string("step-") + step));
  std::filesystem::remove_all(runs.folder() / "torn/final");
  runs(kTalk, "torn", sets, "must");
  runs.check_same_bytes("whole", "torn");
}

TEST_CASE("how long an external environment takes changes no byte") {
  TalkRuns runs;
  runs(kTalk, "fast", {talker("0")});
  runs(kTalk, "slow", {talker("0.004")});
  runs.check_same_bytes("fast", "slow");
  std::set<std::string> openings;
  for (const Json& sample : runs.samples("fast")) {
    const auto prompt = sample["prompt"].get<std::string>();
    CHECK(prompt.find(":go ") != std::string::npos);
    openings.insert(prompt.substr(prompt.find(":go ")));
  }
  CHECK(openings.size() > 3);
}

TEST_CASE("rewards beside an environment, and what does not go together") {
  TalkRuns runs;
  const auto rows =
      runs(kTalk, "weighed",
           {R"(rewards=[{"kind": "environment", "weight": 0.5}, {"kind": "contains", "texts": ["1"]}])"});
  CHECK(rows.back().find("reward/environment").has_value());
  CHECK_THROWS_WITH_AS(
      runs(kTalk, "openings", {R"(rollout.openings=["a", "b"])", "algorithm.name=adaptthink"}),
      doctest::Contains("have one turn; leave out environment"), UserError);
  CHECK_THROWS_WITH_AS(runs(kTalk, "silent", {talker("0"), "environment.judges=false"}),
                       doctest::Contains("rewards: rl needs at least one"), UserError);
}

TEST_CASE("thinking within a budget: words that say that time is up are read and never learnt") {
  TalkRuns runs;
  const std::string budget =
      R"(environment={"kind": "budget", "tokens": 3, "end": "5", "time_up": " so:", "waits": 1, "wait": " no", "answer_tokens": 4})";
  const std::vector<std::string> sets = {budget, R"(rewards=[{"kind": "contains", "texts": ["7", "8"]}])"};
  const auto whole = runs(kTalk, "whole", sets);
  double cut = 0, waits = 0;
  for (const MetricsRow& row : whole) {
    CHECK(row.find("environment/thinking_tokens").has_value());
    if (row.split != "train") continue;
    CHECK(*row.find("rollout_gap") < 1e-4);
    CHECK(*row.find("length") <= 3 + 4);
    cut += *row.find("environment/cut");
    waits += *row.find("environment/waits");
  }
  CHECK(cut > 0);
  CHECK(waits > 0);
  int64_t told = 0;
  for (const Json& sample : runs.samples("whole")) {
    REQUIRE(sample["messages"].size() == 1);
    const auto said = sample["messages"][0]["content"].get<std::string>();
    CHECK(said.ends_with(sample["completion"].get<std::string>()));
    const size_t at = said.find(" so:");
    if (at == std::string::npos) continue;
    ++told;
    // Its reward is that of the answer alone.
    const std::string answer = said.substr(at + 4);
    CHECK(sample["completion"] == answer);
    CHECK((sample["reward"] == 1) ==
          (answer.find('7') != std::string::npos || answer.find('8') != std::string::npos));
  }
  CHECK(told > 3);
  check_same(whole, runs(kTalk, "cut", {sets[0], sets[1], "train.micro_batch_tokens=60"}), 1e-4);
  runs(kTalk, "torn", {sets[0], sets[1], "checkpoint.every=1", "checkpoint.keep=9"});
  for (const char* step : {"3", "4"})
    std::filesystem::remove_all(runs.folder() / "torn/checkpoints" / (std::string("step-") + step));
  std::filesystem::remove_all(runs.folder() / "torn/final");
  runs(kTalk, "torn", {sets[0], sets[1], "checkpoint.every=1", "checkpoint.keep=9"}, "must");
  runs.check_same_bytes("whole", "torn");
  CHECK_THROWS_WITH_AS(runs(kTalk, "long", {R"(environment={"kind": "budget", "tokens": 47})", sets[1]}),
                       doctest::Contains("rollout.max_new_tokens: 48 tokens leave no room"), UserError);
}
