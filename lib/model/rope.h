// Rotary position angles, with the scalings of the families, as transformers' modeling_rope_utils computes
// them.
#pragma once

#include <ATen/core/Tensor.h>

#include "model/config.h"
#include "tensor/ops.h"

namespace temper {

// Inverse frequencies [R/2] fp32, R = partial head_dim (proportional: head_dim): theta^(-2i/R), then
// - linear: divided by the factor;
// - dynamic: theta is raised for a run whose sequences are longer than original_max_positions (NTK);
// - llama3: long wavelengths divided, short ones kept, a smooth ramp between (Llama 3.1's reference code);
// - yarn: the same by rotations over the original length (arXiv 2309.00071);
// - longrope: each pair divided by its own factor, the long ones for a run whose sequences are longer than
//   original_max_positions (arXiv 2402.13753);
// - proportional: the first `partial` of the pairs turn by theta^(-2i/head_dim), the others not.
// longest: tokens of the longest sequence of the run; asked for by Rope::depends_on_length() alone.
at::Tensor rope_frequencies(const Rope& rope, int64_t head_dim, int64_t longest);

// cos, sin [N, R/2] fp32 of positions [N], times the amplitude.
RotaryAngles rope_angles(const Rope& rope, const at::Tensor& frequencies, const at::Tensor& positions,
                         bool interleaved);

}  // namespace temper
