// Every task, objective, adapter and optimizer on a device whose memory the host cannot read, beside the CPU.
// On a machine with a GPU: TEMPER_TEST_DEVICE=cuda device_test -tc="*device: every*".
#include "tensor/device.h"

#include <ATen/ATen.h>

#include "adapter/adapter.h"
#include "base/error.h"
#include "device/fake_device.h"
#include "model/precision.h"
#include "objective/policy/policy.h"
#include "objective/preference/preference.h"
#include "objective/supervised/supervised.h"
#include "optim/optimizer.h"
#include "task/runs.h"

using namespace temper;

namespace {

std::string tested_device() {
  const char* name = std::getenv("TEMPER_TEST_DEVICE");
  return name == nullptr ? "fake" : name;
}

// Runs of each config on both, two steps.
struct Devices {
  Devices() {
    // Not both: autograd knows of one accelerator.
    tested_device() == "cuda" ? load_cuda() : fake::start();
    runs.write("pairs.jsonl", arithmetic_pairs());
    runs(tiny_sft((runs.folder() / "train.jsonl").string(), 12), "base");
  }
  std::string base() const { return (runs.folder() / "base/final").string(); }
  std::string on_base(const std::string& task, const std::string& data, Json more = Json::object()) const {
    Json config = {{"task", task},
                   {"threads", 1},
                   {"model", {{"path", base()}, {"dtype", "f32"}}},
                   {"data", {{"train", {(runs.folder() / data).string()}}, {"max_tokens", 100}}},
                   {"optimizer", {{"name", "adamw"}, {"lr", 1e-3}}},
                   {"train", {{"steps", 2}, {"batch_size", 4}, {"micro_batch_tokens", 60}}},
                   {"checkpoint", {{"every", 0}}},
                   {"run", "r"}};
    config.update(more);
    return config.dump();
  }
  std::string rl() const {
    return on_base("rl", "train.jsonl",
                   {{"rollout", {{"prompts_per_step", 4}, {"group_size", 4}, {"max_new_tokens", 6}}},
                    {"rewards", {{{"kind", "contains"}, {"texts", {"1", "2", "3"}}}}}});
  }
  void compare(const std::string& config, const std::string& name, const std::vector<std::string>& sets = {},
               double tolerance = 1e-4) {
    CAPTURE(name);
    auto on_device = sets;
    on_device.emplace_back("device=" + tested_device());
    std::vector<std::vector<MetricsRow>> rows = {runs(config, "cpu-" + name, sets),
                                                 runs(config, "device-" + name, on_device)};
    // At first policy and reference are one: whether an answer's reward is above the other's is rounding's to
    // say.
    for (auto& run : rows)
      std::erase_if(run.front().values, [](const auto& value) { return value.first == "reward_accuracy"; });
    check_same(rows[0], rows[1], tolerance);
    ++compared;
  }

  Runs runs;
  int compared = 0;
};

std::string safe(std::string name) {
  for (char& c : name)
    if (c == '/') c = '-';
  return name;
}

}  // namespace

TEST_CASE("fake device: the host cannot read its memory, and sees what it copies") {
  fake::start();
  const at::Device device(c10::kPrivateUse1, 0);
  const at::Tensor host = at::arange(12, at::kFloat).view({3, 4}), there = host.to(device);
  CHECK(there.device() == device);
  CHECK(at::equal(there.cpu(), host));
  CHECK(at::allclose(at::mm(there, there.t()).cpu(), at::mm(host, host.t())));
  CHECK(at::equal(there.narrow(1, 1, 2).add_(1).cpu(), host.narrow(1, 1, 2) + 1));
  const int64_t reads = fake::counters().scalars_read;
  CHECK(there.sum().item<float>() == doctest::Approx(host.sum().item<float>() + 6));
  CHECK(fake::counters().scalars_read == reads + 1);
  CHECK_THROWS_WITH(at::add(there, host), doctest::Contains("to be on the same device"));
  CHECK_THROWS_WITH(at::mm(there, host.t()), doctest::Contains("on the fake device"));
  CHECK_THROWS_WITH_AS(make_precision("f32", "quantum"), doctest::Contains("expected \"cpu\" or \"cuda\""),
                       UserError);
}

TEST_CASE("fake device: every task, and how each kind of thing trains") {
  Devices d;
  const std::string pairs = (d.runs.folder() / "pairs.jsonl").string();
  const std::string sft = d.on_base("sft", "train.jsonl");
  d.compare(sft, "sft");
  d.compare(sft, "sft-recomputed", {"model.checkpointing=all"});
  d.compare(d.on_base("preference", "pairs.jsonl"), "dpo");
  d.compare(d.on_base("reward_model", "pairs.jsonl"), "reward-model");
  // A student of its own: of a model that is its own teacher the gradient is rounding alone.
  const Json student = {{"vocab", 0}, {"hidden", 24},  {"intermediate", 48},   {"layers", 1},
                        {"heads", 2}, {"kv_heads", 1}, {"max_positions", 128}, {"tokenizer", d.base()}};
  d.compare(
      d.on_base("distill", "train.jsonl",
                {{"teachers", {{{"path", d.base()}}}}, {"model", {{"dtype", "f32"}, {"init", student}}}}),
      "distill");
  d.compare(d.rl(), "grpo");
  d.compare(d.rl(), "grpo-updates",
            {"train.updates_per_rollout=2", "train.batch_size=2", "algorithm.kl_coef=0.1"});
  d.compare(d.rl(), "ppo", {"algorithm={\"name\": \"ppo\"}"});
  d.compare(d.rl(), "grpo-lora", {"adapter={\"kind\": \"lora\", \"rank\": 2, \"dropout\": 0.1}"});
  MESSAGE(d.compared << " runs agree");
}

TEST_CASE("fake device: every adapter") {
  Devices d;
  const std::string sft = d.on_base("sft", "train.jsonl");
  for (const auto& entry : adapter_registry().entries()) {
    if (entry.name == "full" || entry.name == "lora_pair")
      continue;  // the one is everywhere else, the other of one loss
    const std::string more = entry.name == "freeze" ? R"(, "names": ".*self_attn.*")" : "";
    d.compare(sft, safe(entry.name), {"adapter={\"kind\": \"" + entry.name + "\"" + more + "}"});
  }
  MESSAGE(d.compared << " adapters agree");
}

TEST_CASE("fake device: every optimizer") {
  Devices d;
  const std::string sft = d.on_base("sft", "train.jsonl");
  for (const auto& entry : optimizer_registry().entries()) {
    // SOAP's bases are of a QR decomposition, which magnifies rounding.
    d.compare(sft, safe(entry.name), {"optimizer={\"name\": \"" + entry.name + "\", \"lr\": 1e-3}"},
              entry.name == "soap" ? 5e-3 : 1e-4);
  }
  MESSAGE(d.compared << " optimizers agree");
}

TEST_CASE("fake device: every objective") {
  Devices d;
  for (const std::string& name : objective::policy_registry().names()) {
    std::vector<std::string> sets = {"algorithm.name=" + name, "algorithm.filter_max_rounds=1000"};
    if (name == "luffy") sets.emplace_back("rollout.demonstrations=1");
    if (name == "mrt") sets.emplace_back(R"(rollout.prefix={"tokens": 4, "time_up": " so:"})");
    if (name == "coderl") {
      sets.emplace_back("rollout.demonstrations=1");
      sets.emplace_back(
          R"(rewards=[{"kind": "code", "score": "coderl", "extract": "all", "tests": "answer"}])");
    }
    if (name == "adaptthink") {
      sets.emplace_back(R"(rollout.openings=["<|im_end|>", "<|im_start|>"])");
      sets.emplace_back("rollout.reference_samples=2");
    }
    d.compare(d.rl(), name, sets, 2e-3);
  }
  std::string labelled;
  for (int i = 0; i < 16; ++i)
    labelled += fmt::format("{{\"prompt\": \"Add {} and 1:\", \"completion\": \" {}\", \"label\": {}}}\n", i,
                            i + i % 2, i % 2 == 1);
  d.runs.write("labelled.jsonl", labelled);
  for (const std::string& name : objective::preference_registry().names()) {
    const objective::PreferenceNeeds needs = objective::preference_registry().find(name)->make()->needs();
    if (needs.list || needs.other) continue;  // of lists of answers and of two adapters
    d.compare(d.on_base("preference", needs.label ? "labelled.jsonl" : "pairs.jsonl"), name,
              {"algorithm.name=" + name}, 2e-3);
  }
  std::string scored;
  for (int i = 0; i < 16; ++i)
    scored += fmt::format("{{\"prompt\": \"Add {} and 1:\", \"completion\": \" {}\", \"reward\": {}}}\n",
                          i / 2, i, i % 2);
  d.runs.write("scored.jsonl", scored);
  for (const std::string& name : objective::supervised_registry().names())
    d.compare(d.on_base("sft", "scored.jsonl"), name, {"loss.name=" + name}, 2e-3);
  MESSAGE(d.compared << " objectives agree");
}

TEST_CASE("fake device: what a micro-batch and a decoded token cost of it") {
  Devices d;
  const std::string sft = d.on_base("sft", "train.jsonl");
  const auto counted = [&](const std::string& config, const std::string& name,
                           std::vector<std::string> sets) {
    sets.emplace_back("device=fake");
    const fake::Counters before = fake::counters();
    d.runs(config, name, sets);
    const fake::Counters& after = fake::counters();
    return fake::Counters{after.operators - before.operators, after.scalars_read - before.scalars_read,
                          after.to_device - before.to_device, after.to_host - before.to_host, after.largest};
  };
  // Of the same run with twice the micro-batches, and with longer answers.
  const auto whole = counted(sft, "whole", {"train.steps=8", "train.micro_batch_tokens=1000"}),
             cut = counted(sft, "cut", {"train.steps=8", "train.micro_batch_tokens=30"});
  const auto shorter = counted(d.rl(), "short", {"rollout.min_new_tokens=4", "rollout.max_new_tokens=4"}),
             longer = counted(d.rl(), "long", {"rollout.min_new_tokens=12", "rollout.max_new_tokens=12"});
  MESSAGE("sft, 8 steps: " << whole.scalars_read << " scalars read, cut into more micro-batches "
                           << cut.scalars_read);
  MESSAGE("8 more tokens of 16 sequences, twice: " << longer.operators - shorter.operators << " operators, "
                                                   << longer.scalars_read - shorter.scalars_read
                                                   << " scalars, " << longer.to_host - shorter.to_host
                                                   << " copies to the host");
  CHECK(whole.scalars_read <= cut.scalars_read);
  CHECK(longer.to_host > shorter.to_host);  // the logits of each token, for the sampler
}
