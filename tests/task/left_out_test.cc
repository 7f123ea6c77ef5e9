// What of the data a run leaves out: it is counted and told, and nothing is measured on nothing.
#include <cmath>

#include "base/error.h"
#include "runs.h"
#include "told.h"

using namespace temper;

namespace {

const std::string kWords(300, 'w');

const char* const kRlLeftOut = R"({
  "task": "rl", "threads": 1, "model": {"path": "start/final", "dtype": "f32"},
  "data": {"train": ["train.jsonl"], "max_tokens": 60, "order": "sequential"},
  "rollout": {"prompts_per_step": 4, "group_size": 4, "max_new_tokens": 4},
  "rewards": [{"kind": "contains", "texts": ["1", "2", "3", "4", "5"]}],
  "algorithm": {"name": "grpo"}, "optimizer": {"name": "adamw", "lr": 3e-3},
  "train": {"steps": 2, "batch_size": 4}, "checkpoint": {"every": 0}, "run": "rl" })";

// Records of every task beside one that is too long for it.
std::string with_long(const std::string& records, const std::string& longer) {
  return records + longer + "\n";
}

std::string long_pair() {
  return R"({"prompt": ")" + kWords + R"(", "chosen": " 2", "rejected": " 3"})";
}
std::string long_sum() {
  return R"({"prompt": ")" + kWords + R"(", "completion": " 2", "answer": "2"})";
}

struct LeftOut : Runs {
  LeftOut() {
    (*this)(tiny_sft("train.jsonl", 2), "start");
    write("some.jsonl", with_long(arithmetic(), long_sum()));
    write("none.jsonl", long_sum() + "\n");
    write("pairs.jsonl", arithmetic_pairs());
    write("some-pairs.jsonl", with_long(arithmetic_pairs(), long_pair()));
    write("none-pairs.jsonl", long_pair() + "\n");
  }
  std::string file(const char* name) const { return "[\"" + (folder() / name).string() + "\"]"; }
  std::string model() const {
    return "model={\"path\": \"" + (folder() / "start/final").string() + "\", \"dtype\": \"f32\"}";
  }
};

// A run with some held-out records too long, and one with all.
void check_held_out(LeftOut& runs, const std::string& task, const std::string& config,
                    std::vector<std::string> sets, const char* some, const char* none,
                    const std::string& what, const char* train) {
  CAPTURE(task);
  for (const char* set : {"data.max_tokens=60", "eval.every=1", "train.steps=1", "train.batch_size=4"})
    sets.emplace_back(set);
  sets.push_back("data.train=" + runs.file(train));
  auto part = sets, all = sets;
  part.push_back("data.eval=" + runs.file(some));
  all.push_back("data.eval=" + runs.file(none));
  const auto rows = runs(config, task + "-some", part);
  REQUIRE(rows.front().split == "eval");
  CHECK(*rows.front().find("left_out") == 1);
  CHECK(rows.front().find("loss").has_value());
  const std::string line = "1 of 17 held-out " + what + " are longer than max_tokens 60 and left out";
  const std::string said = runs.said(task + "-some");
  CHECK(has(said, line));
  CHECK(said.find(line) == said.rfind(line));  // once, not at each evaluation
  CHECK(has(said, "1 of 17 "));                // of the training data too

  const auto empty = runs(config, task + "-none", all);
  REQUIRE(empty.front().split == "eval");
  CHECK(*empty.front().find("left_out") == 1);
  CHECK_FALSE(empty.front().find("loss").has_value());
  CHECK(has(runs.said(task + "-none"), "before training: no held-out loss, as nothing held out is left"));
}

}  // namespace

TEST_CASE("left out: held-out records that are too long are counted, and a loss of nothing is not written") {
  LeftOut runs;
  const std::string sft = tiny_sft("train.jsonl", 1);
  check_held_out(runs, "sft", sft, {runs.model()}, "some.jsonl", "none.jsonl", "examples", "some.jsonl");
  Json config = Json::parse(sft);
  config.erase("optimizer");
  config["task"] = "preference";
  check_held_out(runs, "preference", config.dump(), {runs.model()}, "some-pairs.jsonl", "none-pairs.jsonl",
                 "records", "some-pairs.jsonl");
  config["task"] = "reward_model";
  check_held_out(runs, "reward_model", config.dump(), {runs.model()}, "some-pairs.jsonl", "none-pairs.jsonl",
                 "records", "some-pairs.jsonl");
  config["task"] = "distill";
  config["teachers"] = Json::array({{{"path", (runs.folder() / "start/final").string()}}});
  check_held_out(runs, "distill", config.dump(), {runs.model()}, "some.jsonl", "none.jsonl", "examples",
                 "some.jsonl");
}

TEST_CASE("left out: rl's prompts follow data.overlong") {
  LeftOut runs;
  const std::string train = "data.train=" + runs.file("some.jsonl"),
                    eval = "data.eval=" + runs.file("some.jsonl");
  const auto dropped = runs(kRlLeftOut, "drop", {train, eval, "eval.every=2", "eval.max_new_tokens=4"});
  CHECK(has(runs.said("drop"), "1 of 17 prompts are longer than max_tokens 60 and left out"));
  CHECK(has(runs.said("drop"), "1 of 17 held-out prompts are longer than max_tokens 60 and left out"));
  CHECK(*dropped.front().find("prompts_left_out") == 1);
  CHECK(*dropped.front().find("n") == 16);
  // What is left is the run without the record.
  check_same(
      runs(kRlLeftOut, "without",
           {"eval.every=2", "eval.max_new_tokens=4", "data.eval=" + runs.file("train.jsonl")}),
      [&] {
        auto rows = dropped;
        for (auto& row : rows)
          std::erase_if(row.values, [](const auto& v) { return v.first == "prompts_left_out"; });
        return rows;
      }(),
      1e-9);
  const auto none = runs(kRlLeftOut, "none", {"data.eval=" + runs.file("none.jsonl"), "eval.every=2"});
  CHECK_FALSE(none.front().find("reward").has_value());
  CHECK(has(runs.said("none"), "no held-out reward, as nothing held out is left"));
  CHECK_NOTHROW(runs(kRlLeftOut, "truncate", {train, "data.overlong=truncate"}));
  CHECK_THROWS_WITH_AS(runs(kRlLeftOut, "error", {train, "data.overlong=error"}),
                       doctest::Contains("some.jsonl:17: the prompt has"), UserError);
  CHECK_THROWS_WITH_AS(runs(kRlLeftOut, "all", {"data.train=" + runs.file("none.jsonl")}),
                       doctest::Contains("no prompt is within max_tokens 60"), UserError);
  // Pairs that are sampled, and a student's own answers.
  Json pairs = Json::parse(kRlLeftOut);
  pairs["task"] = "preference";
  pairs["algorithm"] = {{"name", "dpo"}};
  pairs["pairs"] = {{"from", "online"}};
  pairs["rollout"].erase("prompts_per_step");
  runs(pairs.dump(), "online",
       {train, "train.steps=1", "rewards=[{\"kind\": \"regex\", \"pattern\": \"[a-i]\"}]"});
  CHECK(has(runs.said("online"), "1 of 17 prompts are longer than max_tokens 60 and left out"));
}

TEST_CASE("left out: what a reward cannot read is known before the first step, and no step shows nan") {
  LeftOut runs;
  runs.write("half.jsonl",
             "{\"prompt\": \"1+1=\", \"answer\": \"2\"}\n{\"prompt\": \"p\", \"answer\": \"$ $\"}\n");
  runs.write("odd.jsonl",
             "{\"prompt\": \"1+1=\", \"answer\": \"\"}\n{\"prompt\": \"p\", \"answer\": \"$ $\"}\n");
  const auto with = [&](const char* name, std::vector<std::string> more = {}) {
    more.push_back("data.train=" + runs.file(name));
    more.emplace_back("train.batch_size=1");
    more.emplace_back("rollout.prompts_per_step=1");
    return more;
  };
  const std::string math = "rewards=[{\"kind\": \"math\"}]";
  const auto rows = runs(kRlLeftOut, "half", with("half.jsonl", {math}));
  CHECK(
      has(runs.said("half"), "data.train: reward math cannot score 1 of 2 records, their rewards are null"));
  CHECK(has(runs.said("half"), "half.jsonl:2: column \"answer\" holds no answer: \"$ $\""));
  CHECK(*rows[1].find("null_rewards") == 1);  // the second prompt's
  CHECK_FALSE(rows[1].find("reward").has_value());
  CHECK(runs.said("half").find("nan") == std::string::npos);
  CHECK(has(runs.said("half"), "100 % of the rewards are null"));
  CHECK_THROWS_WITH_AS(runs(kRlLeftOut, "odd", with("odd.jsonl", {math})),
                       doctest::Contains("data.train: reward math can score none of the 2 records"),
                       UserError);
  CHECK_THROWS_WITH_AS(
      runs(kRlLeftOut, "odd-eval",
           with("half.jsonl", {math, "eval.every=1", "data.eval=" + runs.file("odd.jsonl")})),
      doctest::Contains("data.eval: reward math can score none"), UserError);
  CHECK_THROWS_WITH_AS(runs(kRlLeftOut, "column",
                            with("half.jsonl", {"rewards=[{\"kind\": \"exact\", \"column\": \"gold\"}]"})),
                       doctest::Contains("half.jsonl:1: reward exact: the data has no column \"gold\""),
                       UserError);
}
