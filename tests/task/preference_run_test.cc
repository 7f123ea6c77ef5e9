// Whole preference runs of tiny models.
#include <ATen/ATen.h>

#include <cmath>
#include <cstdlib>
#include <fstream>

#include "base/error.h"
#include "objective/preference/preference.h"
#include "runs.h"
#include "test.h"

using namespace temper;

namespace {

const char* const kPreference = R"({
  "task": "preference", "threads": 1,
  "model": {"dtype": "f32", "init": {"vocab": 280, "hidden": 32, "intermediate": 64, "layers": 2, "heads": 2,
                                     "kv_heads": 1, "max_positions": 128}},
  "data": {"train": ["pairs.jsonl"], "eval": ["pairs.jsonl"], "max_tokens": 100},
  "algorithm": {"name": "dpo"},
  "optimizer": {"name": "adamw", "lr": 3e-3}, "schedule": {"name": "constant"},
  "train": {"steps": 4, "batch_size": 8}, "checkpoint": {"every": 0}, "run": "preference" })";

std::string labelled() {
  std::string out;
  for (int i = 0; i < 16; ++i) {
    const int a = 1 + i % 4, b = 1 + i / 4, slip = i % 3 == 0 ? 1 : 0;
    out += fmt::format("{{\"prompt\": \"Add {} and {}:\", \"completion\": \" {}\", \"label\": {}}}\n", a, b,
                       a + b + slip, slip == 0 ? "true" : "false");
  }
  return out;
}

// Four answers to each sum, the better the nearer.
std::string rated() {
  std::string out;
  for (int i = 0; i < 16; ++i) {
    const int a = 1 + i % 4, b = 1 + i / 4;
    out += fmt::format(
        "{{\"prompt\": \"Add {} and {}:\", \"completions\": [\" {} no\", \" {}\", \" {} or so\", \" {}\"], "
        "\"ratings\": [1, 4, 3, 2]}}\n",
        a, b, a + b + 5, a + b, a + b, a + b + 1);
  }
  return out;
}

const std::vector<std::string> kRated = {"data.eval=[]", "pairs.from=ratings"};
const std::vector<std::string> kOnline = {

    "data.eval=[]", "pairs.from=online", "train.batch_size=4",
    "rollout={\"group_size\": 4, \"max_new_tokens\": 8}",
    "rewards=[{\"kind\": \"contains\", \"texts\": [\"1\", \"2\", \"3\", \"4\", \"5\"]}]"};

std::vector<std::string> operator+(std::vector<std::string> a, const std::vector<std::string>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

// A right and a wrong solution of each sum, two steps with the same beginning.
std::string judged_steps() {
  std::string out;
  for (int i = 0; i < 16; ++i) {
    const int a = 1 + i % 4, b = 1 + i / 4;
    const std::string prompt = fmt::format("\"prompt\": \"Add {} and {}:\\n\"", a, b);
    out += fmt::format("{{{}, \"completions\": [\"add\", \"{}\"], \"shares\": [0.5, 1.0]}}\n", prompt, a + b);
    out += fmt::format("{{{}, \"completions\": [\"add\", \"{} no\", \"so\"], \"shares\": [0.5, 0.1, 0.1]}}\n",
                       prompt, a + b + 1);
  }
  return out;
}

// The config on another file of the folder.
std::string on(const std::string& file) {
  const std::string old = "pairs.jsonl";
  std::string config = kPreference;
  for (size_t at = 0; (at = config.find(old, at)) != std::string::npos; at += file.size())
    config.replace(at, old.size(), file);
  return config;
}

// Runs with the files of preferences, and a cache folder that is not the user's.
class PreferenceRuns : public Runs {
 public:
  PreferenceRuns() {
    write("pairs.jsonl", arithmetic_pairs());
    write("labelled.jsonl", labelled());
    write("rated.jsonl", rated());
    write("constitutions.jsonl", constitutions());
    write("steps.jsonl", judged_steps());
    setenv("XDG_CACHE_HOME", (folder() / "cache").c_str(), 1);
  }
  std::vector<fs::path> cached() const {
    std::vector<fs::path> out;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(folder() / "cache/temper/reference", error))
      out.push_back(entry.path());
    return out;
  }
};

}  // namespace

TEST_CASE("dpo begins at ln 2, learns its pairs, and does not depend on micro-batches or shared prompts") {
  PreferenceRuns runs;
  const auto whole = runs(kPreference, "whole", {"eval.every=0"});
  REQUIRE(whole.size() == 4);
  CHECK(*whole[0].find("loss") == doctest::Approx(std::log(2.0)).epsilon(1e-6));
  check_same(whole, runs(kPreference, "cut", {"eval.every=0", "train.micro_batch_tokens=40"}), 1e-5);
  check_same(whole, runs(kPreference, "own", {"eval.every=0", "train.share_prompts=false"}), 1e-5);
  const auto rows = runs(kPreference, "longer", {"train.steps=30", "eval.every=30"});
  CHECK(rows.front().split == "eval");
  CHECK(*rows.front().find("reward_accuracy") == 0);
  CHECK(rows.back().split == "eval");
  CHECK(*rows.back().find("reward_accuracy") > 0.9);
  CHECK(*rows.back().find("loss") < 0.5);
}

TEST_CASE("every preference loss takes its steps, with the adapter off or a frozen copy as the reference") {
  PreferenceRuns runs;
  for (const std::string& name : objective::preference_registry().names()) {
    CAPTURE(name);
    const bool unpaired = objective::preference_registry().find(name)->make()->needs().label;
    std::vector<std::string> sets = {"algorithm.name=" + name, "train.steps=2", "eval.every=0"};
    const objective::PreferenceNeeds needs = objective::preference_registry().find(name)->make()->needs();
    if (needs.list || needs.other) continue;  // below
    const std::string config = unpaired ? on("labelled.jsonl") : kPreference;
    for (const bool lora : {false, true}) {
      auto more = sets;
      if (lora) more.push_back("adapter={\"kind\": \"lora\", \"rank\": 2}");
      const auto rows = runs(config, name + (lora ? "-lora" : ""), more);
      REQUIRE(rows.size() == 2);
      for (const auto& row : rows) {
        CHECK(std::isfinite(*row.find("loss")));
        CHECK(*row.find("grad_norm") > 0);
        CHECK(*row.find("skipped") == 0);
      }
    }
  }
}

TEST_CASE("wpo weighs pairs by the policy's own likelihood, for any micro-batch") {
  PreferenceRuns runs;
  const std::vector<std::string> sets = {"algorithm.wpo=true", "eval.every=0"};
  const auto whole = runs(kPreference, "whole", sets);
  // At the first step the margin is 0, so the loss is the mean weight times ln 2.
  const double weight = *whole[0].find("weight");
  CHECK(weight > 0);
  CHECK(weight < 1.5);
  CHECK(*whole[0].find("loss") == doctest::Approx(weight * std::log(2.0)).epsilon(1e-5));
  auto cut = sets;
  cut.push_back("train.micro_batch_tokens=40");
  check_same(whole, runs(kPreference, "cut", cut), 1e-5);
}

TEST_CASE("cached reference log-probs give the bytes that computing them gives, and are computed once") {
  PreferenceRuns runs;
  for (const bool lora : {false, true}) {
    CAPTURE(lora);
    for (const auto& file : runs.cached()) fs::remove(file);
    const std::string name = lora ? "lora" : "full";
    std::vector<std::string> sets = {"train.steps=6", "eval.every=3", "reference.cache=off"};
    if (lora) sets.push_back("adapter={\"kind\": \"lora\", \"rank\": 2}");
    const auto live = runs(kPreference, name + "-live", sets);
    CHECK(runs.cached().empty());
    sets[2] = "reference.cache=on";
    const auto first = runs(kPreference, name + "-first", sets);
    const auto files = runs.cached();
    CHECK(files.size() == 2);  // of the training and the held-out pairs
    check_same(live, first, 0x1p-60);
    std::vector<fs::file_time_type> written;
    for (const auto& file : files) written.push_back(fs::last_write_time(file));
    auto other = sets;
    other.push_back("algorithm.beta=0.2");
    runs(kPreference, name + "-other", other);  // another loss, the same log-probs
    CHECK(runs.cached() == files);
    for (size_t i = 0; i < files.size(); ++i) CHECK(fs::last_write_time(files[i]) == written[i]);
    other.push_back("data.max_tokens=99");  // the same tokens all the same
    runs(kPreference, name + "-tokens", other);
    CHECK(runs.cached().size() == 2);
    other.push_back("train.share_prompts=false");  // other cuts
    runs(kPreference, name + "-cuts", other);
    CHECK(runs.cached().size() == 4);
    other = sets;
    other.push_back("seed=2");  // other weights
    runs(kPreference, name + "-seed", other);
    CHECK(runs.cached().size() == 6);
  }
}

TEST_CASE("a damaged or foreign cache file is made anew") {
  PreferenceRuns runs;
  const std::vector<std::string> sets = {"eval.every=0", "reference.cache=on"};
  const auto rows = runs(kPreference, "first", sets);
  REQUIRE(runs.cached().size() == 1);
  const fs::path file = runs.cached()[0];
  const std::string good = bytes(file);
  std::string flipped = good, foreign = good;
  flipped[flipped.size() - 3] ^= 1;  // inside a log-prob
  const size_t key = foreign.find(file.stem().string());
  REQUIRE(key != std::string::npos);
  foreign[key] = foreign[key] == 'a' ? 'b' : 'a';
  int i = 0;
  for (const std::string& bad :
       {flipped, foreign, good.substr(0, good.size() - 4), std::string("x"), std::string()}) {
    CAPTURE(i);
    write_file_atomic(file.string(), bad);
    check_same(rows, runs(kPreference, "again" + std::to_string(i++), sets), 0x1p-60);
    CHECK(bytes(file) == good);
  }
}

TEST_CASE("a moving reference: all the way every step is a margin of 0, not at all a fixed one") {
  PreferenceRuns runs;
  for (const bool lora : {false, true}) {
    CAPTURE(lora);
    const std::string name = lora ? "lora" : "full";
    std::vector<std::string> sets = {"eval.every=0", "reference.cache=off", "train.steps=6"};
    if (lora) sets.push_back("adapter={\"kind\": \"lora\", \"rank\": 2}");
    const auto with = [&](const std::string& run, std::vector<std::string> more) {
      more.insert(more.begin(), sets.begin(), sets.end());
      return runs(kPreference, name + run, more);
    };
    const auto fixed = with("-fixed", {});
    check_same(fixed, with("-still", {"reference.sync_every=2", "reference.sync_share=0"}), 1e-6);
    for (const auto& row : with("-all", {"reference.sync_every=1", "reference.sync_share=1"}))
      CHECK(*row.find("loss") == doctest::Approx(std::log(2.0)).epsilon(1e-6));
    const auto half = with("-half", {"reference.sync_every=2", "reference.sync_share=0.5"});
    check_same({fixed[0], fixed[1]}, {half[0], half[1]}, 1e-6);
    CHECK(*half[2].find("reward_margin") < 0.8 * *fixed[2].find("reward_margin"));
    CHECK(*half[2].find("reward_margin") > 0.2 * *fixed[2].find("reward_margin"));
    CHECK(fs::exists(runs.folder() / (name + "-half") / "checkpoints/step-6/reference.safetensors"));
    CHECK(!fs::exists(runs.folder() / (name + "-fixed") / "checkpoints/step-6/reference.safetensors"));
  }
}

TEST_CASE("what a reference model cannot do is said before training") {
  PreferenceRuns runs;
  const auto refused = [&](const std::vector<std::string>& sets, const char* what) {
    CAPTURE(what);
    CHECK_THROWS_WITH_AS(runs(kPreference, "refused", sets), doctest::Contains(what), UserError);
  };
  refused({"reference.cache=on", "algorithm.name=simpo"}, "reference.cache");
  refused({"reference.cache=on", "algorithm.name=kto"}, "reference.cache");
  refused({"reference.cache=on", "reference.sync_every=2"}, "reference.cache");
  refused({"reference.sync_every=2", "algorithm.name=orpo"}, "reference.sync_every");
  refused({"reference.sync_share=1.5"}, "reference.sync_share");
}

TEST_CASE("online pairs: the policy learns what the reward prefers, for any micro-batch") {
  PreferenceRuns runs;
  for (const std::string loss : {"dpo", "ipo"}) {
    const auto sets = kOnline + std::vector<std::string>{"algorithm.name=" + loss};
    const auto whole = runs(on("train.jsonl"), loss + "-whole", sets);
    REQUIRE(whole.size() == 4);
    if (loss == "dpo") CHECK(*whole[0].find("loss") == doctest::Approx(std::log(2.0)).epsilon(1e-6));
    for (const auto& row : whole) CHECK(*row.find("reward_std") > 0);  // ties are dropped
    check_same(whole,
               runs(on("train.jsonl"), loss + "-cut",
                    sets + std::vector<std::string>{"train.micro_batch_tokens=60"}),
               1e-5);
  }
  // As the reward rises, groups of equal rewards become many; the run stays on this side of that.
  const auto rows = runs(on("train.jsonl"), "longer",
                         kOnline + std::vector<std::string>{"train.steps=12", "optimizer.lr=5e-3",
                                                            "pairs.max_rounds=100", "rollout.group_size=8"});
  double before = 0, after = 0;
  for (size_t i = 0; i < 3; ++i) {
    CHECK(*rows[i].find("groups_kept") > 0);
    before += *rows[i].find("reward_margin") / 3;
    after += *rows[9 + i].find("reward_margin") / 3;
  }
  CHECK(after > before + 0.01);
}

TEST_CASE("rated answers: stages from easy to hard, each with the policy so far as its reference") {
  PreferenceRuns runs;
  for (const bool lora : {false, true}) {
    std::vector<std::string> sets = kRated + std::vector<std::string>{"train.steps=7"};
    if (lora) sets.push_back("adapter={\"kind\": \"lora\", \"rank\": 2}");
    const auto rows = runs(on("rated.jsonl"), lora ? "lora" : "full", sets);
    REQUIRE(rows.size() == 7);
    // Stages of 2, 2 and 3 steps; each begins at a margin of 0.
    for (const size_t t : {0, 2, 4})
      CHECK(*rows[t].find("loss") == doctest::Approx(std::log(2.0)).epsilon(1e-6));
    for (const size_t t : {1, 3, 5, 6}) CHECK(std::abs(*rows[t].find("reward_margin")) > 1e-6);
    CHECK(fs::exists(runs.folder() / (lora ? "lora" : "full") / "checkpoints/step-7/reference.safetensors"));
  }
  // Without a reference there is none to move.
  const auto rows =
      runs(on("rated.jsonl"), "simpo", kRated + std::vector<std::string>{"algorithm.name=simpo"});
  CHECK(rows.size() == 4);
  CHECK(!fs::exists(runs.folder() / "simpo/checkpoints/step-4/reference.safetensors"));
}

TEST_CASE("pairs that cannot be made are said before training") {
  PreferenceRuns runs;
  const auto refused = [&](const std::string& file, const std::vector<std::string>& sets, const char* what) {
    CAPTURE(what);
    CHECK_THROWS_WITH_AS(runs(on(file), "refused", sets), doctest::Contains(what), UserError);
  };
  refused("train.jsonl", kOnline + std::vector<std::string>{"rewards=[]"}, "rewards");
  refused("train.jsonl", kOnline + std::vector<std::string>{"rollout.group_size=1"}, "rollout.group_size");
  refused("train.jsonl", kOnline + std::vector<std::string>{"rollout.temperature=0"}, "rollout.temperature");
  refused("train.jsonl", kOnline + std::vector<std::string>{"algorithm.name=kto"}, "pairs.from");
  refused("train.jsonl", kOnline + std::vector<std::string>{"reference.cache=on"}, "reference.cache");
  refused("rated.jsonl", kRated + std::vector<std::string>{"reference.cache=on"}, "reference.cache");
  refused("rated.jsonl", kRated + std::vector<std::string>{"reference.sync_every=2"}, "reference.sync_every");
  refused("rated.jsonl", kRated + std::vector<std::string>{"pairs.stages=5"}, "pairs.stages");
  refused("rated.jsonl", kRated + std::vector<std::string>{"pairs.stages=4"}, "rated.jsonl:1: 4 answers");
  refused("pairs.jsonl", {"pairs.from=ratings", "data.eval=[]"}, "pairs.jsonl:1: has no \"completions\"");
}

TEST_CASE("lists of answers: brio orders candidates, sami tells constitutions apart, for any micro-batch") {
  PreferenceRuns runs;
  for (const auto& [name, file, figure] : {std::tuple("brio", "rated.jsonl", "rank_accuracy"),
                                           {"sami", "constitutions.jsonl", "row_accuracy"}}) {
    CAPTURE(name);
    const std::string vocab =
        std::string("model.init.vocab=") + (std::string(name) == "sami" ? "300" : "280");
    const std::vector<std::string> sets = {vocab, "algorithm.name=" + std::string(name), "eval.every=0"};
    const auto whole = runs(on(file), name + std::string("-whole"), sets);
    REQUIRE(whole.size() == 4);
    CHECK(*whole[0].find("grad_norm") > 0);
    check_same(whole,
               runs(on(file), name + std::string("-cut"),
                    sets + std::vector<std::string>{"train.micro_batch_tokens=60"}),
               1e-5);
    check_same(whole,
               runs(on(file), name + std::string("-own"),
                    sets + std::vector<std::string>{"train.share_prompts=false"}),
               1e-5);
    const auto rows = runs(on(file), name + std::string("-longer"),
                           std::vector<std::string>{vocab, "algorithm.name=" + std::string(name),
                                                    "train.steps=120", "eval.every=120"});
    CHECK(rows.back().split == "eval");
    CHECK(*rows.back().find(figure) > 0.85);
    CHECK(*rows.back().find("loss") < *rows.front().find("loss"));
  }
  const auto refused = [&](const std::string& content, const std::vector<std::string>& sets,
                           const char* what) {
    CAPTURE(content);
    runs.write("bad.jsonl", content);
    CHECK_THROWS_WITH_AS(runs(on("bad.jsonl"), "refused", sets), doctest::Contains(what), UserError);
  };
  const std::string two = R"({"prompt": "Add", "completions": ["no", "so"], "ratings": [1, 2]})";
  refused(rated() + two, {"algorithm.name=brio"}, "bad.jsonl:17: makes a unit of 2 answers");
  refused(constitutions() + R"({"prompts": ["Add"], "completions": ["sir"]})",
          {"algorithm.name=sami", "model.init.vocab=300"},
          "bad.jsonl:17: \"prompts\" and \"completions\" must be lists");
  std::string equal = constitutions();
  for (size_t at; (at = equal.find(" sir,")) != std::string::npos;) equal.erase(at, 5);
  refused(equal, {"algorithm.name=sami", "model.init.vocab=300"}, "16 have equal responses");
  refused(two, {"algorithm.name=brio", "pairs.from=ratings"}, "pairs.from");
  refused(two, {"algorithm.name=sami", "algorithm.sft_weight=1"}, "sft_weight");
  refused(two, {"algorithm.name=brio", "algorithm.wpo=true"}, "wpo");
}

TEST_CASE("ofs_dpo: a fast and a slow adapter with their own rates, whose roles the losses decide") {
  PreferenceRuns runs;
  const std::vector<std::string> sets = {
      "algorithm.name=ofs_dpo", "adapter={\"kind\": \"lora_pair\", \"rank\": 2}",
      "optimizer.lr_rules=[{\"match\": \"second.\", \"factor\": 0.1}]", "eval.every=0", "train.steps=6"};
  const auto whole = runs(kPreference, "whole", sets);
  REQUIRE(whole.size() == 6);
  // Both begin as the reference: the two terms of alpha cancel.
  CHECK(*whole[0].find("loss") == doctest::Approx(2 * std::log(2.0)).epsilon(1e-6));
  CHECK(*whole[5].find("loss_fast") < *whole[5].find("loss_slow"));
  CHECK(fs::exists(runs.folder() / "whole/final/adapter_model.safetensors"));
  check_same(whole, runs(kPreference, "cut", sets + std::vector<std::string>{"train.micro_batch_tokens=40"}),
             1e-5);
  // A first adapter that does not learn loses its role after two steps.
  auto still = sets + std::vector<std::string>{"algorithm.swap_every=2"};
  still[2] = "optimizer.lr_rules=[{\"match\": \"first.\", \"factor\": 0}]";
  const auto swapped = runs(kPreference, "swapped", still);
  for (size_t t = 0; t < 6; ++t) CHECK(*swapped[t].find("fast") == (t < 2 ? 0 : 1));
  const auto refused = [&](const std::vector<std::string>& more, const char* what) {
    CHECK_THROWS_WITH_AS(runs(kPreference, "refused", more), doctest::Contains(what), UserError);
  };
  refused({sets[0]}, "lora_pair");
  refused({sets[1]}, "lora_pair");
  refused({sets[0], sets[1]}, "optimizer.lr_rules");
  refused(sets + std::vector<std::string>{"model.checkpointing=all"}, "model.checkpointing");
  refused(sets + std::vector<std::string>{"reference.sync_every=2"}, "reference");
}

TEST_CASE("judged steps: pairs in both forms are learnt") {
  PreferenceRuns runs;
  for (const std::string form : {"practical", "shared_prefix"}) {
    const auto rows = runs(on("steps.jsonl"), form,
                           {"pairs.from=steps", "pairs.form=" + form, "train.steps=30", "eval.every=30"});
    CHECK(*rows.front().find("reward_accuracy") == 0);
    CHECK(*rows.front().find("n") == 16);
    CHECK(*rows.back().find("reward_accuracy") > 0.9);
  }
}
