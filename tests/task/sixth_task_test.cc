// What one more task costs: the struct below and a line in the registry.
#include <ATen/ATen.h>

#include "base/error.h"
#include "runs.h"
#include "train/examples.h"
#include "train/run_order.h"

namespace temper {
namespace {

// Unlearning: the likelihood of the records' completions is lowered until a token costs `forgotten` nats.
struct ForgetTask : Task {
  double forgotten = 6.0;

  void fields(FieldVisitor& v) override {
    v.field("forgotten", forgotten,
            {.help = "loss at which a token counts as forgotten", .unit = "nats", .min = 0});
  }
  StepUnit step_unit() const override { return {"records", 4}; }
  bool learns_completions() const override { return true; }
  std::string rewards_help() const override { return ""; }
  void check_run(const RunConfig& config, std::vector<std::string>& problems) const override {
    if (config.model.path.empty()) problems.push_back("model.path: random weights know nothing to forget");
  }

  void train(Session& s) const override {
    const Examples known = encode_train_examples(s);
    const RunOrder order(s, known.records, s.config.train.batch_size);
    s.evaluate_first([&](const std::string& when, Evaluation& out) {
      out.row.values.emplace_back("records", static_cast<double>(s.eval_records.size()));
      out.line = when + ": asked";
    });
    while (s.state.step < s.config.train.steps) {
      s.begin_step();
      std::vector<Example> drawn;
      for (int64_t i = 0; i < s.config.train.batch_size; ++i)
        drawn.push_back(known.examples[static_cast<size_t>(order.at(s.state.cursor + i))]);
      std::vector<Sequence> sequences;
      for (const Example& example : drawn)
        sequences.push_back(whole_sequence(example, static_cast<int64_t>(sequences.size())));
      s.state.cursor += s.config.train.batch_size;
      const auto batches =
          cut_into_micro_batches(sequences, s.config.train.micro_batch_tokens, false, s.device());
      int64_t targets = 0;
      for (const MicroBatch& batch : batches) targets += batch.targets.token.size(0);
      const UpdateOutcome done = s.update(batches, [&](const MicroBatch& batch) {
        const at::Tensor logp =
            model_logp(*s.model, batch.tokens, batch.targets, {}, s.forward_options(true)).logp;
        const double nll = -logp.detach().sum().item<double>();
        return LossShare{at::relu(logp + forgotten).sum() / targets, {{"nll", nll / targets}}};
      });
      s.end_step({.values = {{"loss", done.loss}, {"nll", done.metrics.at("nll")}}}, {"loss", "nll"},
                 targets);
    }
  }
};

const Registry<Task>& six_tasks() {
  static const Registry<Task> registry =
      Registry<Task>(task_registry()).add({"forget", "unlearning", "", std::make_unique<ForgetTask>});
  return registry;
}

}  // namespace

TEST_CASE("a sixth task is a struct and a line: its fields, rules, loop, figures and resume") {
  Runs runs;
  runs(tiny_sft("train.jsonl", 30), "known");
  Json config = Json::parse(tiny_sft("train.jsonl", 12));
  config["task"] = "forget";
  const auto forget = [&](const std::string& name, const std::vector<std::string>& sets = {}) {
    runs.write(name + ".json", config.dump());
    RunConfig run(six_tasks());
    load_run_config(run, (runs.folder() / (name + ".json")).string(), sets);
    CHECK(run.train.batch_size == 8);
    run.run = (runs.folder() / name).string();
    Console console({.fd = ::open("/dev/null", O_WRONLY), .terminal = false});
    run_training(run, {"auto", nullptr, &console});
    return read_metrics(run.run + "/" + MetricsLog::kMetricsFile);
  };
  CHECK_THROWS_WITH_AS(forget("nothing"), doctest::Contains("know nothing to forget"), UserError);

  config["model"] = {{"dtype", "f32"}, {"path", (runs.folder() / "known/final").string()}};
  config["data"]["eval"] = config["data"]["train"];
  config["eval"] = {{"every", 6}};
  config["checkpoint"] = {{"every", 6}, {"keep", 2}};
  CHECK_THROWS_WITH_AS(forget("wrong", {"forgoten=3"}), doctest::Contains("did you mean \"forgotten\"?"),
                       UserError);
  const auto rows = forget("whole");
  REQUIRE(rows.size() == 15);  // and the evaluations before the first step, after 6 and 12
  CHECK(*rows.front().find("records") == 16);
  CHECK(*rows[13].find("nll") > *rows[1].find("nll") + 0.5);

  forget("cut");
  fs::remove_all(runs.folder() / "cut/final");
  fs::remove_all(runs.folder() / "cut/checkpoints/step-12");
  CHECK(forget("cut").size() == 15);
  const char* const weights = "final/model.safetensors";
  CHECK(bytes(runs.folder() / "cut" / weights) == bytes(runs.folder() / "whole" / weights));
}

}  // namespace temper
