#include "rollout/distribution.h"

#include <algorithm>
#include <cmath>
#include <functional>

namespace temper {
namespace {

using logit_rows::kNever;

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

TokenDistribution::TokenDistribution(float* logits, int64_t vocab, const SamplingOptions& options,
                                     const SeenTokens& seen, const std::vector<int64_t>& banned,
                                     const AllowedTokens* allowed)
    : logits_(logits),
      vocab_(vocab),
      temperature_(options.temperature == 0 ? 1.0 : options.temperature),
      greedy_(options.temperature == 0) {
  full_ = weigh(logits, vocab, temperature_);
  if (options.penalises() || !banned.empty()) {
    const auto remember = [&](int64_t id) {
      if (id >= 0 && id < vocab) before_.emplace_back(id, logits[id]);
    };
    if (options.penalises()) {
      for (const auto& [id, count] : seen) remember(id);
      penalise(logits, vocab, options, seen);
    }
    for (const int64_t id : banned) {
      remember(id);
      if (id >= 0 && id < vocab) logits[id] = kNever;
    }
    weights_ = weigh(logits, vocab, temperature_);
  } else {
    weights_ = full_;
  }
  sum_ = weights_.total;
  if (allowed != nullptr) restrict_to(*allowed);
  if (greedy_ || !options.truncates()) return;
  truncated_ = true;
  candidates_ = truncate(logits, vocab, weights_, options);
  sum_ = total_weight(candidates_);
}

void TokenDistribution::restrict_to(const AllowedTokens& allowed) {
  for (int64_t id = 0; id < vocab_; ++id)
    if (!allowed.has(id)) logits_[id] = kNever;
  const TokenWeights all = weights_;
  weights_ = weigh(logits_, vocab_, temperature_);
  sum_ = weights_.total;
  log_allowed_ = std::min(0.0, all.logp(weights_.max, all.total) + std::log(sum_));
}

int64_t TokenDistribution::best() const {
  return std::find(logits_, logits_ + vocab_, weights_.max) - logits_;
}

SampledToken TokenDistribution::draw(double uniform) const {
  if (greedy_) return token(best());
  if (!truncated_) return token(temper::draw(logits_, vocab_, weights_, uniform));
  int64_t id = 0;
  double reached = 0;
  for (const TokenCandidate& c : candidates_) {
    id = c.id;
    reached += c.weight;
    if (reached > uniform * sum_) break;
  }
  return token(id);
}

SampledToken TokenDistribution::token(int64_t id) const {
  SampledToken token{id};
  token.logp = static_cast<float>(std::min(0.0, weights_.logp(logits_[id], sum_)));
  const auto edited =
      std::find_if(before_.begin(), before_.end(), [&](const auto& entry) { return entry.first == id; });
  const float raw = edited == before_.end() ? logits_[id] : edited->second;
  token.logp_full = static_cast<float>(std::min(0.0, full_.logp(raw, full_.total)));
  if (greedy_) token.logp = token.logp_full;  // nothing was drawn: what the model says of it
  token.log_weight = log_allowed_;
  return token;
}

double TokenDistribution::probability(int64_t id) const {
  if (greedy_) return id == best() ? 1 : 0;
  if (!truncated_) return weights_.weight(logits_[id]) / sum_;
  const auto at = std::lower_bound(candidates_.begin(), candidates_.end(), id,
                                   [](const TokenCandidate& c, int64_t id) { return c.id < id; });
  return at != candidates_.end() && at->id == id ? at->weight / sum_ : 0;
}

std::vector<float> TokenDistribution::probabilities() const {
  std::vector<float> out(static_cast<size_t>(vocab_));
  if (greedy_) {
    out[static_cast<size_t>(best())] = 1;
  } else if (truncated_) {
    for (const TokenCandidate& c : candidates_)
      out[static_cast<size_t>(c.id)] = static_cast<float>(c.weight / sum_);
  } else {
    probabilities_of(logits_, vocab_, weights_, sum_, out.data());
  }
  return out;
}

std::vector<double> TokenDistribution::largest(int64_t n) const {
  std::vector<float> sorted(logits_, logits_ + vocab_);
  const auto end = sorted.begin() + std::min(n, vocab_);
  std::partial_sort(sorted.begin(), end, sorted.end(), std::greater<>());
  std::vector<double> out;
  for (auto logit = sorted.begin(); logit != end; ++logit) out.push_back(weights_.weight(*logit) / sum_);
  return out;
}

void TokenDistribution::keep_top(int64_t k) {
  SamplingOptions options;
  options.top_k = std::clamp<int64_t>(k, 1, vocab_);
  truncated_ = true;
  candidates_ = truncate(logits_, vocab_, weights_, options);
  sum_ = total_weight(candidates_);
}

int64_t draw_from(const std::vector<float>& probabilities, double uniform) {
  double total = 0, reached = 0;
  for (const float p : probabilities) total += p;
  int64_t chosen = 0;
  for (size_t i = 0; i < probabilities.size(); ++i) {
    if (probabilities[i] <= 0) continue;
    chosen = static_cast<int64_t>(i);
    reached += probabilities[i];
    if (reached > uniform * total) break;
  }
  return chosen;
}

int64_t draw_residual(const std::vector<float>& p, const std::vector<float>& q, double uniform) {
  std::vector<float> rest(p.size());
  bool any = false;
  for (size_t i = 0; i < p.size(); ++i) {
    rest[i] = std::max(p[i] - q[i], 0.0f);
    any |= rest[i] > 0;
  }
  return draw_from(any ? rest : p, uniform);
}

}  // namespace temper
