#include "objective/critic.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "tensor/packed.h"

namespace temper::objective {

ValueEstimate estimate_values(const std::string& trace, const at::Tensor& reward, const at::Tensor& value,
                              const at::Tensor& log_ratio, const at::Tensor& sequence, double gamma,
                              double lambda) {
  if (trace != "gae" && trace != "retrace" && trace != "rbis") bug("unknown trace \"{}\"", trace);
  if (trace != "gae" && !log_ratio.defined()) bug("trace {} needs log-ratios", trace);
  const auto host = [](const at::Tensor& t) { return t.detach().to(at::kCPU, at::kDouble).contiguous(); };
  const at::Tensor rewards = host(reward), values = host(value), rows = sequence.to(at::kCPU).contiguous();
  const at::Tensor ratios = log_ratio.defined() ? host(log_ratio) : at::Tensor();
  const int64_t tokens = rewards.size(0);
  const double* r = rewards.const_data_ptr<double>();
  const double* v = values.const_data_ptr<double>();
  const double* d = ratios.defined() ? ratios.const_data_ptr<double>() : nullptr;
  const int64_t* row = rows.const_data_ptr<int64_t>();
  at::Tensor advantage = at::zeros({tokens}, at::kDouble);
  double* a = advantage.mutable_data_ptr<double>();

  const auto same = [&](int64_t t) { return t + 1 < tokens && row[t + 1] == row[t]; };
  const auto delta = [&](int64_t t) { return r[t] + (same(t) ? gamma * v[t + 1] : 0.0) - v[t]; };
  if (trace != "rbis") {
    for (int64_t t = tokens - 1; t >= 0; --t) {
      a[t] = delta(t);
      if (same(t))
        a[t] += gamma * lambda *
                (d != nullptr && trace == "retrace" ? std::exp(std::min(0.0, d[t + 1])) : 1.0) * a[t + 1];
    }
  } else {
    // The bound depends on where the trace began, so each start walks its own way; it ends when nothing is
    // left of it.
    const double bound = std::log(lambda);
    for (int64_t t = 0; t < tokens; ++t) {
      double log_beta = 0.0;
      a[t] = delta(t);
      for (int64_t k = 1; same(t + k - 1); ++k) {
        log_beta = std::min(static_cast<double>(k) * bound, d[t + k] + log_beta);
        a[t] += std::pow(gamma, static_cast<double>(k)) * std::exp(log_beta) * delta(t + k);
      }
    }
  }
  return {advantage.to(value.options().requires_grad(false)),
          (advantage + values).to(value.options().requires_grad(false))};
}

at::Tensor reward_on_last_token(const at::Tensor& reward, const at::Tensor& sequence, int64_t sequences) {
  const at::Tensor count = segment_count(sequence, sequences).to(at::kLong);
  const at::Tensor has = count.gt(0), last = (count.cumsum(0) - 1).masked_select(has);
  return at::zeros({sequence.size(0)}, reward.options()).index_put({last}, reward.masked_select(has));
}

at::Tensor value_loss(const at::Tensor& value, const at::Tensor& value_old, const at::Tensor& target,
                      double clip) {
  const at::Tensor near = value_old + (value - value_old).clamp(-clip, clip);
  return 0.5 * at::max((value - target).square(), (near - target).square());
}

at::Tensor coderl_advantage(const at::Tensor& reward, const at::Tensor& greedy, const at::Tensor& q,
                            const at::Tensor& sequence) {
  return q * gather_sequence(reward - greedy, sequence);
}

}  // namespace temper::objective
