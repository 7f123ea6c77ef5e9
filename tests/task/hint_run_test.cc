// Runs that ask a question again, with a hint, when nothing was right.
#include <map>

#include "base/error.h"
#include "base/json.h"
#include "runs.h"
#include "tensor/packed.h"
#include "train/micro_batch.h"
#include "train/rollout_batch.h"

using namespace temper;

namespace {

// Answers are right or not, so some groups have none that is.
const char* const kHint = R"json({
  "task": "rl", "threads": 1, "model": {"path": "start/final", "dtype": "f32"},
  "data": {"train": ["hints.jsonl"], "eval": ["hints.jsonl"], "max_tokens": 60},
  "hint": {"column": "clue", "text": " ({hint})"},
  "rollout": {"prompts_per_step": 4, "group_size": 4, "max_new_tokens": 8, "max_batch": 16},
  "rewards": [{"kind": "contains", "column": "answer"}],
  "algorithm": {"name": "grpo"},
  "optimizer": {"name": "adamw", "lr": 3e-3}, "schedule": {"name": "constant"},
  "train": {"steps": 4, "batch_size": 2}, "eval": {"every": 2, "limit": 6}, "checkpoint": {"every": 0},
  "samples_logged": 64, "run": "rl" })json";

// Of sixteen sums all but the last have a clue.
std::string hints() {
  std::string out;
  for (int i = 0; i < 16; ++i) {
    const int a = 1 + i % 4, b = 1 + i / 4;
    const std::string clue = i < 15 ? fmt::format("\"about {}\"", a + b + 1) : "null";
    out += fmt::format("{{\"prompt\": \"Add {} and {}:\", \"answer\": \"{}\", \"clue\": {}}}\n", a, b, a + b,
                       clue);
  }
  return out;
}

struct HintRuns : Runs {
  HintRuns() {
    (*this)(tiny_sft("train.jsonl", 12), "start");
    write("hints.jsonl", hints());
  }
  std::vector<Json> samples(const std::string& name) const {
    std::vector<Json> out;
    std::istringstream in(bytes(folder() / name / "samples.jsonl"));
    for (std::string line; std::getline(in, line);) {
      Json sample = Json::parse(line);
      if (sample["split"] == "train") out.push_back(std::move(sample));
    }
    return out;
  }
  void check_same_bytes(const std::string& a, const std::string& b) const {
    for (const char* file : {"samples.jsonl", "final/model.safetensors"})
      CHECK(bytes(folder() / a / file) == bytes(folder() / b / file));
  }
  void check_resumes(const std::vector<std::string>& more) {
    std::vector<std::string> sets = {"checkpoint.every=1", "checkpoint.keep=9"};
    sets.insert(sets.end(), more.begin(), more.end());
    (*this)(kHint, "unbroken", sets);
    (*this)(kHint, "torn", sets);
    for (const char* step : {"2", "3", "4"})
      std::filesystem::remove_all(folder() / "torn/checkpoints" / (std::string("step-") + step));
    std::filesystem::remove_all(folder() / "torn/final");
    (*this)(kHint, "torn", sets, "must");
    check_same_bytes("unbroken", "torn");
  }
};

std::vector<MetricsRow> train_rows(const std::vector<MetricsRow>& rows) {
  std::vector<MetricsRow> out;
  for (const MetricsRow& row : rows)
    if (row.split == "train") out.push_back(row);
  return out;
}

}  // namespace

TEST_CASE("hint: a completion of a group may stand behind a prompt of its own") {
  RolloutGroup group;
  group.prompt = {1, 2, 3, 4};
  Rollout hinted, plain;
  hinted.ids = {10, 11}, hinted.logp_rollout = {-1, -2}, hinted.hinted = true;
  plain.ids = {20}, plain.logp_rollout = {-3}, plain.prompt = {1, 2};
  group.rollouts = {hinted, hinted, plain, plain};
  const std::vector<RolloutGroup> groups = {group, group};
  const RolloutTensors all = rollout_tensors(groups);
  CHECK(all.batch.group.equal(at::tensor({0, 0, 0, 0, 1, 1, 1, 1}, at::kLong)));
  const auto batches = cut_into_micro_batches(all.sequences, 1000, true, at::kCPU);
  REQUIRE(batches.size() == 1);
  CHECK(batches[0].tokens.ids.equal(at::tensor(
      {1, 2, 3, 4, 10, 11, 10, 11, 1, 2, 20, 20, 1, 2, 3, 4, 10, 11, 10, 11, 1, 2, 20, 20}, at::kLong)));
  const RolloutGroup kept = RolloutGroup::from_json(group.to_json());
  CHECK(kept.rollouts[0].hinted);
  CHECK(kept.rollouts[0].prompt.empty());
  CHECK_FALSE(kept.rollouts[2].hinted);
  CHECK(kept.rollouts[2].prompt == std::vector<int64_t>{1, 2});
}

TEST_CASE("hint: groups without a right answer are asked again, but for one of their completions") {
  HintRuns runs;
  const auto whole = runs(kHint, "whole");
  CHECK(runs.said("whole").find("15 of 16 prompts have a hint") != std::string::npos);
  double hinted = 0;
  for (const MetricsRow& row : train_rows(whole)) {
    hinted += *row.find("hinted");
    CHECK(*row.find("rollout_gap") <
          1e-4);  // the prompt that was sampled from is the one that is trained behind
  }
  CHECK(hinted > 0.5);
  CHECK(hinted < 3.9);
  // Per step and question without its hint.
  std::map<std::pair<int64_t, std::string>, std::vector<Json>> groups;
  for (const Json& sample : runs.samples("whole")) {
    const auto prompt = sample["prompt"].get<std::string>();
    groups[{sample["step"], prompt.substr(0, prompt.find(" ("))}].push_back(sample);
  }
  int64_t again = 0, left = 0;
  for (const auto& [key, samples] : groups) {
    if (samples.size() != 4) continue;
    const auto hint = [](const Json& sample) {
      return sample["prompt"].get<std::string>().find(" (about ") != std::string::npos;
    };
    if (hint(samples[0])) {
      ++again;
      CHECK(hint(samples[1]));
      CHECK(hint(samples[2]));
      CHECK_FALSE(hint(samples[3]));
      CHECK(samples[3]["reward"] == 0);
    } else {
      ++left;
      double best = 0;
      for (const Json& sample : samples) best = std::max(best, sample["reward"].get<double>());
      CHECK((best == 1 || key.second.find("4 and 4") != std::string::npos));
    }
  }
  CHECK(again > 0);
  CHECK(left > 0);
  check_same(whole, runs(kHint, "cut", {"train.micro_batch_tokens=50"}), 1e-4);
  check_same(whole, runs(kHint, "narrow", {"rollout.max_batch=3"}), 1e-3);
}

TEST_CASE("hint: when it begins, how many stay, and what the log-probs stand behind") {
  HintRuns runs;
  const auto later = train_rows(runs(kHint, "later", {"hint.from_step=2"}));
  CHECK(*later[0].find("hinted") == 0);
  CHECK(*later[1].find("hinted") == 0);
  CHECK(*later[2].find("hinted") + *later[3].find("hinted") > 0);
  CHECK_FALSE(later[0].find("hinted_reward").has_value());

  // No reward is above 1, so all that have a hint are asked again.
  const auto all = train_rows(runs(kHint, "all", {"hint.at_most=1", "hint.keep=0"}));
  for (const MetricsRow& row : all) CHECK(*row.find("hinted") >= 0.75);
  int64_t plain = 0;
  for (const Json& sample : runs.samples("all"))
    plain += sample["prompt"].get<std::string>().find(" (about") == std::string::npos ? 1 : 0;
  CHECK(plain % 4 == 0);  // the question without a clue
  CHECK(plain <= 16);

  const auto behind_plain = train_rows(runs(kHint, "plain", {"hint.at_most=1", "hint.conditions=plain"}));
  CHECK(*behind_plain[0].find("hinted_reward") >= 0);
  CHECK(*behind_plain[0].find("rollout_gap") > 1e-2);  // it was sampled behind another prompt
  CHECK(*all[0].find("rollout_gap") < 1e-4);
}

TEST_CASE("hint: a killed run goes on to the same bytes, with groups left over too") {
  HintRuns runs;
  runs.check_resumes({});
  HintRuns filtered;
  filtered.check_resumes(
      {"algorithm.name=dapo", "algorithm.filter_max_rounds=1000", "train.updates_per_rollout=2"});
}

TEST_CASE("hint: conversations are asked again with it too") {
  HintRuns runs;
  const std::vector<std::string> sets = {
      R"(environment={"kind": "budget", "tokens": 3, "end": "1", "time_up": " so:"})", "hint.at_most=1"};
  const auto rows = train_rows(runs(kHint, "talk", sets));
  for (const MetricsRow& row : rows) {
    CHECK(*row.find("hinted") >= 0.75);
    CHECK(*row.find("rollout_gap") < 1e-4);
    CHECK(row.find("environment/cut").has_value());
  }
}

TEST_CASE("hint: what does not go together is told") {
  HintRuns runs;
  const auto refused = [&](const std::vector<std::string>& sets, const char* what) {
    CHECK_THROWS_WITH_AS(runs(kHint, "refused", sets), doctest::Contains(what), UserError);
  };
  refused({"hint.text=Look:"}, "hint.text: expected \"{hint}\" where the hint goes, found \"Look:\"");
  refused({"hint.keep=4"}, "hint.keep: 4 of a group of 4 leave nothing to ask again");
  refused({"hint.column=clues"}, "hint.column: 0 of 16 prompts have a \"clues\"");
  refused({"hint.column=prompt", "data.max_tokens=14"}, "that fits into data.max_tokens");
  refused({"rollout.step_tokens=4", "algorithm.correction=truncate"},
          "rollout.step_tokens: groups are complete in later steps; leave out hint");
  runs.write("hints.jsonl", R"({"prompt": "Add 1 and 1:", "answer": "2", "clue": 3})"
                            "\n");
  refused({}, "hints.jsonl:1");
}
