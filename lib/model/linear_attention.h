// A layer of linear attention between its projections: a short convolution, then the gated delta rule; and a
// layer of a short convolution alone.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "model/config.h"
#include "tensor/packed.h"

namespace temper {

// N tokens, C channels [q | k | v], Hv value heads.
struct MixInput {
  const LinearAttention& shape;
  at::Tensor channels;         // [N, C]
  at::Tensor conv;             // [C, K]
  at::Tensor log_decay, beta;  // [N, Hv] fp32
};

// What such a layer keeps of a sequence; undefined: nothing was read yet.
struct RecurrentState {
  at::Tensor conv;    // [C, K - 1], the last inputs of the convolution
  at::Tensor matrix;  // [Hv, Dk, Dv] fp32; undefined for a layer of a convolution alone
};

// Of a packed batch: [N, Hv, Dv]; differentiable. The state is empty before a root segment, and a child goes
// on from a copy of its parent's.
at::Tensor mix_packed(const MixInput& in, const std::vector<Segment>& segments);

// Of segments without parents that go on from their states, which become those behind them; no gradient.
at::Tensor mix_onward(const MixInput& in, const std::vector<Segment>& segments,
                      const std::vector<RecurrentState*>& states);

// The same of the convolution alone: x [N, C], weight [C, K] -> [N, C].
at::Tensor convolve_onward(const at::Tensor& x, const at::Tensor& weight,
                           const std::vector<Segment>& segments, const std::vector<RecurrentState*>& states);

}  // namespace temper
