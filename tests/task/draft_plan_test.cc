// What the plan says of a model that drafts tokens for the rollouts.
#include <algorithm>

#include "base/json.h"
#include "runs.h"
#include "told.h"
#include "train/plan.h"

using namespace temper;

TEST_CASE("the plan counts a draft model's weights, and its keys and values beside the model's own") {
  Runs runs;
  runs(tiny_sft("train.jsonl", 1), "start");
  runs(tiny_sft("train.jsonl", 1), "small", {"model.init.layers=1"});
  const auto plan = [&](const Json& speculation) {
    Json config = {{"task", "rl"},
                   {"model", {{"path", "start/final"}, {"dtype", "f32"}}},
                   {"data", {{"train", {"train.jsonl"}}}},
                   {"rewards", {{{"kind", "math"}}}},
                   {"rollout", {{"max_new_tokens", 100}, {"group_size", 8}, {"prompts_per_step", 4}}},
                   {"train", {{"steps", 1}, {"batch_size", 4}, {"micro_batch_tokens", 64}}},
                   {"run", "rl"}};
    if (!speculation.is_null()) config["rollout"]["speculation"] = speculation;
    runs.write("rl.json", config.dump());
    RunConfig run(task_registry());
    load_run_config(run, (runs.folder() / "rl.json").string(), {});
    return plan_training(run)["memory"];
  };
  const auto bytes = [](const Json& memory, const char* name) {
    return memory[std::string(name) + "_bytes"].get<int64_t>();
  };
  const Json plain = plan(nullptr), lookup = plan({{"kind", "lookup"}});
  CHECK(bytes(plain, "draft") == 0);
  CHECK(lookup == plain);
  // 32 sequences of 100 tokens, two layers, keys and values of one head of 16 numbers in fp32.
  CHECK(bytes(plain, "cache") == 32 * 100 * 2 * 2 * 16 * 4);

  const auto drafted = [&](const char* folder, int64_t weights, int64_t cache) {
    const Json memory = plan({{"kind", "draft"}, {"model", std::string(folder) + "/final"}});
    CHECK(bytes(memory, "draft") == weights);
    CHECK(bytes(memory, "cache") == cache);
    const auto while_working = [&](const Json& m) {
      return std::max(bytes(m, "gradients") + bytes(m, "activations") + bytes(m, "logits"),
                      bytes(m, "cache"));
    };
    CHECK(bytes(memory, "peak") - bytes(plain, "peak") ==
          weights + while_working(memory) - while_working(plain));
  };
  drafted("start", bytes(plain, "weights"), 2 * bytes(plain, "cache"));
  // A layer less: q, o 32 x 32, k, v 16 x 32, gate, up and down 64 x 32, two norms.
  const int64_t layer = 2 * 32 * 32 + 2 * 16 * 32 + 3 * 64 * 32 + 2 * 32;
  drafted("small", bytes(plain, "weights") - 4 * layer, bytes(plain, "cache") * 3 / 2);

  const auto refused = [&](const char* folder) {
    return problem([&] { plan({{"kind", "draft"}, {"model", folder}}); });
  };
  CHECK(has(refused("nowhere"), "nowhere"));
}
