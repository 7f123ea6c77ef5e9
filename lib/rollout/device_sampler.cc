#include "rollout/device_sampler.h"

#include <ATen/ATen.h>

#include <cmath>
#include <limits>

#include "base/error.h"

namespace temper {
namespace {

using at::Tensor;

// log-probs without the banned ids, not renormalised.
Tensor without(const Tensor& logp, const std::vector<std::vector<int64_t>>& banned) {
  std::vector<int64_t> places;
  const int64_t vocab = logp.size(1);
  for (size_t b = 0; b < banned.size(); ++b) {
    for (const int64_t id : banned[b])
      if (id >= 0 && id < vocab) places.push_back(static_cast<int64_t>(b) * vocab + id);
  }
  if (places.empty()) return logp;
  Tensor rest = logp.clone();
  rest.view({-1}).index_fill_(0, at::tensor(places, at::kLong).to(logp.device()),
                              -std::numeric_limits<double>::infinity());
  return rest;
}

constexpr double kDropped = -std::numeric_limits<double>::infinity();

Tensor normalised(const Tensor& x) {
  return x - x.logsumexp(-1, /*keepdim=*/true);
}

// Of log-probs, in nats; what has none counts nothing.
Tensor entropy_of_rows(const Tensor& logp) {
  return -(logp.exp() * logp.clamp_min(-1e30)).sum(-1, /*keepdim=*/true);
}

// In each row the place, in descending order of key, of the last token that is needed for weights to reach
// `mass`. Equal keys stand in order of id.
Tensor last_needed(const Tensor& sorted_weights, double mass) {
  return (sorted_weights.cumsum(-1, at::kDouble) < mass)
      .sum(-1, /*keepdim=*/true)
      .clamp_max(sorted_weights.size(1) - 1);
}

Tensor mask_top_p(const Tensor& x, double top_p) {
  const Tensor p = normalised(x);
  const auto [sorted, ids] = at::sort(p, /*stable=*/true, -1, /*descending=*/true);
  const Tensor last = last_needed(sorted.exp(), top_p);
  const Tensor least = sorted.gather(1, last), least_id = ids.gather(1, last);
  const Tensor id = at::arange(p.size(1), ids.options()).unsqueeze(0);
  return x.masked_fill((p < least).logical_or((p == least).logical_and(id > least_id)), kDropped);
}

Tensor mask_typical(const Tensor& x, double typical_p) {
  const Tensor p = normalised(x), key = (p + entropy_of_rows(p)).abs();
  const auto [sorted, ids] = at::sort(key, /*stable=*/true, -1, /*descending=*/false);
  const Tensor most = sorted.gather(1, last_needed(p.gather(1, ids).exp(), typical_p));
  return x.masked_fill(key > most, kDropped);
}

// Those whose log-prob is at least `least` [B, 1], and the best.
Tensor mask_heavy(const Tensor& x, const Tensor& logp, const Tensor& least) {
  return x.masked_fill(logp < at::minimum(least, logp.amax(-1, /*keepdim=*/true)), kDropped);
}

}  // namespace

bool samples_on_device(const SamplingOptions& options) {
  return !options.penalises() && !options.mirostat() && !options.constrains();
}

Tensor scaled_logp(const Tensor& logits, const SamplingOptions& options) {
  const double t = options.temperature == 0 ? 1.0 : options.temperature;
  return at::log_softmax(t == 1.0 ? logits : logits * (1.0 / t), -1);
}

Tensor truncated(const Tensor& open, const SamplingOptions& o) {
  Tensor x = open;
  if (o.temperature == 0) return x;
  if (o.top_k > 0 && o.top_k < x.size(1)) {
    const Tensor least = std::get<0>(x.topk(o.top_k, -1)).narrow(1, o.top_k - 1, 1);
    x = x.masked_fill(x < least, kDropped);  // ties stay
  }
  if (o.top_p < 1) x = mask_top_p(x, o.top_p);
  if (o.min_p > 0) x = x.masked_fill(x < x.amax(-1, /*keepdim=*/true) + std::log(o.min_p), kDropped);
  if (o.typical_p < 1) x = mask_typical(x, o.typical_p);
  if (o.epsilon_cutoff > 0) {
    const Tensor p = normalised(x);
    x = mask_heavy(x, p, at::full_like(p.narrow(1, 0, 1), std::log(o.epsilon_cutoff)));
  }
  if (o.eta_cutoff > 0) {
    const Tensor p = normalised(x);
    const double log_eta = std::log(o.eta_cutoff);
    x = mask_heavy(x, p, (0.5 * log_eta - entropy_of_rows(p)).clamp_max(log_eta));
  }
  return x;
}

Tensor draw_tokens(const Tensor& full, const Tensor& open, const SamplingOptions& options,
                   const Tensor& uniform) {
  Tensor id, logp;
  if (options.temperature == 0) {
    id = open.argmax(-1, /*keepdim=*/true);
    logp = open.gather(1, id);
  } else {
    // The lowest id whose cumulated weight exceeds uniform * total.
    const Tensor cumulated = open.exp().cumsum(-1, at::kDouble);
    const Tensor total = cumulated.narrow(1, cumulated.size(1) - 1, 1);
    // Below the total, so that there is such an id, and then one of some weight.
    const Tensor target =
        at::minimum(uniform.unsqueeze(1) * total, at::nextafter(total, at::zeros_like(total)));
    id = at::searchsorted(cumulated, target, /*out_int32=*/false, /*right=*/true).clamp_max(full.size(1) - 1);
    logp = open.gather(1, id) - total.log();
  }
  return at::cat({id.to(at::kDouble), logp.to(at::kDouble), full.gather(1, id).to(at::kDouble)}, 1);
}

std::vector<SampledToken> read_draws(const Tensor& drawn, const Tensor& logits,
                                     const SamplingOptions& options,
                                     const std::vector<std::vector<int64_t>>& banned) {
  const Tensor here = drawn.cpu();
  const auto rows = here.accessor<double, 2>();
  std::vector<SampledToken> out(banned.size());
  for (size_t b = 0; b < out.size(); ++b) {
    const auto row = rows[static_cast<int64_t>(b)];
    if (!std::isfinite(row[1]) || !std::isfinite(row[2])) {
      Tensor host = logits[static_cast<int64_t>(b)].cpu().contiguous();
      out[b] = sample_token(host.mutable_data_ptr<float>(), host.size(0), options, {}, banned[b], 0.5);
      continue;
    }
    out[b].id = static_cast<int64_t>(row[0]);
    out[b].logp_full = static_cast<float>(std::min(0.0, row[2]));
    out[b].logp = options.temperature == 0 ? out[b].logp_full : static_cast<float>(std::min(0.0, row[1]));
  }
  return out;
}

std::vector<SampledToken> sample_tokens(const Tensor& logits, const SamplingOptions& options,
                                        const std::vector<std::vector<int64_t>>& banned,
                                        const std::vector<double>& uniform) {
  const Tensor full = scaled_logp(logits, options);
  const Tensor draws = at::tensor(uniform, at::kDouble).to(logits.device());
  const Tensor open = truncated(without(full, banned), options);
  return read_draws(draw_tokens(full, open, options, draws), logits, options, banned);
}

}  // namespace temper
