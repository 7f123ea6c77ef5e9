#include "task/sft/draws.h"

#include <set>

#include "base/error.h"
#include "test.h"

using namespace temper;

namespace {

DrawSettings settings(std::vector<double> weights, std::vector<double> end = {}) {
  return {7, "shuffle", 100, 20, std::move(weights), std::move(end)};
}

// Units 0 .. 29 of source 0, 30 .. 39 of source 1.
std::vector<int64_t> two_sources() {
  std::vector<int64_t> out(30, 0);
  out.insert(out.end(), 10, 1);
  return out;
}

}  // namespace

TEST_CASE("shares of sources go from the first weights to the last, each source in its own epochs") {
  Draws draws(two_sources(), settings({3, 1}, {0, 1}));
  double early = 0, late = 0;
  std::vector<int64_t> of_second;
  for (int64_t step = 0; step < 100; ++step) {
    for (const int64_t unit : draws.step(step)) {
      if (unit >= 30) of_second.push_back(unit);
      (step < 20 ? early : step >= 80 ? late : early) += step < 20 || step >= 80 ? unit >= 30 : 0;
    }
  }
  CHECK(early / 400 == doctest::Approx(0.28).epsilon(0.25));  // from 1/4 to 1/(3 * .8 + 1)
  CHECK(late / 400 > 0.7);
  for (const int64_t unit : draws.step(99)) CHECK(unit >= 30);  // the first source's weight is 0 now
  for (size_t first = 0; first + 10 <= of_second.size(); first += 10)
    CHECK(std::set<int64_t>(of_second.begin() + first, of_second.begin() + first + 10).size() == 10);
}

TEST_CASE("a step's draws are a function of the step alone") {
  Draws in_order(two_sources(), settings({1, 2})), jumping(two_sources(), settings({1, 2}));
  std::vector<std::vector<int64_t>> steps;
  for (int64_t step = 0; step < 30; ++step) steps.push_back(in_order.step(step));
  for (const int64_t step : {17, 3, 29, 0}) CHECK(jumping.step(step) == steps[step]);
}

TEST_CASE("a source with a weight and no unit is refused") {
  CHECK_THROWS_WITH_AS(Draws({0, 0}, settings({1, 1})), doctest::Contains("file 1"), UserError);
  Draws fine({0, 0}, settings({1, 0}));
  CHECK(fine.step(3).size() == 20);
}
