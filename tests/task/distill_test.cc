// Whole distillations of tiny models: what they learn, and what their results must not depend on.
#include "objective/distill/distill.h"

#include <ATen/ATen.h>

#include <cmath>

#include "base/error.h"
#include "runs.h"
#include "task/distill/teacher_cache.h"
#include "test.h"

using namespace temper;

namespace {

const char* const kTeacher = R"({
  "task": "sft", "threads": 1,
  "model": {"dtype": "f32", "init": {"vocab": 280, "hidden": 32, "intermediate": 64, "layers": 2, "heads": 2,
                                     "kv_heads": 1, "max_positions": 128}},
  "data": {"train": ["train.jsonl"], "max_tokens": 100},
  "optimizer": {"name": "adamw", "lr": 1e-2}, "schedule": {"name": "constant"},
  "train": {"steps": 40, "batch_size": 16}, "checkpoint": {"every": 0}, "run": "teacher" })";

const char* const kDistill = R"({
  "task": "distill", "threads": 1,
  "model": {"dtype": "f32", "init": {"tokenizer": "teacher/final", "hidden": 16, "intermediate": 48,
                                     "layers": 2, "heads": 2, "kv_heads": 1, "max_positions": 128}},
  "teachers": [{"path": "teacher/final"}],
  "data": {"train": ["train.jsonl"], "eval": ["train.jsonl"], "max_tokens": 100},
  "rollout": {"max_new_tokens": 8},
  "optimizer": {"name": "adamw", "lr": 1e-2}, "schedule": {"name": "constant"},
  "train": {"steps": 4, "batch_size": 4}, "checkpoint": {"every": 0}, "run": "distill" })";

std::string sums(const std::string& word) {
  std::string out;
  for (int i = 0; i < 16; ++i) {
    const int a = 1 + i % 4, b = 1 + i / 4;
    out += fmt::format("{{\"prompt\": \"{} {} and {}:\", \"completion\": \" {}\"}}\n", word, a, b, a + b);
  }
  return out;
}

// A folder with data and a teacher.
class DistillRuns : public Runs {
 public:
  DistillRuns() {
    write("words.jsonl", sums("Sum"));
    (*this)(kTeacher, "teacher");
  }
};

}  // namespace

TEST_CASE("a student comes nearer to its teacher, whatever the divergence") {
  DistillRuns runs;
  for (const std::string name : {"forward_kl", "reverse_kl", "gjsd", "kd"}) {
    CAPTURE(name);
    const auto rows = runs(kDistill, name, {"algorithm.name=" + name, "train.steps=60", "eval.every=60"});
    REQUIRE(rows.size() == 62);
    const MetricsRow &before = rows.front(), &after = rows.back();
    CHECK(before.split == "eval");
    CHECK(after.split == "eval");
    CHECK(*after.find("divergence") < 0.2 * *before.find("divergence"));
    CHECK(*after.find("nll") < 0.5 * *before.find("nll"));
    CHECK(*after.find("teacher_nll") == *before.find("teacher_nll"));
    // At this learning rate reverse_kl's gradients have outliers, on some processors.
    double skipped = 0;
    for (const auto& row : rows) skipped += row.find("skipped").value_or(0);
    CHECK(skipped <= (name == "reverse_kl" ? 12 : 0));
  }
}

TEST_CASE("distillation gives the same numbers for any micro-batch, on stored and on own samples") {
  DistillRuns runs;
  for (const std::string share : {"0", "0.5", "1"}) {
    CAPTURE(share);
    const std::vector<std::string> base = {"on_policy_share=" + share, "train.steps=6"};
    auto with = [&](const std::string& more) {
      auto sets = base;
      sets.push_back(more);
      return sets;
    };
    const auto whole = runs(kDistill, "whole" + share, base);
    check_same(whole, runs(kDistill, "cut" + share, with("train.micro_batch_tokens=16")), 1e-5);
    check_same(whole, runs(kDistill, "checkpointed" + share, with("model.checkpointing=all")), 1e-5);
    double own = 0;
    for (const auto& row : whole) own += row.find("on_policy").value_or(0);
    if (share == "0") CHECK(own == 0);
    if (share == "1") CHECK(own == 6);
    if (share == "0.5") {
      CHECK(own > 0);
      CHECK(own < 6);
    }
  }
}

TEST_CASE("a teacher of another tokenizer is refused before training") {
  DistillRuns runs;
  const auto teacher = [&](const std::string& name) {
    return std::vector<std::string>{"teachers.0.path=" + (runs.folder() / name / "final").string()};
  };
  runs(kTeacher, "larger", {"model.init.vocab=282", "train.steps=1"});
  CHECK_THROWS_WITH_AS(runs(kDistill, "number", teacher("larger")), doctest::Contains("another tokenizer"),
                       UserError);
  runs(kTeacher, "words",
       {"train.steps=1", "data.train=[\"" + (runs.folder() / "words.jsonl").string() + "\"]"});
  CHECK_THROWS_WITH_AS(runs(kDistill, "pieces", teacher("words")), doctest::Contains("another tokenizer"),
                       UserError);
  CHECK_THROWS_WITH_AS(runs(kDistill, "none", {"teachers=[]"}), doctest::Contains("teachers"), UserError);
}

TEST_CASE("a student learns from a teacher's drawn tokens, for any micro-batch") {
  DistillRuns runs;
  const std::string teacher = (runs.folder() / "teacher/final").string(),
                    data = (runs.folder() / "train.jsonl").string(),
                    file = (runs.folder() / "cache").string();
  {
    const auto tokenizer = Tokenizer::load(teacher);
    const auto model = Model::load(teacher, {at::kFloat, at::kCPU});
    EncodeSettings settings{.max_tokens = 100, .overlong = "drop"};
    const RecordEncoder encoder(*tokenizer, nullptr, settings);
    std::vector<Example> examples;
    for (const Record& record : read_records({data})) examples.push_back(encoder.supervised(record));
    write_teacher_cache(file, *model, teacher, examples,
                        cache_identity(*tokenizer, examples, {data}, settings, "auto"), {}, [](int64_t) {});
  }
  const std::vector<std::string> base = {"algorithm.name=sampled_kd", "teacher_cache=" + file};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), base.begin(), base.end());
    return more;
  };
  // Teachers that are given besides serve the evaluation.
  const auto rows = runs(kDistill, "sampled", with({"train.steps=60", "eval.every=60"}));
  CHECK(*rows.back().find("divergence") < 0.2 * *rows.front().find("divergence"));
  const auto alone = runs(kDistill, "alone", with({"teachers=[]", "train.steps=6", "eval.every=6"}));
  check_same({rows.begin() + 1, rows.begin() + 7}, {alone.begin() + 1, alone.begin() + 7}, 1e-12);
  check_same(alone,
             runs(kDistill, "cut",
                  with({"teachers=[]", "train.steps=6", "eval.every=6", "train.micro_batch_tokens=16"})),
             1e-5);
  const auto refused = [&](const std::vector<std::string>& sets, const char* text) {
    CHECK_THROWS_WITH_AS(runs(kDistill, "refused", with(sets)), doctest::Contains(text), UserError);
  };
  refused({"data.train=[\"" + (runs.folder() / "words.jsonl").string() + "\"]"}, "data.train");
  refused({"data.targets=all"}, "targets auto");
  refused({"on_policy_share=0.5"}, "on_policy_share");
  refused({"algorithm.name=gjsd"}, "teacher_cache");
}

TEST_CASE("minillm comes nearer to the teacher on its own samples, for any micro-batch") {
  DistillRuns runs;
  const std::vector<std::string> base = {"algorithm.name=minillm", "optimizer.lr=5e-3"};
  const auto with = [&](std::vector<std::string> more) {
    more.insert(more.begin(), base.begin(), base.end());
    return more;
  };
  const auto rows =
      runs(kDistill, "minillm", with({"train.steps=80", "train.batch_size=16", "eval.every=80"}));
  CHECK(*rows.back().find("divergence") < 0.5 * *rows.front().find("divergence"));
  for (const std::string single : {"true", "false"}) {
    CAPTURE(single);
    const std::vector<std::string> sets = with({"algorithm.single_step=" + single});
    const auto whole = runs(kDistill, "whole" + single, sets);
    auto cut = sets;
    cut.push_back("train.micro_batch_tokens=16");
    check_same(whole, runs(kDistill, "cut" + single, cut), 1e-5);
  }
  CHECK_THROWS_WITH_AS(runs(kDistill, "warm", with({"rollout.temperature=0.7"})),
                       doctest::Contains("temperature 1"), UserError);
}

TEST_CASE("two teachers are one with the mean of their logits; a teacher twice is that teacher") {
  DistillRuns runs;
  const std::string teacher = (runs.folder() / "teacher/final").string();
  const std::string twice = "teachers=[{\"path\": \"" + teacher + "\"}, {\"path\": \"" + teacher + "\"}]";
  check_same(runs(kDistill, "once"), runs(kDistill, "twice", {twice}), 1e-6);
}
