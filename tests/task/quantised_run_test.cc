// Runs of adapters on a quantised base: every task trains, and a run that is killed ends with the same bytes.
#include <cmath>

#include "base/error.h"
#include "runs.h"
#include "train/plan.h"

using namespace temper;

namespace {

// A folder with a trained base, and what a run needs to start from it.
struct QuantisedRuns : Runs {
  QuantisedRuns() {
    write("pairs.jsonl", arithmetic_pairs());
    (*this)(tiny_sft("train.jsonl", 20), "base");
  }
  // The config of a task on the base in this format.
  std::string config(const std::string& task, const std::string& quantise, const std::string& dtype = "f32") {
    Json c = Json::parse(
        tiny_sft(task == "preference" || task == "reward_model" ? "pairs.jsonl" : "train.jsonl", 4));
    c["task"] = task;
    c["model"] = {{"path", "base/final"}, {"dtype", dtype}, {"quantise", quantise}};
    c["adapter"] = {{"kind", "lora"}, {"rank", 4}};
    if (task == "preference") c["algorithm"] = {{"name", "dpo"}};
    if (task == "distill") c["teachers"] = {{{"path", "base/final"}}};
    if (task == "rl") {
      c["rollout"] = {{"prompts_per_step", 4}, {"group_size", 8}, {"max_new_tokens", 8}};
      c["rewards"] = {{{"kind", "contains"}, {"texts", {"1", "2", "3", "4", "5"}}}};
      c["algorithm"] = {{"name", "grpo"}};
      c["train"] = {{"steps", 3}, {"batch_size", 2}};
    }
    return c.dump();
  }
};

const char* const kFormats[] = {"int8", "nf4"};

}  // namespace

TEST_CASE("an adapter on a quantised base learns, for any micro-batch") {
  QuantisedRuns runs;
  const std::vector<std::string> longer = {"train.steps=100", "train.batch_size=16", "optimizer.lr=5e-3",
                                           "adapter.rank=16"};
  const double dense = *runs(runs.config("sft", "none"), "none", longer).back().find("loss");
  for (const std::string format : kFormats) {
    CAPTURE(format);
    const std::string config = runs.config("sft", format);
    const auto rows = runs(config, format, longer);
    const double first = *rows.front().find("loss"), last = *rows.back().find("loss");
    CHECK(last < 0.8 * first);
    CHECK(last == doctest::Approx(dense).epsilon(0.15));
    const auto whole = runs(config, format + "-whole");
    check_same(whole, runs(config, format + "-cut", {"train.micro_batch_tokens=16"}), 1e-5);
    check_same(whole, runs(config, format + "-recomputed", {"model.checkpointing=all"}), 1e-5);
    CHECK(*whole[0].find("loss") != *runs(runs.config("sft", "none"), format + "-dense")[0].find("loss"));
  }
}

TEST_CASE("a killed run on a quantised base ends with the same bytes") {
  QuantisedRuns runs;
  for (const std::string task : {"sft", "rl"}) {
    for (const std::string format : kFormats) {
      const std::string name = task + "-" + format;
      CAPTURE(name);
      const std::string config = runs.config(task, format, "bf16");
      const std::vector<std::string> saving = {"checkpoint.every=1", "checkpoint.keep=9"};
      const auto whole = runs(config, name, saving);
      const auto folder = runs.folder() / name, torn = runs.folder() / (name + "-torn");
      std::filesystem::copy(folder, torn, std::filesystem::copy_options::recursive);
      std::filesystem::remove_all(torn / "final");
      for (const char* step : {"step-2", "step-3", "step-4"})
        std::filesystem::remove_all(torn / "checkpoints" / step);
      check_same(whole, runs(config, name + "-torn", saving, "must"), 0x1p-60);
      const std::string weights = bytes(folder / "final/adapter_model.safetensors");
      CHECK(!weights.empty());
      CHECK(weights == bytes(torn / "final/adapter_model.safetensors"));
    }
  }
}

TEST_CASE("every task trains on a quantised base") {
  QuantisedRuns runs;
  for (const std::string task : {"preference", "rl", "reward_model", "distill"}) {
    for (const std::string format : kFormats) {
      const std::string name = task + "-" + format;
      CAPTURE(name);
      const auto rows = runs(runs.config(task, format), name);
      REQUIRE(rows.size() >= 3);
      double gradients = 0;
      for (const MetricsRow& row : rows) {
        CHECK(std::isfinite(*row.find("loss")));
        gradients += *row.find("grad_norm");
      }
      CHECK(gradients > 0);
      // The reference is the adapter switched off on the same base.
      if (task == "preference") CHECK(*rows[0].find("loss") == doctest::Approx(std::log(2.0)).epsilon(1e-5));
      // What rollouts say of their tokens is what training says.
      if (task == "rl") CHECK(std::abs(*rows[0].find("rollout_gap")) < 1e-5);
      // The teacher is the dense base, so the student begins off it by what quantising lost.
      if (task == "distill" && format == "nf4") CHECK(*rows[0].find("loss") > 1e-6);
    }
  }
}

TEST_CASE("the plan counts a quantised base; weights that train cannot be quantised") {
  QuantisedRuns runs;
  const auto plan = [&](const std::string& config, const std::string& name) {
    runs.write(name, config);
    RunConfig run(task_registry());
    load_run_config(run, (runs.folder() / name).string(), {});
    return plan_training(run)["memory"];
  };
  const Json dense = plan(runs.config("sft", "none"), "dense.json");
  // Two layers of q, o 32 x 32, k, v 16 x 32, gate, up and down 64 x 32.
  const int64_t linears = 2 * (2 * 32 * 32 + 2 * 16 * 32 + 3 * 64 * 32);
  CHECK(dense["quantised_bytes"] == 0);
  for (const std::string format : kFormats) {
    const Json memory = plan(runs.config("sft", format), format + ".json");
    const auto quantised = memory["quantised_bytes"].get<int64_t>();
    CHECK(quantised > (format == "nf4" ? linears / 2 : linears));
    CHECK(quantised < (format == "nf4" ? linears / 2 : linears) * 1.2);
    CHECK(memory["weights_bytes"].get<int64_t>() ==
          dense["weights_bytes"].get<int64_t>() - 4 * linears + quantised);
  }
  try {
    plan(Json::parse(runs.config("sft", "nf4"))
             .patch(Json::parse(R"([{"op": "remove", "path": "/adapter"}])"))
             .dump(),
         "full.json");
    FAIL("expected a UserError");
  } catch (const UserError& e) {
    CHECK(std::string(e.what()).find("model.quantise") != std::string::npos);
    CHECK(std::string(e.what()).find("lora") != std::string::npos);
  }
}
