#include "rollout/truncation.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace temper {

using namespace logit_rows;

TokenCandidates candidates_from(const float* logits, int64_t n, const TokenWeights& weights, float floor) {
  TokenCandidates out;
  for (int64_t i = 0; i < n; i += kLanes) {
    const int64_t end = std::min(n, i + kLanes);
    if (i + kLanes <= n && (Vec::loadu(logits + i) < Vec(floor)).zero_mask() == 0) continue;
    for (int64_t j = i; j < end; ++j) {
      if (logits[j] < floor || logits[j] == kNever) continue;
      const float scaled = (logits[j] - weights.max) * weights.inverse_temperature;
      const double weight = std::exp(static_cast<double>(scaled));
      if (weight > 0) out.push_back({static_cast<int32_t>(j), scaled, weight, 0});
    }
  }
  return out;
}

double total_weight(const TokenCandidates& candidates) {
  double sum = 0;
  for (const TokenCandidate& c : candidates) sum += c.weight;
  return sum;
}

namespace {

// A logit that at least k tokens reach. The k-th largest of some groups' maxima is one, and cheap.
float top_k_floor(const float* logits, int64_t n, int64_t k) {
  constexpr int64_t kGroup = 32;  // vectors
  if (k * 2 * kGroup > n) return kNever;
  std::vector<float> maxima;
  for (int64_t begin = 0; begin < n; begin += kGroup * kLanes) {
    Vec most(kNever);
    for (int64_t i = begin; i < std::min(n, begin + kGroup * kLanes); i += kLanes) {
      most = at::vec::maximum(most, load(logits, i, n));
    }
    maxima.resize(maxima.size() + kLanes);
    most.store(maxima.data() + maxima.size() - kLanes);
  }
  if (k > static_cast<int64_t>(maxima.size())) return kNever;
  std::nth_element(maxima.begin(), maxima.begin() + (k - 1), maxima.end(), std::greater<>());
  return maxima[k - 1];
}

// A logit below which no token survives the first active truncation, so that few need a closer look.
float first_floor(const float* logits, int64_t n, const TokenWeights& weights,
                  const SamplingOptions& options) {
  if (options.top_k > 0) return top_k_floor(logits, n, options.top_k);
  double least = 0;  // weight
  if (options.top_p < 1) {
    least = (1 - options.top_p) * weights.total /
            static_cast<double>(n);  // all that is lighter sums to less than 1 - top_p
  } else if (options.min_p > 0) {
    least = options.min_p;
  } else if (options.typical_p >= 1 && options.epsilon_cutoff > 0) {
    least = std::min(options.epsilon_cutoff * weights.total, 1.0);
  }
  // A little lower, because the sums are fp32's.
  return least > 0 ? static_cast<float>(weights.max + (std::log(least) - 1e-3) / weights.inverse_temperature)
                   : kNever;
}

// Entropy in nats.
double entropy(const TokenCandidates& candidates, double total) {
  double sum = 0;
  for (const TokenCandidate& c : candidates) sum += c.weight * c.scaled;
  return std::log(total) - sum / total;
}

bool by_key(const TokenCandidate& a, const TokenCandidate& b) {
  return a.key != b.key ? a.key < b.key : a.id < b.id;
}

// The last candidate that is kept when they are taken in order of key (then id) until their weights reach
// `mass`. Only the candidates of the bucket of keys in which that happens are sorted, not the vocabulary.
TokenCandidate last_within(const TokenCandidates& candidates, double mass) {
  constexpr int64_t kBuckets = 1024;
  const auto [least, most] = std::minmax_element(candidates.begin(), candidates.end(), by_key);
  const double base = least->key, scale = kBuckets / std::max(most->key - least->key, 1e-30);
  const auto bucket = [&](const TokenCandidate& c) {
    return static_cast<int64_t>(std::min((c.key - base) * scale, kBuckets - 1.0));
  };
  std::vector<double> sums(kBuckets);
  for (const TokenCandidate& c : candidates) sums[bucket(c)] += c.weight;
  int64_t last = 0;
  double before = 0, reached = 0;  // weight of the buckets before `last`, and up to it
  for (int64_t b = 0; b < kBuckets && reached < mass; ++b) {
    if (sums[b] == 0) continue;
    last = b, before = reached;
    reached += sums[b];
  }
  TokenCandidates inside;
  for (const TokenCandidate& c : candidates) {
    if (bucket(c) == last) inside.push_back(c);
  }
  std::sort(inside.begin(), inside.end(), by_key);
  for (const TokenCandidate& c : inside) {
    before += c.weight;
    if (before >= mass) return c;
  }
  return inside.back();
}

void keep_top_k(TokenCandidates& candidates, int64_t k) {
  if (k >= static_cast<int64_t>(candidates.size())) return;
  std::vector<float> scaled;
  for (const TokenCandidate& c : candidates) scaled.push_back(c.scaled);
  std::nth_element(scaled.begin(), scaled.begin() + (k - 1), scaled.end(), std::greater<>());
  std::erase_if(candidates,
                [least = scaled[k - 1]](const TokenCandidate& c) { return c.scaled < least; });  // ties stay
}

void keep_top_p(TokenCandidates& candidates, double total, double top_p) {
  for (TokenCandidate& c : candidates) c.key = -c.scaled;
  const TokenCandidate last = last_within(candidates, top_p * total);
  std::erase_if(candidates, [&](const TokenCandidate& c) { return by_key(last, c); });
}

void keep_typical(TokenCandidates& candidates, double total, double typical_p) {
  const double log_total = std::log(total), h = entropy(candidates, total);
  for (TokenCandidate& c : candidates) c.key = std::abs(log_total - c.scaled - h);
  const TokenCandidate last = last_within(candidates, typical_p * total);
  std::erase_if(candidates, [&](const TokenCandidate& c) { return c.key > last.key; });
}

// Those at least this heavy, and the best.
void keep_heavy(TokenCandidates& candidates, double least) {
  double most = 0;
  for (const TokenCandidate& c : candidates) most = std::max(most, c.weight);
  std::erase_if(candidates,
                [least = std::min(least, most)](const TokenCandidate& c) { return c.weight < least; });
}

}  // namespace

TokenCandidates truncate(const float* logits, int64_t n, const TokenWeights& weights,
                         const SamplingOptions& options) {
  TokenCandidates candidates = candidates_from(logits, n, weights, first_floor(logits, n, weights, options));
  double total = weights.total;  // of the distribution that the next truncation sees
  if (options.top_k > 0) {
    keep_top_k(candidates, options.top_k);
    total = total_weight(candidates);
  }
  if (options.top_p < 1) {
    keep_top_p(candidates, total, options.top_p);
    total = total_weight(candidates);
  }
  if (options.min_p > 0) {
    keep_heavy(candidates, options.min_p);  // the best weighs 1
    total = total_weight(candidates);
  }
  if (options.typical_p < 1) {
    keep_typical(candidates, total, options.typical_p);
    total = total_weight(candidates);
  }
  if (options.epsilon_cutoff > 0) {
    keep_heavy(candidates, options.epsilon_cutoff * total);
    total = total_weight(candidates);
  }
  if (options.eta_cutoff > 0) {
    const double eta = options.eta_cutoff;
    keep_heavy(candidates, std::min(eta, std::sqrt(eta) * std::exp(-entropy(candidates, total))) * total);
  }
  return candidates;
}

}  // namespace temper
