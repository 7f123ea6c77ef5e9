#include "eval/calibration.h"

#include "test.h"

using namespace temper;

TEST_CASE("calibration: bins hold what falls into them, their ends included") {
  const auto bins = calibration({0.5, 0.54, 0.97, 1.0, 0.75}, {1, 0, 1, 1, 0}, 0.5, 1.0, 10);
  REQUIRE(bins.size() == 3);
  CHECK(bins[0].count == 2);
  CHECK(bins[0].predicted == doctest::Approx(0.52));
  CHECK(bins[0].observed == doctest::Approx(0.5));
  CHECK(bins[1].count == 1);
  CHECK(bins[1].observed == 0);
  CHECK(bins[2].count == 2);
  CHECK(bins[2].predicted == doctest::Approx(0.985));
  CHECK(expected_calibration_error(bins) == doctest::Approx((2 * 0.02 + 0.75 + 2 * 0.015) / 5));
  CHECK(calibration({}, {}, 0, 1, 5).empty());
  CHECK(expected_calibration_error({}) == 0);
}
