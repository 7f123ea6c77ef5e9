// Whole runs under a layer schedule, in every task: what trains when, what a checkpoint holds, and that
// neither a kill in the middle of an interval nor the micro-batch size changes anything.
#include <ATen/ATen.h>

#include <set>

#include "adapter/layers.h"
#include "adapter/lisa.h"
#include "base/error.h"
#include "runs.h"
#include "tensor/safetensors.h"
#include "train/plan.h"

using namespace temper;

namespace {

constexpr int kEvery = 3, kSteps = 20;

// A config of a task on a model of four blocks.
Json config_of(const std::string& task) {
  Json config = Json::parse(tiny_sft("train.jsonl", kSteps));
  config["task"] = task;
  config["model"]["init"]["layers"] = 4;
  config["optimizer"]["lr"] = 3e-3;
  config["train"]["batch_size"] = 4;
  if (task == "preference" || task == "reward_model") config["data"]["train"] = {"pairs.jsonl"};
  if (task == "rl") {
    config["rollout"] = {{"prompts_per_step", 4}, {"group_size", 4}, {"max_new_tokens", 8}};
    config["rewards"] = {{{"kind", "contains"}, {"texts", {"1", "2", "3", "4", "5"}}}};
    config["algorithm"] = {{"name", "grpo"}, {"kl_coef", 0.05}};
    config["train"] = {{"steps", 5}, {"batch_size", 2}};  // two updates a step
  }
  if (task == "distill") {
    config["model"]["init"].erase("vocab");
    config["model"]["init"]["tokenizer"] = "teacher/final";
    config["teachers"] = {{{"path", "teacher/final"}}};
  }
  return config;
}

struct LayerRuns : Runs {
  LayerRuns() {
    write("pairs.jsonl", arithmetic_pairs());
    (*this)(tiny_sft("train.jsonl", 4), "teacher");
  }
  std::filesystem::path checkpoint(const std::string& run, int64_t step) const {
    return folder() / run / "checkpoints" / fmt::format("step-{}", step);
  }
};

std::string lisa(const std::string& state, const std::string& more = "") {
  return fmt::format("adapter={{\"kind\": \"lisa\", \"blocks\": 2, \"every\": {}, \"state\": \"{}\"{}}}",
                     kEvery, state, more);
}

// The optimizer's steps of each parameter in a checkpoint.
std::map<std::string, int64_t> optimizer_steps(const std::filesystem::path& checkpoint) {
  std::map<std::string, int64_t> out;
  const SafetensorsFile file((checkpoint / "optimizer.safetensors").string());
  for (const TensorInfo& info : file.tensors()) {
    const size_t slash = info.name.rfind('/');
    if (info.name.substr(slash) == "/step")
      out[info.name.substr(0, slash)] = file.tensor(info).item<int64_t>();
    else
      out.try_emplace(info.name.substr(0, slash), 0);
  }
  return out;
}

std::set<int64_t> blocks_of(const std::filesystem::path& checkpoint) {
  const Json state = read_json_file((checkpoint / "state.json").string());
  const auto blocks = state["adapter"]["blocks"].get<std::vector<int64_t>>();
  return {blocks.begin(), blocks.end()};
}

std::map<std::string, at::Tensor> tensors_of(const std::filesystem::path& path) {
  std::map<std::string, at::Tensor> out;
  const SafetensorsFile file(path.string());
  for (const TensorInfo& info : file.tensors()) out[info.name] = file.tensor(info).clone();
  return out;
}

// A whole run, and one whose checkpoints behind `last` were lost: the same bytes at the end.
void check_torn(LayerRuns& runs, const Json& config, const std::string& name, std::vector<std::string> sets,
                int64_t last, const std::string& final_file) {
  CAPTURE(name);
  sets.push_back("checkpoint.every=1");
  sets.push_back("checkpoint.keep=99");
  const auto whole = runs(config.dump(), name, sets);
  const int64_t steps = config["train"]["steps"].get<int64_t>();
  const auto folder = runs.folder() / name, torn = runs.folder() / (name + "-torn");
  std::filesystem::copy(folder, torn, std::filesystem::copy_options::recursive);
  std::filesystem::remove_all(torn / "final");
  if (sets.front().find("lisa") != std::string::npos)
    std::filesystem::create_directories(torn / "parked");  // a killed run leaves its files behind
  for (int64_t step = last + 1; step <= steps; ++step)
    std::filesystem::remove_all(runs.checkpoint(name + "-torn", step));
  check_same(whole, runs(config.dump(), name + "-torn", sets, "must"), 0x1p-60);
  CHECK(bytes(folder / "final" / final_file) == bytes(torn / "final" / final_file));
  for (int64_t step = last + 1; step <= steps; ++step) {
    for (const char* file : {"trainable.safetensors", "optimizer.safetensors", "adapter.safetensors"}) {
      const auto a = runs.checkpoint(name, step) / file, b = runs.checkpoint(name + "-torn", step) / file;
      CHECK(std::filesystem::exists(a) == std::filesystem::exists(b));
      if (std::filesystem::exists(a)) CHECK(bytes(a) == bytes(b));
    }
  }
  CHECK(!std::filesystem::exists(torn / "parked"));
}

}  // namespace

TEST_CASE("lisa: gradients, optimizer state and weights move in the active blocks alone, step by step") {
  LayerRuns runs;
  for (const std::string state : {"drop", "keep", "offload"}) {
    CAPTURE(state);
    const auto rows = runs(config_of("sft").dump(), state,
                           {lisa(state, ", \"embedding\": false, \"head\": false"), "model.init.tied=false",
                            "checkpoint.every=1", "checkpoint.keep=99"});
    REQUIRE(rows.size() == kSteps);
    std::map<std::string, int64_t> trained;  // updates of each parameter so far
    std::set<std::set<int64_t>> sets;
    int64_t returns = 0;
    for (int64_t step = 1; step <= kSteps; ++step) {
      CAPTURE(step);
      const auto folder = runs.checkpoint(state, step);
      const std::set<int64_t> blocks = blocks_of(folder);
      const bool begins = (step - 1) % kEvery == 0;
      if (!begins) CHECK(blocks == blocks_of(runs.checkpoint(state, step - 1)));
      CHECK(blocks.size() == 2);
      sets.insert(blocks);
      const auto steps = optimizer_steps(folder);
      const auto now = tensors_of(folder / "trainable.safetensors");
      const auto before =
          step == 1 ? now : tensors_of(runs.checkpoint(state, step - 1) / "trainable.safetensors");
      int64_t moved = 0;
      for (const auto& [name, tensor] : now) {
        CAPTURE(name);
        const int64_t layer = layer_of(name);
        const bool active = layer < 0 || blocks.count(layer);
        CHECK(steps.count(name) == (active ? 1 : 0));
        if (step > 1) CHECK(at::equal(tensor, before.at(name)) == !active);
        if (!active) continue;
        ++moved;
        ++trained[name];
        // Under drop, an optimizer step counts from when the block joined; one that stays goes on.
        if (state != "drop") CHECK(steps.at(name) == trained[name]);
        if (state == "drop") {
          int64_t joined = step;
          while (joined > 1 && (layer < 0 || blocks_of(runs.checkpoint(state, joined - 1)).count(layer)))
            --joined;
          CHECK(steps.at(name) == step - joined + 1);
          returns += steps.at(name) < trained[name] ? 1 : 0;
        }
      }
      CHECK(moved == 2 * 9 + 1);  // two blocks and the final norm
      CHECK(!now.count("lm_head.weight"));
      // What is parked is in the checkpoint: of blocks that trained before and do not now.
      std::set<std::string> parked, expected;
      const auto file = folder / "adapter.safetensors";
      if (std::filesystem::exists(file)) {
        for (const auto& [name, tensor] : tensors_of(file)) parked.insert(name.substr(0, name.rfind('/')));
      }
      for (const auto& [name, count] : trained) {
        if (!steps.count(name) && state != "drop") expected.insert(name);
      }
      CHECK(parked == expected);
    }
    CHECK(sets.size() > 1);
    if (state == "drop") CHECK(returns > 0);
  }
}

TEST_CASE(
    "lisa: keep and offload are one another, and the micro-batch size and recomputation change nothing") {
  LayerRuns runs;
  const std::string config = config_of("sft").dump();
  const auto keep = runs(config, "keep", {lisa("keep")});
  check_same(keep, runs(config, "offload", {lisa("offload")}), 0x1p-60);
  CHECK(bytes(runs.folder() / "keep/final/model.safetensors") ==
        bytes(runs.folder() / "offload/final/model.safetensors"));
  const auto drop = runs(config, "drop", {lisa("drop")});
  CHECK(*drop[kEvery].find("loss") == *keep[kEvery].find("loss"));  // nothing was dropped yet
  CHECK(*drop.back().find("loss") != *keep.back().find("loss"));
  check_same(drop, runs(config, "cut", {lisa("drop"), "train.micro_batch_tokens=16"}), 1e-5);
  check_same(drop, runs(config, "recomputed", {lisa("drop"), "model.checkpointing=all"}), 1e-5);
  // All blocks at a time is full training.
  check_same(runs(config, "full"),
             runs(config, "all", {"adapter={\"kind\": \"lisa\", \"blocks\": 4, \"every\": 2}"}), 0x1p-60);
}

TEST_CASE("lisa clips by the norm over what is active") {
  LayerRuns runs;
  const Json config = config_of("sft");
  // One SGD step of learning rate 1 moves the active weights by the clipped gradient.
  const std::vector<std::string> sgd = {"optimizer={\"name\": \"sgd\", \"lr\": 1, \"clip_norm\": 0.1}",
                                        "train.steps=2", "checkpoint.every=1", "checkpoint.keep=9"};
  auto sets = sgd;
  sets.push_back(lisa("drop", ", \"embedding\": false, \"head\": false"));
  const auto rows = runs(config.dump(), "clip", sets);
  CHECK(*rows[1].find("grad_norm") > 0.1);
  const auto a = tensors_of(runs.checkpoint("clip", 1) / "trainable.safetensors"),
             b = tensors_of(runs.checkpoint("clip", 2) / "trainable.safetensors");
  double squares = 0;
  for (const auto& [name, tensor] : a) squares += (tensor - b.at(name)).square().sum().item<double>();
  CHECK(std::sqrt(squares) == doctest::Approx(0.1).epsilon(1e-4));
}

TEST_CASE("lisa in every task: killed in the middle of an interval, a run ends with the same bytes") {
  LayerRuns runs;
  for (const std::string task : {"sft", "preference", "rl", "reward_model", "distill"}) {
    const Json config = config_of(task);
    check_torn(runs, config, task, {lisa("drop")}, task == "rl" ? 2 : 7, "model.safetensors");
  }
  for (const std::string state : {"drop", "keep", "offload"}) {
    check_torn(runs, config_of("sft"), "bf16-" + state, {lisa(state), "model.dtype=bf16"}, 7,
               "model.safetensors");
    check_torn(runs, config_of("sft"), "boundary-" + state, {lisa(state)}, 6, "model.safetensors");
  }
  check_torn(runs, config_of("preference"), "moving",
             {lisa("drop"), "model.dtype=bf16", "reference.sync_every=2", "reference.sync_share=0.6"}, 7,
             "model.safetensors");
}

TEST_CASE("lisa with a fixed reference: preference and rl compare with the first weights") {
  LayerRuns runs;
  // Nothing is learnt at learning rate 0, so that policy and reference stay one.
  for (const std::string task : {"preference", "rl"}) {
    const auto still = runs(config_of(task).dump(), task + "-still", {lisa("drop"), "optimizer.lr=0"});
    const auto rows = runs(config_of(task).dump(), task, {lisa("drop")});
    const char* const distance = task == "rl" ? "kl" : "reward_margin";
    CHECK(std::abs(*still.back().find(distance)) < 1e-6);
    CHECK(std::abs(*rows.back().find(distance)) > 1e-6);
  }
}

TEST_CASE("freeze: in every task the chosen blocks alone move") {
  LayerRuns runs;
  for (const std::string task : {"sft", "preference", "rl", "reward_model", "distill"}) {
    CAPTURE(task);
    const std::vector<std::string> sets = {"adapter={\"kind\": \"freeze\", \"blocks\": 1}", "train.steps=3"};
    auto still = sets;
    still.push_back("optimizer.lr=0");
    runs(config_of(task).dump(), task, sets);
    runs(config_of(task).dump(), task + "-still", still);
    const auto a = tensors_of(runs.folder() / task / "final/model.safetensors"),
               b = tensors_of(runs.folder() / (task + "-still") / "final/model.safetensors");
    for (const auto& [name, tensor] : a) {
      CAPTURE(name);
      CHECK(at::equal(tensor, b.at(name)) == (layer_of(name) != 3 && name != "score.weight"));
    }
  }
}

TEST_CASE("ist in every task: any micro-batch, and killed it ends with the same bytes") {
  LayerRuns runs;
  const std::string ist =
      "adapter={\"kind\": \"ist\", \"rank\": 2, \"dropout\": 0.1, \"train_share\": 0.5, \"measure_every\": "
      "2}";
  const std::string plain =
      "adapter={\"kind\": \"ist\", \"rank\": 2, \"train_share\": 0.5, \"measure_every\": 2}";
  for (const std::string task : {"sft", "preference", "rl", "reward_model", "distill"}) {
    const Json config = config_of(task);
    check_torn(runs, config, task, {ist}, task == "rl" ? 2 : 7, "adapter_model.safetensors");
    const auto whole = runs(config.dump(), task + "-plain", {plain, "train.steps=4"});
    check_same(whole,
               runs(config.dump(), task + "-cut", {plain, "train.steps=4", "train.micro_batch_tokens=24"}),
               1e-4);
  }
  const Json state = read_json_file((runs.checkpoint("sft", kSteps) / "state.json").string());
  CHECK(state["adapter"]["training"].size() == 2);
  for (const Json& score : state["adapter"]["importance"]) CHECK(score.get<double>() != 0.0);
}

TEST_CASE("the plan of a layer schedule counts what is active, and all that was with keep") {
  LayerRuns runs;
  const auto plan = [&](const std::string& adapter, const std::string& dtype) {
    const std::string file = (runs.folder() / "plan.json").string();
    write_file_atomic(file, config_of("sft").dump());
    RunConfig config(task_registry());
    load_run_config(config, file, {adapter, "model.dtype=" + dtype, "model.init.tied=true"});
    return plan_training(config);
  };
  const std::string off = ", \"embedding\": false, \"head\": false, \"norm\": false";
  const Json full = plan("adapter.kind=full", "f32"), drop = plan(lisa("drop", off), "bf16"),
             keep = plan(lisa("keep", off), "bf16"), offload = plan(lisa("offload", off), "bf16");
  const int64_t block = 2 * 32 + 2 * 32 * 32 + 2 * 32 * 16 + 3 * 32 * 64;
  CHECK(drop["parameters"]["trained"] == 4 * block);
  CHECK(drop["parameters"]["active"] == 2 * block);
  CHECK(full["parameters"]["active"] == full["parameters"]["total"]);
  CHECK(drop["memory"]["gradients_bytes"] == 2 * block * 4);
  CHECK(drop["memory"]["masters_bytes"] == 2 * block * 4);
  CHECK(keep["memory"]["masters_bytes"] == 4 * block * 4);
  CHECK(offload["memory"] == drop["memory"]);
  const auto state = [](const Json& p) { return p["memory"]["optimizer_bytes"].get<int64_t>(); };
  CHECK(state(keep) == 2 * state(drop));
  CHECK(state(drop) == 18 * 8 + 2 * block * 8);
  CHECK(drop["memory"]["logits_bytes"].get<int64_t>() < full["memory"]["logits_bytes"].get<int64_t>());
  const Json last = plan("adapter={\"kind\": \"freeze\", \"blocks\": 1}", "bf16");
  // bf16 and one block of four.
  CHECK(8 * last["memory"]["activations_bytes"].get<int64_t>() ==
        full["memory"]["activations_bytes"].get<int64_t>());
}
