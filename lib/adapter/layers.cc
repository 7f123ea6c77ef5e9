#include "adapter/layers.h"

#include <algorithm>
#include <cstdlib>
#include <numeric>

#include "base/error.h"

namespace temper {

int64_t layer_of(const std::string& name) {
  static constexpr char kLayers[] = "model.layers.";
  const size_t at = name.find(kLayers);  // behind "base_model." in an adapter's names
  if (at == std::string::npos) return -1;
  return std::strtoll(name.c_str() + at + sizeof(kLayers) - 1, nullptr, 10);
}

std::vector<int64_t> draw_layers(RandomStream& random, std::vector<double> weights, int64_t count) {
  std::vector<int64_t> out;
  while (static_cast<int64_t>(out.size()) < count) {
    double rest = random.uniform() * std::accumulate(weights.begin(), weights.end(), 0.0);
    int64_t drawn = -1;
    for (size_t i = 0; i < weights.size() && rest >= 0; ++i) {
      if (weights[i] <= 0) continue;
      drawn = static_cast<int64_t>(i);
      rest -= weights[i];
    }
    if (drawn < 0) bug("{} of {} layers cannot be drawn", count, weights.size());
    out.push_back(drawn);
    weights[static_cast<size_t>(drawn)] = 0;
  }
  std::sort(out.begin(), out.end());
  return out;
}

}  // namespace temper
