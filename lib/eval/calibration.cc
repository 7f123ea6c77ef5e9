#include "eval/calibration.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"

namespace temper {

std::vector<CalibrationBin> calibration(const std::vector<double>& predicted,
                                        const std::vector<double>& came_true, double low, double high,
                                        int64_t bins) {
  if (predicted.size() != came_true.size() || bins < 1 || !(low < high)) bug("calibration: bad arguments");
  std::vector<CalibrationBin> all(static_cast<size_t>(bins));
  for (size_t i = 0; i < predicted.size(); ++i) {
    const double place = (predicted[i] - low) / (high - low) * static_cast<double>(bins);
    CalibrationBin& bin =
        all[static_cast<size_t>(std::clamp(std::floor(place), 0.0, static_cast<double>(bins - 1)))];
    bin.predicted += predicted[i];
    bin.observed += came_true[i];
    ++bin.count;
  }
  std::erase_if(all, [](const CalibrationBin& bin) { return bin.count == 0; });
  for (CalibrationBin& bin : all) {
    bin.predicted /= static_cast<double>(bin.count);
    bin.observed /= static_cast<double>(bin.count);
  }
  return all;
}

double expected_calibration_error(const std::vector<CalibrationBin>& bins) {
  double sum = 0, count = 0;
  for (const CalibrationBin& bin : bins) {
    sum += static_cast<double>(bin.count) * std::abs(bin.predicted - bin.observed);
    count += static_cast<double>(bin.count);
  }
  return count > 0 ? sum / count : 0;
}

}  // namespace temper
