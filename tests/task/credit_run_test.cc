// Runs in which single tokens have credit of their own: rewards of steps, CodeRL, turns, an entropy bonus.
#include <ATen/ATen.h>

#include <cmath>

#include "base/error.h"
#include "base/json.h"
#include "data/segments.h"
#include "runs.h"
#include "task/rl/token_credit.h"
#include "test.h"
#include "text/tokenizer.h"

using namespace temper;

namespace {

const char* const kRlCredit = R"({
  "task": "rl", "threads": 1, "model": {"path": "start/final", "dtype": "f32"},
  "data": {"train": ["train.jsonl"], "max_tokens": 100},
  "rollout": {"prompts_per_step": 4, "group_size": 4, "max_new_tokens": 12},
  "rewards": [{"kind": "contains", "texts": ["1", "2", "3"]}],
  "algorithm": {"name": "grpo"},
  "optimizer": {"name": "adamw", "lr": 3e-3}, "schedule": {"name": "constant"},
  "train": {"steps": 4, "batch_size": 2}, "checkpoint": {"every": 2}, "run": "rl" })";

// Sums as programs, and as solutions of two lines.
std::string programs() {
  std::string out;
  for (int i = 0; i < 16; ++i) {
    const int a = 1 + i % 4, b = 1 + i / 4;
    out += fmt::format(
        "{{\"prompt\": \"Add {0} and {1}:\", \"completion\": \"x={2}\", \"tests\": [\"assert x == {2}\"]}}\n",
        a, b, a + b);
  }
  return out;
}
std::string two_lines(bool labelled) {
  std::string out;
  for (int i = 0; i < 16; ++i) {
    const int a = 1 + i % 4, b = 1 + i / 4, wrong = i % 2;
    if (labelled) {
      out += fmt::format(
          "{{\"prompt\": \"Add {0} and {1}:\", \"completions\": [\"{0}+{1}\", \"{2}\"], \"labels\": [true, "
          "{3}]}}\n",
          a, b, a + b + wrong, wrong == 0);
    } else {
      out += fmt::format(
          "{{\"prompt\": \"Add {0} and {1}:\", \"completion\": \"{0}+{1}\\n{2}\", \"answer\": \"{2}\", "
          "\"level\": "
          "{3}}}\n",
          a, b, a + b, i % 3);
    }
  }
  return out;
}

class CreditRuns : public Runs {
 public:
  explicit CreditRuns(const std::string& lines) {
    write("train.jsonl", lines);
    (*this)(tiny_sft("train.jsonl", 30), "start");
  }
  // Stopped behind step 2 and gone on with: the bytes of the run that was not.
  void check_resumes(const std::string& name, const std::vector<std::string>& sets) {
    CAPTURE(name);
    const fs::path whole = folder() / name, torn = folder() / (name + "-torn");
    (*this)(kRlCredit, name, sets);
    fs::copy(whole, torn, fs::copy_options::recursive);
    fs::remove_all(torn / "final");
    fs::remove_all(torn / "checkpoints/step-4");
    (*this)(kRlCredit, name + "-torn", sets, "must");
    CHECK(bytes(whole / "final/model.safetensors") == bytes(torn / "final/model.safetensors"));
    CHECK(bytes(whole / "samples.jsonl") == bytes(torn / "samples.jsonl"));
  }
  void check_split(const std::string& name, std::vector<std::string> sets) {
    CAPTURE(name);
    const auto whole = (*this)(kRlCredit, name, sets);
    sets.insert(sets.end(), {"train.micro_batch_tokens=40", "train.share_prompts=false"});
    check_same(whole, (*this)(kRlCredit, name + "-cut", sets), 2e-5);
  }
  std::string problem(const std::vector<std::string>& sets) {
    try {
      (*this)(kRlCredit, "problem", sets);
    } catch (const UserError& e) {
      return e.what();
    }
    return "";
  }
};

std::string contains(const std::string& text, const std::string& part) {
  return text.find(part) == std::string::npos ? text : part;
}

}  // namespace

TEST_CASE("an entropy bonus reaches the weights, the same for any micro-batch") {
  CreditRuns runs(arithmetic());
  const std::vector<std::string> bonus = {"algorithm.entropy_coef=0.05"};
  runs.check_split("bonus", bonus);
  // Of rewards that are all equal nothing is learnt but the bonus, and the entropy rises.
  const std::vector<std::string> flat = {R"(rewards=[{"kind": "contains", "texts": [""]}])",
                                         "train.steps=12"};
  const auto without = runs(kRlCredit, "without", flat);
  CHECK(*without.back().find("grad_norm") < 1e-6);
  auto with = flat;
  with.push_back("algorithm.entropy_coef=0.5");
  const auto rows = runs(kRlCredit, "with", with);
  CHECK(*rows.back().find("entropy") > *rows.front().find("entropy") + 0.05);
  CHECK(*rows.front().find("entropy_bonus") ==
        doctest::Approx(0.5 * *rows.front().find("entropy")).epsilon(0.2));
}

TEST_CASE("coderl: critic, policy and reference programs learn together, and a torn run has the same bytes") {
  CreditRuns runs(programs());
  const std::vector<std::string> sets = {R"(rewards=[{"kind": "code", "score": "coderl", "extract": "all"}])",
                                         "rollout.demonstrations=1",
                                         "rollout.prompts_per_step=2",
                                         "rollout.group_size=3",
                                         "train.batch_size=1",  // programs take their time
                                         "algorithm={\"name\": \"coderl\", \"critic\": {\"coef\": 1.0}}"};
  runs.check_resumes("coderl", sets);
  runs.check_split("split", sets);
  auto longer = sets;
  longer.insert(longer.end(), {"train.steps=12", "checkpoint.every=0"});
  const auto rows = runs(kRlCredit, "longer", longer);
  const auto mean = [&](const std::string& name, size_t begin) {
    double sum = 0;
    for (size_t i = begin; i < begin + 3; ++i) sum += *rows[i].find(name);
    return sum / 3;
  };
  CHECK(mean("critic_loss", 9) < mean("critic_loss", 0));
  CHECK(mean("outcome_probability", 9) > mean("outcome_probability", 0));

  CHECK(contains(runs.problem({"algorithm.name=coderl", "rollout.demonstrations=1"}),
                 "algorithm \"coderl\" learns which of 4 outcomes") ==
        "algorithm \"coderl\" learns which of 4 outcomes");
  CHECK(contains(runs.problem({"algorithm.name=coderl"}), "rollout.demonstrations") ==
        "rollout.demonstrations");
}

TEST_CASE("rewards of steps: a process model's scores stand where the policy's tokens end them") {
  CreditRuns runs(two_lines(false));
  runs.write("steps.jsonl", two_lines(true));
  Json judge = parse_json(tiny_sft("steps.jsonl", 40), "t");
  judge["task"] = "reward_model";
  judge["algorithm"] = {{"name", "process"}};
  runs(judge.dump(), "judge");
  const std::string prm =
      fmt::format(R"({{"kind": "model", "name": "prm", "path": "{}", "aggregate": "min", "weight": 0}})",
                  (runs.folder() / "judge/final").string());
  const std::string rewards = "rewards=[{\"kind\": \"math\"}, " + prm + "]";
  const auto with = [&](const std::string& algorithm, std::vector<std::string> more = {}) {
    more.insert(more.begin(), {rewards, "algorithm=" + algorithm});
    return more;
  };
  const std::string zscore =
      R"({"name": "grpo", "advantage": "process_zscore", "process": {"reward": "prm", "outcome_weight": 0}})";
  const auto rows = runs(kRlCredit, "zscore", with(zscore));
  for (const MetricsRow& row : rows) {
    CHECK(*row.find("steps") >= 1);
    CHECK(*row.find("steps_unknown") == 0);
    CHECK(*row.find("step_score") == doctest::Approx(*row.find("step_reward")));
    CHECK(*row.find("step_score") > 0);
    CHECK(*row.find("step_score") < 1);
    CHECK(*row.find("advantage_abs") > 0);
  }
  runs.check_resumes("resumes", with(zscore));
  runs.check_resumes("replayed", with(zscore, {"replay.share=0.5", "replay.kind=btp"}));
  const std::string refined = R"("process": {"reward": "prm", "refine": ["clip", "delta"], "threshold": 0.4,
                                             "weight": 0.5, "easy_levels": ["0", "1"]})";
  runs.check_split("return", with("{\"name\": \"dapo\", \"filter_zero_variance\": false, \"advantage\": "
                                  "\"return_to_go\", " +
                                  refined + "}"));
  runs.check_split("critic", with("{\"name\": \"ppo\", " + refined + "}"));
  const auto critic = runs(kRlCredit, "critic-again", with("{\"name\": \"ppo\", " + refined + "}"));
  CHECK(*critic.back().find("step_reward") <= 0);  // refined by clip first

  CHECK(contains(runs.problem(with(R"({"name": "ppo", "process": {"reward": "pmr"}})")),
                 "no reward is called \"pmr\"; there are: math, prm") ==
        "no reward is called \"pmr\"; there are: math, prm");
  CHECK(contains(runs.problem(with(R"({"name": "ppo", "process": {"reward": "math"}})")),
                 "scores whole completions") == "scores whole completions");
  CHECK(contains(runs.problem(with(R"({"name": "ppo", "process": {"reward": "prm", "easy_levels": ["1"],
                                       "level_column": "grade"}})")),
                 "train.jsonl:") == "train.jsonl:");
}

TEST_CASE("steps end at the tokens that complete them, whole characters and end tokens included") {
  CreditRuns runs(two_lines(false));
  const auto tokenizer = Tokenizer::load((runs.folder() / "start/final").string());
  const std::string text = "1+2\nx\xc3\xa9\xe2\x82\xac\n3";
  std::vector<int64_t> ids = tokenizer->encode(text);
  REQUIRE(tokenizer->decode(ids, false) == text);
  // Each byte of the text is there with the first token whose prefix of whole characters has it.
  std::vector<int64_t> ends;
  for (size_t end = 0; end <= text.size(); ++end) ends.push_back(static_cast<int64_t>(end));
  const std::vector<int64_t> found = tokens_at(*tokenizer, ids, ends);
  for (size_t e = 0; e < ends.size(); ++e) {
    CAPTURE(e);
    const auto begins = [&](int64_t count) {
      const std::string prefix = tokenizer->decode({ids.begin(), ids.begin() + count}, false);
      return prefix.size() >= e && prefix.substr(0, e) == text.substr(0, e);
    };
    CHECK(begins(found[e] + 1));
    if (found[e] > 0) CHECK_FALSE(begins(found[e]));
  }
  ids.push_back(*tokenizer->eos());
  CHECK(tokens_at(*tokenizer, ids, {4, 1000}) ==
        std::vector<int64_t>{found[4], static_cast<int64_t>(ids.size()) - 1});
}

TEST_CASE("GiGPO's turns: conversations that stand in the same place are compared there") {
  CreditRuns runs(arithmetic());
  const std::vector<std::string> sets = {R"(environment={"kind": "attempts"})", "rewards=[]",
                                         "rollout.max_new_tokens=40"};
  auto with = sets;
  with.emplace_back("algorithm={\"name\": \"grpo\", \"turn_advantage\": {\"omega\": 1.0}}");
  runs.check_split("turns", with);
  runs.check_resumes("resumes", with);
  CHECK(contains(runs.problem({"algorithm={\"name\": \"grpo\", \"turn_advantage\": {\"omega\": 1.0}}"}),
                 "give an environment") == "give an environment");

  RolloutGroup g;
  Rollout one;
  one.ids = {1, 2, 3, 4, 5};
  one.turns = {{0, 2, FinishReason::kEnd}, {3, 5, FinishReason::kEnd}};
  one.conversation = Conversation{{}, {std::nullopt, 1.0}, {"", "1 left"}, {}};
  Rollout plain;
  plain.ids = {1, 2};
  plain.reward = 0.5;
  g.rollouts = {one, plain};
  const objective::Turns turns = turns_of({g});
  CHECK(at::equal(turns.reward, at::tensor({0., 1., 0.5}, at::kDouble)));
  CHECK(at::equal(turns.sequence, at::tensor({0, 0, 1}, at::kLong)));
  CHECK(at::equal(turns.turn, at::tensor({0, 0, 1, 1, 2, 2}, at::kLong)));
  CHECK(turns.state == std::vector<std::string>{"", "1 left", ""});
}
