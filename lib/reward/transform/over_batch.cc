#include "reward/transform/over_batch.h"

#include <algorithm>
#include <cmath>

namespace temper {
namespace {

std::vector<double> known_values(const std::vector<std::optional<double>>& values) {
  std::vector<double> out;
  for (const std::optional<double>& value : values)
    if (value) out.push_back(*value);
  return out;
}

}  // namespace

void ZScoreOptions::fields(FieldVisitor& v) {
  v.field("std", std,
          {.help = "population: squares are divided by the number of values; sample: by one less",
           .choices = {"population", "sample"}});
  v.field("eps", eps, {.help = "added to the standard deviation", .min = 0});
}

Transform ZScoreOptions::make() const {
  return [sample = std == "sample", eps = eps](TransformBatch& batch) {
    const std::vector<double> values = known_values(batch.values);
    if (values.empty()) return;
    const auto n = static_cast<double>(values.size());
    double sum = 0, squares = 0;
    for (const double r : values) sum += r;
    const double mean = sum / n;
    for (const double r : values) squares += (r - mean) * (r - mean);
    const double spread = std::sqrt(squares / std::max(1.0, sample ? n - 1 : n)) + eps;
    for (std::optional<double>& value : batch.values)
      if (value) value = spread > 0 ? (*value - mean) / spread : 0.0;
  };
}

Transform QuantileOptions::make() const {
  return [](TransformBatch& batch) {
    std::vector<double> values = known_values(batch.values);
    std::sort(values.begin(), values.end());
    for (std::optional<double>& value : batch.values) {
      if (!value) continue;
      const auto [first, last] = std::equal_range(values.begin(), values.end(), *value);
      const auto smaller = static_cast<double>(first - values.begin());
      value = (smaller + static_cast<double>(last - first) / 2) / static_cast<double>(values.size());
    }
  };
}

}  // namespace temper
