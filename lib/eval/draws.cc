#include "eval/draws.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/error.h"

namespace temper {

double gamma_draw(RandomStream& random, double shape) {
  if (!(shape >= 1)) bug("gamma_draw({})", shape);
  const double d = shape - 1.0 / 3, c = 1 / std::sqrt(9 * d);
  while (true) {
    const double x = random.normal(), u = 1 - random.uniform();
    const double v = std::pow(1 + c * x, 3);
    if (v > 0 && std::log(u) < x * x / 2 + d - d * v + d * std::log(v)) return d * v;
  }
}

Interval weighted_interval(const std::vector<double>& values, const std::vector<double>& weights,
                           double level) {
  if (values.empty()) bug("weighted_interval of no values");
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(),
            [&](size_t i, size_t j) { return values[i] != values[j] ? values[i] < values[j] : i < j; });
  const auto weight = [&](size_t i) { return weights.empty() ? 1.0 : weights[i]; };
  double all = 0;
  for (const size_t i : order) all += weight(i);
  const auto passed = [&](double share) {
    double sum = 0;
    for (const size_t i : order) {
      sum += weight(i);
      if (sum >= share * all) return values[i];
    }
    return values[order.back()];
  };
  return {passed((1 - level) / 2), passed((1 + level) / 2)};
}

std::vector<double> bootstrap(int64_t items, int64_t draws, uint64_t seed, std::string_view purpose,
                              const std::function<double(const std::vector<int64_t>&)>& statistic) {
  std::vector<double> out;
  std::vector<int64_t> picked(static_cast<size_t>(items));
  for (int64_t draw = 0; draw < draws; ++draw) {
    RandomStream random(seed, purpose, 0, static_cast<uint64_t>(draw));
    for (int64_t& place : picked) place = static_cast<int64_t>(random.below(static_cast<uint64_t>(items)));
    out.push_back(statistic(picked));
  }
  return out;
}

}  // namespace temper
