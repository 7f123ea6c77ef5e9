#include "model/recurrent_layers.h"

#include <ATen/ATen.h>

#include "tensor/ops.h"

namespace temper {

using at::Tensor;

Tensor linear_attention(const ModelConfig& config, int64_t layer, const BlockWeights& w, const Tensor& h,
                        AttentionContext& context, const PassMath& math) {
  const LinearAttention& a = config.linear;
  const int64_t n = h.size(0), values = a.value_heads * a.value_dim;
  const auto parts =
      math.project(w.mix_in, h).split_with_sizes({a.channels(), values, a.value_heads, a.value_heads}, 1);
  const Tensor time = at::softplus(parts[3].to(at::kFloat) + w.time_bias->master.to(at::kFloat));
  const MixInput input{a, parts[0].contiguous(), w.conv->master.flatten(1),
                       -w.decay->master.to(at::kFloat).exp() * time, at::sigmoid(parts[2].to(at::kFloat))};
  const Tensor mixed = rms_norm(context.mix(layer, input), w.mix_norm->master, config.norm_eps);
  const Tensor gated = mixed.reshape({n, values}) * at::silu(parts[1].to(at::kFloat));
  return math.project(w.mix_out, gated.to(h.scalar_type()));
}

Tensor short_convolution(int64_t layer, const BlockWeights& w, const Tensor& h, AttentionContext& context,
                         const PassMath& math) {
  const auto parts = math.project(w.mix_in, h).chunk(3, 1);
  Tensor y = context.convolve(layer, (parts[0] * parts[2]).contiguous(), w.conv->master.flatten(1));
  if (w.conv_bias != nullptr) y = y + w.conv_bias->master.to(y.scalar_type());
  return math.project(w.mix_out, parts[1] * y);
}

}  // namespace temper
