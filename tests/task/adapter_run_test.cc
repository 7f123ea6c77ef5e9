// Whole runs with every kind of adapter.
#include "adapter/adapter.h"
#include "base/error.h"
#include "runs.h"
#include "train/plan.h"

using namespace temper;

namespace {

// Every kind, and those that may stand on embedding and head there too.
const std::string kVocabulary = "+vocabulary";
std::vector<std::string> kinds() {
  std::vector<std::string> out = adapter_registry().names();
  for (const char* kind : {"lora", "dora", "pissa"}) out.push_back(kind + kVocabulary);
  return out;
}

// A kind with what it needs to do something in a few steps.
std::string adapter_json(const std::string& kind) {
  Json json = {{"kind", kind}};
  if (kind.ends_with(kVocabulary)) {
    json["kind"] = kind.substr(0, kind.size() - kVocabulary.size());
    json["targets"] = {"embed_tokens", "q_proj", "lm_head"};
  }
  if (kind == "freeze") json["blocks"] = 1;
  if (kind == "lisa") json.update({{"blocks", 1}, {"every", 2}});
  if (kind == "increlora")
    json.update({{"warmup", 2}, {"interval", 1}, {"growth_warmup", 2}, {"orthogonal", 0.01}, {"alpha", 64}});
  return "adapter=" + json.dump();
}

// On a trained start, whose weights have directions worth keeping.
struct AdapterRuns : Runs {
  AdapterRuns() { (*this)(tiny_sft("train.jsonl", 20), "start"); }
  std::vector<std::string> with(const std::string& kind, std::vector<std::string> more = {}) const {
    const std::string model =
        "model={\"dtype\": \"f32\", \"path\": \"" + (folder() / "start/final").string() + "\"}";
    more.insert(more.begin(), {model, adapter_json(kind), "optimizer.lr=1e-3", "train.batch_size=16"});
    return more;
  }
};

const char* const kRlAdapter = R"({
  "task": "rl", "threads": 1, "model": {"path": "start/final", "dtype": "f32"},
  "data": {"train": ["train.jsonl"], "max_tokens": 100},
  "rollout": {"prompts_per_step": 4, "group_size": 4, "max_new_tokens": 6},
  "rewards": [{"kind": "contains", "texts": ["1", "2", "3", "4", "5"]}],
  "algorithm": {"name": "grpo", "kl_coef": 0.1},
  "optimizer": {"name": "adamw", "lr": 3e-3}, "schedule": {"name": "constant"},
  "train": {"steps": 3, "batch_size": 4}, "checkpoint": {"every": 0}, "run": "rl" })";

}  // namespace

TEST_CASE("every kind of adapter learns, and does not depend on micro-batches or recomputation") {
  AdapterRuns runs;
  for (const std::string& kind : kinds()) {
    if (kind == "full" || kind == "lora_pair") continue;  // run_test, preference_run_test
    CAPTURE(kind);
    const auto whole = runs(tiny_sft("train.jsonl", 12), kind, runs.with(kind));
    REQUIRE(whole.size() == 12);
    CHECK(*whole.back().find("loss") < *whole.front().find("loss"));
    check_same(
        whole,
        runs(tiny_sft("train.jsonl", 12), kind + "-cut", runs.with(kind, {"train.micro_batch_tokens=32"})),
        2e-4);
    check_same(
        whole,
        runs(tiny_sft("train.jsonl", 12), kind + "-recomputed", runs.with(kind, {"model.checkpointing=all"})),
        2e-4);
  }
}

TEST_CASE("every kind of adapter: a torn run goes on as the whole one") {
  AdapterRuns runs;
  for (const std::string& kind : kinds()) {
    if (kind == "full" || kind == "lora_pair") continue;
    CAPTURE(kind);
    const auto saving = runs.with(kind, {"checkpoint.every=2"});
    const auto whole = runs(tiny_sft("train.jsonl", 6), kind, saving);
    std::filesystem::remove_all(runs.folder() / kind / "checkpoints/step-6");
    std::filesystem::remove_all(runs.folder() / kind / "final");
    check_same(whole, runs(tiny_sft("train.jsonl", 6), kind, saving, "must"), 0x1p-60);
  }
}

TEST_CASE("every kind of adapter: a run is planned without its weights") {
  TempFolder folder;
  folder.write("train.jsonl", arithmetic());
  const std::string file = folder.write("run.json", tiny_sft("train.jsonl", 2));
  for (const std::string& kind : kinds()) {
    CAPTURE(kind);
    RunConfig run(task_registry());
    load_run_config(run, file, {adapter_json(kind)});
    CHECK(plan_training(run)["memory"]["peak_bytes"].get<double>() > 0);
  }
}

TEST_CASE("a LoRA on the head is planned with the matrix that it computes and that one's gradient") {
  TempFolder folder;
  folder.write("train.jsonl", arithmetic());
  const std::string file = folder.write("run.json", tiny_sft("train.jsonl", 2));
  const int64_t matrix = 280 * 32, factors = 4 * (280 + 32);
  for (const int64_t tied : {0, 1}) {
    const auto memory = [&](const std::string& targets) {
      RunConfig run(task_registry());
      load_run_config(run, file,
                      {"adapter={\"kind\": \"lora\", \"rank\": 4, \"targets\": " + targets + "}",
                       tied ? "model.init.tied=true" : "model.init.tied=false"});
      return plan_training(run)["memory"];
    };
    const Json with = memory(R"(["q_proj", "lm_head"])"), without = memory(R"(["q_proj"])");
    const auto more = [&](const char* key) { return with[key].get<int64_t>() - without[key].get<int64_t>(); };
    CHECK(more("gradients_bytes") == 4 * (matrix + factors));
    CHECK(more("weights_bytes") == 4 * matrix * (1 + tied));  // a head that was tied is a copy first
    CHECK(more("masters_bytes") == 4 * factors);
  }
}

TEST_CASE("every kind of adapter that leaves the base alone trains on a quantised one, and goes on") {
  AdapterRuns runs;
  int kinds = 0;
  for (const auto& entry : adapter_registry().entries()) {
    if (!entry.make()->takes_quantised_base() || entry.name == "lora_pair") continue;
    CAPTURE(entry.name);
    ++kinds;
    const std::string model = "model={\"dtype\": \"f32\", \"quantise\": \"nf4\", \"path\": \"" +
                              (runs.folder() / "start/final").string() + "\"}";
    const auto sets = runs.with(entry.name, {"checkpoint.every=2", model});
    const auto whole = runs(tiny_sft("train.jsonl", 6), entry.name, sets);
    CHECK(*whole.back().find("loss") < *whole.front().find("loss"));
    std::filesystem::remove_all(runs.folder() / entry.name / "checkpoints/step-6");
    std::filesystem::remove_all(runs.folder() / entry.name / "final");
    check_same(whole, runs(tiny_sft("train.jsonl", 6), entry.name, sets, "must"), 0x1p-60);
  }
  CHECK(kinds >= 14);
}

TEST_CASE("every kind of adapter in rl: what is sampled is what is trained, and off is the base") {
  AdapterRuns runs;
  for (const std::string& kind : kinds()) {
    if (kind == "lora_pair") continue;
    CAPTURE(kind);
    const auto rows = runs(kRlAdapter, kind, {adapter_json(kind)});
    REQUIRE(rows.size() == 3);
    for (const MetricsRow& row : rows) CHECK(*row.find("rollout_gap") < 1e-4);
    // At the start the policy is the base, whatever the start took out of it; but for tokens in front.
    if (kind != "prompt" && kind != "prefix") CHECK(*rows.front().find("kl") < 1e-5);
  }
}

TEST_CASE("corda's kpm takes its samples from files of its own") {
  AdapterRuns runs;
  const auto start = [&](const std::string& name, const std::string& adapter) {
    runs(tiny_sft("train.jsonl", 1), name,
         runs.with("corda", {"adapter=" + adapter, "optimizer.lr=0", "checkpoint.every=1"}));
    return bytes(runs.folder() / name / "final/adapter_model.safetensors");
  };
  runs.write("known.jsonl",
             "{\"prompt\": \"Where is the river?\"}\n{\"text\": \"It is to the north of here.\"}\n"
             "{\"prompt\": \"Who was it?\", \"completion\": \" A man.\"}\n");
  const std::string known = "\"" + (runs.folder() / "known.jsonl").string() + "\"";
  const std::string train = "\"" + (runs.folder() / "train.jsonl").string() + "\"";
  const auto kpm = [](const std::string& files) {
    return R"({"kind": "corda", "corda_mode": "kpm", "corda_data": [)" + files + "]}";
  };
  const std::string on_known = start("known", kpm(known));
  CHECK(on_known != start("train", kpm(train)));
  CHECK(on_known == start("again", kpm(known)));
  // The run's own records are the default of ipm, which is the same as naming them.
  CHECK(start("ipm", R"({"kind": "corda"})") ==
        start("ipm-named", R"({"kind": "corda", "corda_data": [)" + train + "]}"));
  // The answers of a group are samples each.
  runs.write("group.jsonl", "{\"prompt\": \"Who was it?\", \"completions\": [\" A man.\", \" A wife.\"]}\n");
  runs.write("answers.jsonl",
             "{\"prompt\": \"Who was it?\", \"completion\": \" A man.\"}\n"
             "{\"prompt\": \"Who was it?\", \"completion\": \" A wife.\"}\n");
  const auto named = [&](const std::string& name) { return "\"" + (runs.folder() / name).string() + "\""; };
  CHECK(start("group", kpm(named("group.jsonl"))) == start("answers", kpm(named("answers.jsonl"))));
  // As many records as asked for; and the files are part of the run.
  const std::string one = R"({"kind": "corda", "corda_mode": "kpm", "corda_samples": 1, "corda_data": [)";
  CHECK(start("one", one + known + "]}") != on_known);
  runs.write("known.jsonl", "{\"text\": \"Something else.\"}\n");
  CHECK_THROWS_WITH_AS(
      runs(tiny_sft("train.jsonl", 1), "known",
           runs.with("corda", {"adapter=" + kpm(known), "optimizer.lr=0", "checkpoint.every=1"}), "must"),
      doctest::Contains("adapter.corda_data"), UserError);
  CHECK_THROWS_WITH_AS(start("none", kpm("")), doctest::Contains("adapter.corda_data: corda_mode kpm keeps"),
                       UserError);
  CHECK_THROWS_WITH_AS(start("lora", R"({"kind": "lora", "corda_data": [)" + train + "]}"),
                       doctest::Contains("belongs to init corda"), UserError);
}
