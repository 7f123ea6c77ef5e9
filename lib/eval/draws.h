// What intervals by simulation are made of: draws of distributions, weighted quantiles, resampled prompts.
#pragma once

#include <cstdint>
#include <functional>
#include <string_view>
#include <vector>

#include "base/random.h"
#include "base/statistics.h"

namespace temper {

// One draw of Gamma(shape, 1), shape >= 1, by Marsaglia and Tsang's rejection (ACM TOMS 26, 2000).
double gamma_draw(RandomStream& random, double shape);

// The equal-tailed interval that holds `level` of the weight of these values: where the weights, summed in
// the values' order, pass (1 - level) / 2 and (1 + level) / 2. No weights: all alike. There must be a value.
Interval weighted_interval(const std::vector<double>& values, const std::vector<double>& weights,
                           double level);

// The percentile bootstrap (Efron, 1979): `draws` times as many of the items are picked, with replacement, as
// there are, from the stream (seed, purpose, draw); what statistic() says of each such list of places.
std::vector<double> bootstrap(int64_t items, int64_t draws, uint64_t seed, std::string_view purpose,
                              const std::function<double(const std::vector<int64_t>&)>& statistic);

}  // namespace temper
