// The second moments of what linears read, from samples: CorDA's C.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "model/model.h"

namespace temper {

// By linear module id, for the chosen ones: the mean over samples of X^T X, [in, in] fp32, with X [tokens,
// in] divided by its largest element first, as the authors do (one sample, one forward pass). Samples are
// token ids; empty ones are passed over. The model's own delta is off meanwhile. Throws UserError when there
// is no sample.
std::vector<at::Tensor> input_covariance(Model& model, const std::vector<bool>& chosen,
                                         const std::vector<std::vector<int64_t>>& samples);

}  // namespace temper
