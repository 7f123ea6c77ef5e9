#include "rollout/token_weights.h"

#include <cmath>
#include <numeric>

#include "base/error.h"

namespace temper {

using namespace logit_rows;

namespace {

constexpr int64_t kBlock =
    1024;  // logits whose weights are summed in fp32; the blocks' sums are summed in fp64

float largest(Vec x) {
  float lane[kLanes];
  x.store(lane);
  float most = lane[0];
  for (const float value : lane) most = value > most || std::isnan(value) ? value : most;
  return most;
}

Vec weight_of(const TokenWeights& weights, Vec x) {
  return ((x - Vec(weights.max)) * Vec(weights.inverse_temperature)).exp_u20();
}

double block_sum(const float* logits, int64_t n, const TokenWeights& weights, int64_t begin) {
  const int64_t end = std::min(n, begin + kBlock);
  Vec sum(0.0f);
  for (int64_t i = begin; i < end; i += kLanes) sum = sum + weight_of(weights, load(logits, i, n));
  float lane[kLanes];
  sum.store(lane);
  double block = 0;
  for (const float value : lane) block += value;
  return block;
}

}  // namespace

TokenWeights weigh(const float* logits, int64_t n, double temperature) {
  TokenWeights weights;
  Vec most(kNever);
  for (int64_t i = 0; i < n; i += kLanes) most = at::vec::maximum(most, load(logits, i, n));  // keeps NaN
  weights.max = largest(most);
  if (weights.max == kNever)
    user_error(
        "sampling: every token is ruled out, as banned, as an end before min_new_tokens, or by a constraint");
  if (!std::isfinite(weights.max)) {
    user_error(
        "sampling: the logits hold {}: the model has diverged or its weights are broken; try dtype f32",
        std::isnan(weights.max) ? "NaN" : "infinity");
  }
  weights.inverse_temperature = static_cast<float>(1 / temperature);
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    weights.block.push_back(block_sum(logits, n, weights, begin));
    weights.total += weights.block.back();
  }
  return weights;
}

void leave_out(float* logits, int64_t n, TokenWeights& weights, int64_t id) {
  logits[id] = kNever;
  const int64_t block = id / kBlock;
  weights.block[static_cast<size_t>(block)] = block_sum(logits, n, weights, block * kBlock);
  weights.total = std::accumulate(weights.block.begin(), weights.block.end(), 0.0);
}

int64_t draw(const float* logits, int64_t n, const TokenWeights& weights, double uniform) {
  const double target = uniform * weights.total;
  double sum = 0;
  size_t block = 0, last = 0;  // last: a block that holds some weight
  for (; block < weights.block.size(); ++block) {
    if (weights.block[block] > 0) last = block;
    if (sum + weights.block[block] > target) break;
    sum += weights.block[block];
  }
  if (block == weights.block.size()) block = last, sum -= weights.block[last];  // rounding at uniform near 1
  const int64_t begin = static_cast<int64_t>(block) * kBlock, end = std::min(n, begin + kBlock);
  int64_t chosen = -1;
  for (int64_t i = begin; i < end; i += kLanes) {
    float lane[kLanes];
    weight_of(weights, load(logits, i, n)).store(lane);
    for (int64_t j = 0; j < std::min(kLanes, end - i); ++j) {
      if (lane[j] <= 0) continue;
      chosen = i + j;
      sum += lane[j];
      if (sum > target) return chosen;
    }
  }
  return chosen;
}

void probabilities_of(const float* logits, int64_t n, const TokenWeights& weights, double sum, float* out) {
  const Vec scale(static_cast<float>(1 / sum));
  for (int64_t i = 0; i < n; i += kLanes)
    (weight_of(weights, load(logits, i, n)) * scale)
        .store(out + i, static_cast<int>(std::min(kLanes, n - i)));
}

}  // namespace temper
