// Runs with each optimizer and with schedules that stand on an earlier run.
#include "base/error.h"
#include "inspect/inspect.h"
#include "runs.h"

using namespace temper;

namespace {

const std::string kSftOptimizers = tiny_sft("train.jsonl", 4);

double last_loss(const std::vector<MetricsRow>& rows) {
  return *rows.back().find("loss");
}

}  // namespace

TEST_CASE("every optimizer trains, and a killed run ends with the same bytes") {
  Runs runs;
  std::vector<std::pair<std::string, std::vector<std::string>>> cases;
  for (const std::string& name : optimizer_registry().names())
    cases.push_back({name, {"optimizer={\"name\": \"" + name + "\", \"lr\": 1e-3, \"weight_decay\": 0.1}"}});
  const std::string quantised =
      R"(optimizer={"name": "adamw8bit", "lr": 1e-3, "min_size": 1024, "fp32_names": []})";
  cases.push_back({"quantised", {quantised}});
  cases.push_back({"lookahead", {"optimizer.lookahead={\"k\": 2, \"momentum\": \"pull_back\"}"}});
  cases.push_back({"lora", {"optimizer.name=muon", "adapter={\"kind\": \"lora\", \"rank\": 4}"}});
  for (auto& [name, sets] : cases) {
    CAPTURE(name);
    sets.insert(sets.end(), {"checkpoint.every=1", "checkpoint.keep=9"});
    const auto whole = runs(kSftOptimizers, name, sets);
    REQUIRE(whole.size() == 4);
    for (const MetricsRow& row : whole) CHECK(*row.find("skipped") == 0);
    CHECK(last_loss(whole) < *whole.front().find("loss"));
    if (name == "lion") CHECK(*whole.back().find("lion_constraint") > 0);
    const auto folder = runs.folder() / name;
    for (const int step : {1, 2}) {  // SOAP's first step only begins its state
      const auto torn = runs.folder() / fmt::format("{}-torn-{}", name, step);
      std::filesystem::copy(folder, torn, std::filesystem::copy_options::recursive);
      std::filesystem::remove_all(torn / "final");
      for (int later = step + 1; later <= 4; ++later)
        std::filesystem::remove_all(torn / "checkpoints" / fmt::format("step-{}", later));
      check_same(whole, runs(kSftOptimizers, torn.filename().string(), sets, "must"), 0x1p-60);
      const char* weights = name == "lora" ? "final/adapter_model.safetensors" : "final/model.safetensors";
      CHECK(bytes(folder / weights) == bytes(torn / weights));
      CHECK(bytes(folder / "checkpoints/step-4/optimizer.safetensors") ==
            bytes(torn / "checkpoints/step-4/optimizer.safetensors"));
    }
  }
}

TEST_CASE("8-bit moments train as fp32 moments do: losses within 0.01 nats of each other") {
  Runs runs;
  const std::vector<std::string> longer = {"train.steps=100", "train.batch_size=16", "optimizer.lr=1e-3"};
  auto eight = longer;
  eight.insert(eight.end(), {"optimizer.name=adamw8bit", "optimizer.min_size=1024"});
  const auto fp32 = runs(kSftOptimizers, "fp32", longer), codes = runs(kSftOptimizers, "codes", eight);
  REQUIRE(fp32.size() == codes.size());
  double apart = 0;
  for (size_t i = 0; i < fp32.size(); ++i)
    apart = std::max(apart, std::abs(*fp32[i].find("loss") - *codes[i].find("loss")));
  CHECK(apart > 0);
  CHECK(apart < 0.01);
  CHECK(last_loss(fp32) < 1.5);  // it learnt something
}

TEST_CASE("a refined schedule from a run, and a finished run continued with rewarm") {
  Runs runs;
  runs(kSftOptimizers, "first", {"train.steps=12"});
  const std::string first = (runs.folder() / "first").string(), file = (runs.folder() / "s.json").string();
  const Json made = refine_schedule(first, "adam", file);
  CHECK(made["steps"] == 12);
  const auto with = [&](const std::string& from) {
    return std::vector<std::string>{"train.steps=12",
                                    "schedule={\"name\": \"refined\", \"from\": \"" + from + "\"}"};
  };
  const auto direct = runs(kSftOptimizers, "direct", with(first));
  check_same(direct, runs(kSftOptimizers, "through-file", with(file)), 0x1p-60);
  CHECK(*direct.back().find("lr") == 0);
  double peak = 0;
  for (const MetricsRow& row : direct) peak = std::max(peak, *row.find("lr"));
  CHECK(peak == doctest::Approx(1e-2));

  const std::string config = (runs.folder() / "direct.json").string();
  const std::string svg = (runs.folder() / "schedule.svg").string();
  const Json drawn = inspect_schedule(config, with(file), svg);
  REQUIRE(drawn["lr"].size() == direct.size());
  for (size_t i = 0; i < direct.size(); ++i) CHECK(drawn["lr"][i].get<double>() == *direct[i].find("lr"));
  CHECK(bytes(svg).starts_with("<svg xmlns="));
  CHECK_THROWS_WITH_AS(inspect_schedule(config, with(first + "/nothing"), ""), doctest::Contains("nothing"),
                       UserError);

  const auto next = runs(kSftOptimizers, "next",
                         {"train.steps=20", "model={\"path\": \"" + first + "/final\", \"dtype\": \"f32\"}",
                          "schedule={\"name\": \"rewarm\", \"warmup\": 4}"});
  CHECK(*next[0].find("lr") == doctest::Approx(1e-2 * (0.1 + 0.9 / 4)));
  CHECK(*next[3].find("lr") == doctest::Approx(1e-2));
  CHECK(*next[19].find("lr") < 2e-3);
  CHECK(*next[0].find("loss") < 5.0);
  CHECK(last_loss(next) < *next[0].find("loss"));
}
