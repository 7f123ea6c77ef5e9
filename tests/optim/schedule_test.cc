#include "optim/schedule.h"

#include <cmath>
#include <numbers>

#include "base/error.h"
#include "base/json.h"
#include "optim/refined.h"
#include "temp_folder.h"
#include "test.h"

namespace temper {
namespace {

std::unique_ptr<ScheduleOptions> schedule_of(const std::string& name, const Json& json) {
  auto options = schedule_registry().find(name)->make();
  read_fields(*options, json, "test", ".");
  return options;
}

}  // namespace

TEST_CASE("schedules are those of transformers, one step ahead during the warm-up") {
  const Json golden = read_json_file(test_file("optim/golden/schedules.json"));
  const int64_t total = golden["total"];
  for (const Json& item : golden["cases"]) {
    auto schedule = schedule_of(item["name"], item["options"]);
    const auto expected = item["factors"].get<std::vector<double>>();
    const int64_t warmup = item["options"]["warmup"];
    for (int64_t step = 0; step < total; ++step) {
      CAPTURE(item["name"].get<std::string>() + item["options"].dump() + " step " + std::to_string(step));
      // Linear warm-up of transformers from 0: step / warmup (its wsd warms up from the floor, ours from 0).
      const double wanted =
          step < warmup ? static_cast<double>(step + 1) / static_cast<double>(warmup) : expected[step];
      CHECK(schedule->factor(step, total) == doctest::Approx(wanted).epsilon(1e-12));
    }
  }
}

TEST_CASE("warm-up as a share, and the ends") {
  auto schedule = schedule_of("cosine", {{"warmup", 0.05}, {"floor", 0.1}});
  CHECK(schedule->factor(0, 100) == doctest::Approx(0.2));
  CHECK(schedule->factor(4, 100) == doctest::Approx(1.0));
  CHECK(schedule->factor(5, 100) == doctest::Approx(1.0));
  CHECK(schedule->factor(99, 100) > 0.1);
  CHECK(schedule->factor(100, 100) == doctest::Approx(0.1));
  CHECK(schedule->factor(1000, 100) == doctest::Approx(0.1));
  // A share that is not a whole number of steps warms up a step longer rather than a step less.
  CHECK(schedule_of("constant", {{"warmup", 0.01}})->factor(0, 150) == doctest::Approx(0.5));
}

TEST_CASE("rewarm starts at the floor where the earlier run ended") {
  auto schedule = schedule_of("rewarm", {{"warmup", 5}, {"floor", 0.2}});
  for (int64_t step = 0; step < 5; ++step) {
    CHECK(schedule->factor(step, 105) == doctest::Approx(0.2 + 0.8 * static_cast<double>(step + 1) / 5));
  }
  for (int64_t step = 5; step <= 105; ++step) {
    const double progress = static_cast<double>(step - 5) / 100;
    CHECK(schedule->factor(step, 105) ==
          doctest::Approx(0.2 + 0.8 * 0.5 * (1 + std::cos(std::numbers::pi * progress))));
  }
  auto plain = schedule_of("rewarm", Json::object());
  CHECK(plain->factor(0, 1000) == doctest::Approx(0.1 + 0.9 / 10));
  CHECK(plain->factor(10, 1000) == doctest::Approx(1.0));
  CHECK(plain->factor(1000, 1000) == doctest::Approx(0.1));
}

TEST_CASE("refined schedules follow the authors' code, and constant norms give linear decay") {
  const Json golden = read_json_file(test_file("optim/golden/schedules.json"));
  for (const Json& item : golden["refined"]) {
    const auto norms = item["norms"].get<std::vector<double>>();
    for (const std::string name : {"adam", "sgd"}) {
      CAPTURE(name);
      const auto factors =
          refined_factors(norms, name == "adam" ? RefinedWeights::kAdam : RefinedWeights::kSgd, "test");
      const auto expected = item[name].get<std::vector<double>>();
      REQUIRE(factors.size() == expected.size());
      for (size_t t = 0; t < factors.size(); ++t)
        CHECK(factors[t] == doctest::Approx(expected[t]).epsilon(1e-12));
    }
  }
  for (const size_t steps : {2, 3, 40, 41}) {
    for (const RefinedWeights weights : {RefinedWeights::kAdam, RefinedWeights::kSgd}) {
      const auto factors = refined_factors(std::vector<double>(steps, 3.7), weights, "test");
      for (size_t t = 0; t < steps; ++t) {
        CHECK(factors[t] ==
              doctest::Approx(1 - static_cast<double>(t) / static_cast<double>(steps - 1)).epsilon(1e-12));
      }
    }
  }
  // A single spike does not count, a run of zeros is an error.
  std::vector<double> norms(100, 1.0);
  norms[50] = 1e6;
  CHECK(refined_factors(norms, RefinedWeights::kSgd, "test")[50] == doctest::Approx(49.0 / 99.0));
  for (size_t t = 40; t < 60; ++t) norms[t] = 0;
  CHECK_THROWS_WITH_AS(refined_factors(norms, RefinedWeights::kSgd, "runs/x"),
                       doctest::Contains("runs/x: the median"), UserError);
  CHECK_THROWS_AS(refined_factors({1.0}, RefinedWeights::kAdam, "test"), UserError);
}

TEST_CASE("refined: from a run's metrics, through a file, and stretched to the run's length") {
  TempFolder folder;
  std::string lines;
  for (int step = 1; step <= 5; ++step) {
    lines += fmt::format("{{\"step\":{},\"split\":\"train\",\"loss\":1,\"grad_norm\":2.5}}\n", step);
    lines += fmt::format("{{\"step\":{},\"split\":\"eval\",\"loss\":1}}\n", step);
  }
  lines += "{\"step\":6,\"split\":\"train\",\"grad_norm\":null,\"nonfinite\":[\"grad_norm\"]}\n";
  lines += "{\"step\":7,\"split\":\"train\",\"grad_n";  // torn
  folder.write("metrics.jsonl", lines);
  const std::string run = folder.path().string(), file = (folder / "schedule.json").string();
  const std::vector<double> norms = logged_gradient_norms(run);
  CHECK(norms == std::vector<double>(5, 2.5));
  const auto factors = refined_factors(norms, RefinedWeights::kAdam, run);
  write_schedule_file(file, run, RefinedWeights::kAdam, factors);
  CHECK(read_schedule_file(file) == factors);
  for (const std::string& from : {run, file}) {
    auto schedule = schedule_of("refined", {{"from", from}});
    schedule->prepare(9);
    for (int64_t step = 0; step < 9; ++step)
      CHECK(schedule->factor(step, 9) == doctest::Approx(1 - static_cast<double>(step) / 8));
    CHECK(schedule->factor(100, 9) == 0);
  }
  CHECK(resampled({1, 0.5, 0}, 1) == std::vector<double>{1});
  CHECK_THROWS_WITH_AS(schedule_of("refined", {{"from", file}, {"warmup", 0.1}}), doctest::Contains("warmup"),
                       UserError);
  CHECK_THROWS_AS(schedule_of("refined", Json::object()), UserError);
  for (const char* content :
       {"[]", "{}", "{\"factors\": [1]}", "{\"factors\": [1, 2]}", "{\"factors\": [1, \"0\"]}"}) {
    folder.write("schedule.json", content);
    CHECK_THROWS_WITH_AS(read_schedule_file(file), doctest::Contains("schedule.json"), UserError);
  }
  folder.write("metrics.jsonl", "{\"split\":\"eval\"}\n");
  CHECK_THROWS_WITH_AS(logged_gradient_norms(run), doctest::Contains("no training step"), UserError);
}

TEST_CASE("odd lengths are defined") {
  for (const std::string& name : schedule_registry().names()) {
    if (name == "refined") continue;  // has a file instead
    for (double warmup : {0.0, 0.5, 1.0, 10.0}) {
      auto schedule = schedule_of(name, {{"warmup", warmup}});
      for (int64_t total : {0, 1, 2, 3, 10}) {
        for (int64_t step = 0; step < 12; ++step) {
          const double factor = schedule->factor(step, total);
          CHECK(factor >= 0.0);
          CHECK(factor <= 1.0);
        }
      }
    }
  }
  CHECK_THROWS_AS(schedule_of("linear", {{"warmup", -1}}), UserError);
}

}  // namespace temper
