#include "rollout/sampler.h"

#include <ATen/cpu/vec/vec.h>
#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/error.h"

namespace temper {

void SamplingOptions::fields(FieldVisitor& v) {
  v.field("temperature", temperature,
          {.help = "logits are divided by it; 0 takes the most probable token", .min = 0});
  v.field("top_k", top_k, {.help = "keep the k most probable tokens; 0: all", .unit = "tokens", .min = 0});
  v.field("top_p", top_p,
          {.help = "keep the fewest tokens whose probabilities reach this sum", .min = 0, .max = 1});
  v.field("min_p", min_p,
          {.help = "keep tokens at least this share as probable as the best", .min = 0, .max = 1});
  v.field("typical_p", typical_p,
          {.help = "keep the tokens nearest the entropy in surprise, up to this sum", .min = 0, .max = 1});
  v.field("epsilon_cutoff", epsilon_cutoff,
          {.help = "keep tokens at least this probable, and the best", .min = 0, .max = 1});
  v.field("eta_cutoff", eta_cutoff,
          {.help = "keep tokens at least min(eta, sqrt(eta) exp(-entropy)) probable", .min = 0, .max = 1});
  v.field("repetition_penalty", repetition_penalty,
          {.help = "logits of ids seen in prompt or output are divided by it (multiplied when negative)",
           .min = 0});
  v.field("presence_penalty", presence_penalty, {.help = "taken off the logits of ids in the output"});
  v.field("frequency_penalty", frequency_penalty,
          {.help = "taken off once for each time the id is in the output"});
  v.field("min_new_tokens", min_new_tokens, {.help = "no end before this many", .unit = "tokens", .min = 0});
  v.field("max_new_tokens", max_new_tokens, {.help = "a completion's limit", .unit = "tokens", .min = 1});
  v.field(
      "stop", stop,
      {.help = "a completion ends where one of these strings, special tokens too, appears; it is cut off"});
  v.field("ban", ban, {.help = "texts, special tokens too, that never appear in a completion"});
}

void SamplingOptions::check(std::vector<std::string>& problems, const std::string& where) const {
  const std::string at = where.empty() ? "" : where + ".";
  const auto positive = [&](const char* name, double value) {
    if (!(value > 0))
      problems.push_back(fmt::format("{}{}: expected a number above 0, found {}", at, name, value));
  };
  if (temperature > 0 && temperature < 1e-6) {
    problems.push_back(
        fmt::format("{}temperature: {} is too near 0; use 0 for greedy sampling", at, temperature));
  }
  positive("top_p", top_p);
  positive("typical_p", typical_p);
  positive("repetition_penalty", repetition_penalty);
  if (min_new_tokens > max_new_tokens) {
    problems.push_back(fmt::format("{}min_new_tokens: {} is more than max_new_tokens, {}", at, min_new_tokens,
                                   max_new_tokens));
  }
  for (const std::string& text : stop) {
    if (text.empty()) problems.push_back(fmt::format("{}stop: an empty string would stop at once", at));
  }
  for (const std::string& text : ban) {
    if (text.empty()) problems.push_back(fmt::format("{}ban: an empty string would ban everything", at));
  }
}

bool SamplingOptions::truncates() const {
  return top_k > 0 || top_p < 1 || min_p > 0 || typical_p < 1 || epsilon_cutoff > 0 || eta_cutoff > 0;
}

bool SamplingOptions::penalises() const {
  return repetition_penalty != 1 || presence_penalty != 0 || frequency_penalty != 0;
}

namespace {

using Vec = at::vec::Vectorized<float>;
constexpr int64_t kLanes = Vec::size();
constexpr int64_t kBlock =
    1024;  // logits whose weights are summed in fp32; the blocks' sums are summed in fp64
constexpr float kNever = -std::numeric_limits<float>::infinity();

// A row read in whole vectors, the last one filled up with -inf.
Vec load(const float* row, int64_t i, int64_t n) {
  if (i + kLanes <= n) return Vec::loadu(row + i);
  float tail[kLanes];
  std::fill_n(tail, kLanes, kNever);
  std::copy(row + i, row + n, tail);
  return Vec::loadu(tail);
}

float largest(Vec x) {
  float lane[kLanes];
  x.store(lane);
  float most = lane[0];
  for (const float value : lane) most = value > most || std::isnan(value) ? value : most;
  return most;
}

// weight(x) = exp((x - max) / temperature), and its sums.
struct Weights {
  float max = 0, inverse_temperature = 1;
  std::vector<double> block;  // sum of each kBlock logits
  double total = 0;

  Vec of(Vec x) const { return ((x - Vec(max)) * Vec(inverse_temperature)).exp_u20(); }
  double logp(float logit, double sum) const {
    return (static_cast<double>(logit) - max) * inverse_temperature - std::log(sum);
  }
};

Weights weigh(const float* logits, int64_t n, double temperature) {
  Weights weights;
  Vec most(kNever);
  for (int64_t i = 0; i < n; i += kLanes) most = at::vec::maximum(most, load(logits, i, n));  // keeps NaN
  weights.max = largest(most);
  if (weights.max == kNever)
    user_error("sampling: every token is ruled out, as banned or as an end before min_new_tokens");
  if (!std::isfinite(weights.max)) {
    user_error(
        "sampling: the logits hold {}: the model has diverged or its weights are broken; try dtype f32",
        std::isnan(weights.max) ? "NaN" : "infinity");
  }
  weights.inverse_temperature = static_cast<float>(1 / temperature);
  for (int64_t begin = 0; begin < n; begin += kBlock) {
    const int64_t end = std::min(n, begin + kBlock);
    Vec sum(0.0f);
    for (int64_t i = begin; i < end; i += kLanes) sum = sum + weights.of(load(logits, i, n));
    float lane[kLanes];
    sum.store(lane);
    double block = 0;
    for (const float value : lane) block += value;
    weights.block.push_back(block);
    weights.total += block;
  }
  return weights;
}

// The lowest id whose cumulated weight exceeds uniform * total: first the block, then the id in it.
int64_t draw(const float* logits, int64_t n, const Weights& weights, double uniform) {
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
    weights.of(load(logits, i, n)).store(lane);
    for (int64_t j = 0; j < std::min(kLanes, end - i); ++j) {
      if (lane[j] <= 0) continue;
      chosen = i + j;
      sum += lane[j];
      if (sum > target) return chosen;
    }
  }
  return chosen;
}

// A token that may still come, in truncated sampling.
struct Candidate {
  int32_t id;
  float scaled;   // (logit - max) / temperature
  double weight;  // exp(scaled)
  double key;     // scratch of the filters that keep "the first of them up to a sum"
};
using Candidates = std::vector<Candidate>;  // ids ascending

// Tokens with logits >= floor.
Candidates gather(const float* logits, int64_t n, const Weights& weights, float floor) {
  Candidates out;
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
float first_floor(const float* logits, int64_t n, const Weights& weights, const SamplingOptions& options) {
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

double total_weight(const Candidates& candidates) {
  double sum = 0;
  for (const Candidate& c : candidates) sum += c.weight;
  return sum;
}

// Entropy in nats.
double entropy(const Candidates& candidates, double total) {
  double sum = 0;
  for (const Candidate& c : candidates) sum += c.weight * c.scaled;
  return std::log(total) - sum / total;
}

bool by_key(const Candidate& a, const Candidate& b) {
  return a.key != b.key ? a.key < b.key : a.id < b.id;
}

// The last candidate that is kept when they are taken in order of key (then id) until their weights reach
// `mass`. Only the candidates of the bucket of keys in which that happens are sorted, not the vocabulary.
Candidate last_within(const Candidates& candidates, double mass) {
  constexpr int64_t kBuckets = 1024;
  const auto [least, most] = std::minmax_element(candidates.begin(), candidates.end(), by_key);
  const double base = least->key, scale = kBuckets / std::max(most->key - least->key, 1e-30);
  const auto bucket = [&](const Candidate& c) {
    return static_cast<int64_t>(std::min((c.key - base) * scale, kBuckets - 1.0));
  };
  std::vector<double> sums(kBuckets);
  for (const Candidate& c : candidates) sums[bucket(c)] += c.weight;
  int64_t last = 0;
  double before = 0, reached = 0;  // weight of the buckets before `last`, and up to it
  for (int64_t b = 0; b < kBuckets && reached < mass; ++b) {
    if (sums[b] == 0) continue;
    last = b, before = reached;
    reached += sums[b];
  }
  Candidates inside;
  for (const Candidate& c : candidates) {
    if (bucket(c) == last) inside.push_back(c);
  }
  std::sort(inside.begin(), inside.end(), by_key);
  for (const Candidate& c : inside) {
    before += c.weight;
    if (before >= mass) return c;
  }
  return inside.back();
}

void keep_top_k(Candidates& candidates, int64_t k) {
  if (k >= static_cast<int64_t>(candidates.size())) return;
  std::vector<float> scaled;
  for (const Candidate& c : candidates) scaled.push_back(c.scaled);
  std::nth_element(scaled.begin(), scaled.begin() + (k - 1), scaled.end(), std::greater<>());
  std::erase_if(candidates,
                [least = scaled[k - 1]](const Candidate& c) { return c.scaled < least; });  // ties stay
}

void keep_top_p(Candidates& candidates, double total, double top_p) {
  for (Candidate& c : candidates) c.key = -c.scaled;
  const Candidate last = last_within(candidates, top_p * total);
  std::erase_if(candidates, [&](const Candidate& c) { return by_key(last, c); });
}

void keep_typical(Candidates& candidates, double total, double typical_p) {
  const double log_total = std::log(total), h = entropy(candidates, total);
  for (Candidate& c : candidates) c.key = std::abs(log_total - c.scaled - h);
  const Candidate last = last_within(candidates, typical_p * total);
  std::erase_if(candidates, [&](const Candidate& c) { return c.key > last.key; });
}

// Those at least this heavy, and the best.
void keep_heavy(Candidates& candidates, double least) {
  double most = 0;
  for (const Candidate& c : candidates) most = std::max(most, c.weight);
  std::erase_if(candidates, [least = std::min(least, most)](const Candidate& c) { return c.weight < least; });
}

// What the truncations leave, in the order that formulas/sampling.md gives; each sees the survivors
// renormalised.
Candidates truncate(const float* logits, int64_t n, const Weights& weights, const SamplingOptions& options) {
  Candidates candidates = gather(logits, n, weights, first_floor(logits, n, weights, options));
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

void penalise(float* logits, int64_t n, const SamplingOptions& options, const SeenTokens& seen) {
  for (const auto& [id, count] : seen) {
    if (id < 0 || id >= n) continue;
    float& logit = logits[id];
    if (options.repetition_penalty != 1) {
      logit = static_cast<float>(logit > 0 ? logit / options.repetition_penalty
                                           : logit * options.repetition_penalty);
    }
    if (count > 0) {
      logit -= static_cast<float>(options.presence_penalty +
                                  options.frequency_penalty * static_cast<double>(count));
    }
  }
}

}  // namespace

SampledToken sample_token(float* logits, int64_t vocab, const SamplingOptions& options,
                          const SeenTokens& seen, const std::vector<int64_t>& banned, double uniform) {
  const bool greedy = options.temperature == 0;
  const bool edits = options.penalises() || !banned.empty();
  Weights weights = weigh(logits, vocab, greedy ? 1.0 : options.temperature);
  const Weights full = weights;
  std::vector<std::pair<int64_t, float>> before;  // logits that are about to change
  if (edits) {
    const auto remember = [&](int64_t id) {
      if (id >= 0 && id < vocab) before.emplace_back(id, logits[id]);
    };
    if (options.penalises()) {
      for (const auto& [id, count] : seen) remember(id);
      penalise(logits, vocab, options, seen);
    }
    for (const int64_t id : banned) {
      remember(id);
      if (id >= 0 && id < vocab) logits[id] = kNever;
    }
    weights = weigh(logits, vocab, greedy ? 1.0 : options.temperature);
  }

  SampledToken token;
  double sum = weights.total;
  if (greedy) {
    token.id = std::find(logits, logits + vocab, weights.max) - logits;
  } else if (options.truncates()) {
    const Candidates candidates = truncate(logits, vocab, weights, options);
    sum = total_weight(candidates);
    double reached = 0;
    for (const Candidate& c : candidates) {
      token.id = c.id;
      reached += c.weight;
      if (reached > uniform * sum) break;
    }
  } else {
    token.id = draw(logits, vocab, weights, uniform);
  }
  token.logp = static_cast<float>(std::min(0.0, weights.logp(logits[token.id], sum)));
  const auto edited =
      std::find_if(before.begin(), before.end(), [&](const auto& entry) { return entry.first == token.id; });
  const float raw = edited == before.end() ? logits[token.id] : edited->second;
  token.logp_full = static_cast<float>(std::min(0.0, full.logp(raw, full.total)));
  if (greedy) token.logp = token.logp_full;  // nothing was drawn: what the model says of it
  return token;
}

}  // namespace temper
