// Rotary position angles, with the scalings of the families.
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>

#include "model/config.h"

namespace temper {

// Inverse frequencies [D/2] fp32: theta^(-2i/D), then "linear" (divided by the factor) or "llama3" (long
// wavelengths divided, short ones kept, a smooth ramp between; Llama 3.1's reference code).
at::Tensor rope_frequencies(const ModelConfig& config);

// cos, sin [N, D/2] fp32 of positions [N].
std::pair<at::Tensor, at::Tensor> rope_angles(const at::Tensor& frequencies, const at::Tensor& positions);

}  // namespace temper
