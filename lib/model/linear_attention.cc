#include "model/linear_attention.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "tensor/recurrent/causal_conv.h"
#include "tensor/recurrent/delta_rule.h"

namespace temper {
namespace {

using at::Tensor;

struct LinearHeads {
  Tensor q, k, v;
};

// The convolution's result as heads; q and k of length 1, q divided by sqrt(Dk), too.
LinearHeads heads_of(const LinearAttention& l, const Tensor& convolved) {
  const int64_t n = convolved.size(0), keys = l.key_heads * l.key_dim;
  const auto parts = at::silu(convolved).split_with_sizes({keys, keys, l.value_heads * l.value_dim}, 1);
  const auto unit = [&](const Tensor& x) {
    const Tensor heads = x.reshape({n, l.key_heads, l.key_dim}).to(at::kFloat);
    return heads * (heads.square().sum(-1, /*keepdim=*/true) + 1e-6).rsqrt();
  };
  const double scale = 1.0 / std::sqrt(static_cast<double>(l.key_dim));
  const auto type = convolved.scalar_type();
  return {(unit(parts[0]) * scale).to(type), unit(parts[1]).to(type),
          parts[2].reshape({n, l.value_heads, l.value_dim})};
}

// The states of all sequences as one tensor; zeros where nothing was read yet.
template <class Of>
Tensor stacked(const std::vector<RecurrentState*>& states, const Of& of, at::IntArrayRef shape,
               const at::TensorOptions& options) {
  std::vector<Tensor> out;
  for (RecurrentState* s : states) out.push_back(of(*s).defined() ? of(*s) : at::zeros(shape, options));
  return at::stack(out);
}

bool are_single_tokens(const std::vector<Segment>& segments) {
  return std::all_of(segments.begin(), segments.end(), [](const Segment& s) { return s.length() == 1; });
}

std::vector<int64_t> all_of(const std::vector<Segment>& segments) {
  std::vector<int64_t> out(segments.size());
  std::iota(out.begin(), out.end(), 0);
  return out;
}

}  // namespace

Tensor mix_packed(const MixInput& in, const std::vector<Segment>& segments) {
  const LinearHeads h = heads_of(in.shape, causal_conv(in.channels, in.conv, segments));
  return gated_delta_rule(h.q, h.k, h.v, in.log_decay, in.beta, segments);
}

Tensor convolve_onward(const Tensor& x, const Tensor& weight, const std::vector<Segment>& segments,
                       const std::vector<RecurrentState*>& states) {
  Tensor kept = stacked(
      states, [](RecurrentState& s) -> Tensor& { return s.conv; }, {weight.size(0), weight.size(1) - 1},
      x.options());
  Tensor out;
  if (are_single_tokens(segments)) {
    out = causal_conv_step(x, weight, kept);
  } else {
    const CausalConvResult convolved = causal_conv_prefill(x, weight, segments, all_of(segments), kept);
    kept = convolved.states, out = convolved.out;
  }
  for (size_t i = 0; i < states.size(); ++i) states[i]->conv = kept[static_cast<int64_t>(i)];
  return out;
}

Tensor mix_onward(const MixInput& in, const std::vector<Segment>& segments,
                  const std::vector<RecurrentState*>& states) {
  const LinearAttention& l = in.shape;
  Tensor matrix = stacked(
      states, [](RecurrentState& s) -> Tensor& { return s.matrix; }, {l.value_heads, l.key_dim, l.value_dim},
      in.channels.options().dtype(at::kFloat));
  const LinearHeads h = heads_of(l, convolve_onward(in.channels, in.conv, segments, states));
  Tensor out;
  if (are_single_tokens(segments)) {
    out = gated_delta_step(h.q, h.k, h.v, in.log_decay, in.beta, matrix);
  } else {
    const DeltaRuleResult mixed =
        gated_delta_prefill(h.q, h.k, h.v, in.log_decay, in.beta, segments, all_of(segments), matrix);
    matrix = mixed.states, out = mixed.out;
  }
  for (size_t i = 0; i < states.size(); ++i) states[i]->matrix = matrix[static_cast<int64_t>(i)];
  return out;
}

}  // namespace temper
