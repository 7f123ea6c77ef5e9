// Whether predicted probabilities come true.
#pragma once

#include <cstdint>
#include <vector>

namespace temper {

struct CalibrationBin {
  double predicted = 0;  // mean of the predictions in it
  double observed = 0;   // share that came true
  int64_t count = 0;
};

// `bins` bins of equal width over [low, high]; empty ones are left out. came_true: 0 or 1 (or a share).
std::vector<CalibrationBin> calibration(const std::vector<double>& predicted,
                                        const std::vector<double>& came_true, double low, double high,
                                        int64_t bins);

// Mean over predictions of |predicted - observed| of their bin (arXiv 1706.04599, equation 3).
double expected_calibration_error(const std::vector<CalibrationBin>& bins);

}  // namespace temper
