#include "optim/schedule.h"

#include "base/error.h"
#include "base/json.h"
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

TEST_CASE("odd lengths are defined") {
  for (const std::string& name : schedule_registry().names()) {
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
