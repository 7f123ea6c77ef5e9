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

}  // namespace

bool samples_on_device(const SamplingOptions& options) {
  return !options.truncates() && !options.penalises();
}

Tensor scaled_logp(const Tensor& logits, const SamplingOptions& options) {
  const double t = options.temperature == 0 ? 1.0 : options.temperature;
  return at::log_softmax(t == 1.0 ? logits : logits * (1.0 / t), -1);
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
  return read_draws(draw_tokens(full, without(full, banned), options, draws), logits, options, banned);
}

}  // namespace temper
