#include "task/sft/draws.h"

#include <algorithm>

#include "base/error.h"
#include "base/random.h"

namespace temper {

Draws::Draws(const std::vector<int64_t>& source_of, DrawSettings settings) : settings_(std::move(settings)) {
  if (settings_.end_weights.empty()) settings_.end_weights = settings_.weights;
  const size_t sources = settings_.weights.size();
  units_.resize(sources);
  for (size_t u = 0; u < source_of.size(); ++u) units_[source_of[u]].push_back(static_cast<int64_t>(u));
  for (size_t s = 0; s < sources; ++s) {
    const auto count = static_cast<int64_t>(units_[s].size());
    if (count == 0 && (settings_.weights[s] > 0 || settings_.end_weights[s] > 0))
      user_error("data.weights: file {} of data.train has a weight, but no example to learn from", s);
    const uint64_t seed = RandomStream(settings_.seed, "source order", 0, s).next();
    orders_.emplace_back(std::max<int64_t>(count, 1), seed, settings_.order);
  }
  taken_.assign(sources, 0);
}

int64_t Draws::source(int64_t step, int64_t i) const {
  const double progress = settings_.steps > 1 ? static_cast<double>(step) / (settings_.steps - 1) : 0.0;
  std::vector<double> weights;
  double total = 0;
  for (size_t s = 0; s < units_.size(); ++s) {
    weights.push_back((1 - progress) * settings_.weights[s] + progress * settings_.end_weights[s]);
    total += weights.back();
  }
  double target =
      total *
      RandomStream(settings_.seed, "source", static_cast<uint64_t>(step), static_cast<uint64_t>(i)).uniform();
  int64_t last = 0;
  for (size_t s = 0; s < weights.size(); ++s) {
    if (weights[s] <= 0) continue;
    last = static_cast<int64_t>(s);
    if (target < weights[s]) break;
    target -= weights[s];
  }
  return last;
}

std::vector<int64_t> Draws::step(int64_t step) {
  if (step < next_) {
    next_ = 0;
    taken_.assign(units_.size(), 0);
  }
  std::vector<int64_t> out;
  for (; next_ <= step; ++next_) {
    out.clear();
    for (int64_t i = 0; i < settings_.batch_size; ++i) {
      const int64_t s = source(next_, i);
      out.push_back(units_[s][orders_[s].at(taken_[s]++)]);
    }
  }
  return out;
}

}  // namespace temper
