// The weights of a row of logits, exp((logit - max) / temperature), with their sums. Sums and products of
// whole vectors; only for the samplers.
#pragma once

#include <ATen/cpu/vec/vec.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <vector>

namespace temper {

struct TokenWeights {
  float max = 0, inverse_temperature = 1;
  std::vector<double> block;  // sums of neighbouring weights, for draw()
  double total = 0;

  // Of weights that sum to `sum`.
  double logp(float logit, double sum) const {
    return (static_cast<double>(logit) - max) * inverse_temperature - std::log(sum);
  }
  double weight(float logit) const {
    return std::exp((static_cast<double>(logit) - max) * inverse_temperature);
  }
};

// Throws UserError when a logit is NaN or +inf (the model diverged) or every token is ruled out.
TokenWeights weigh(const float* logits, int64_t n, double temperature);

// The lowest id whose cumulated weight exceeds uniform * total: first the block, then the id in it.
int64_t draw(const float* logits, int64_t n, const TokenWeights& weights, double uniform);

// Rules a token out: its logit becomes -inf, and its weight leaves the sums.
void leave_out(float* logits, int64_t n, TokenWeights& weights, int64_t id);

// The weights over `sum`: [n] probabilities.
void probabilities_of(const float* logits, int64_t n, const TokenWeights& weights, double sum, float* out);

namespace logit_rows {

using Vec = at::vec::Vectorized<float>;
constexpr int64_t kLanes = Vec::size();
constexpr float kNever = -std::numeric_limits<float>::infinity();

// A row read in whole vectors, the last one filled up with -inf.
inline Vec load(const float* row, int64_t i, int64_t n) {
  if (i + kLanes <= n) return Vec::loadu(row + i);
  float tail[kLanes];
  std::fill_n(tail, kLanes, kNever);
  std::copy(row + i, row + n, tail);
  return Vec::loadu(tail);
}

}  // namespace logit_rows
}  // namespace temper
