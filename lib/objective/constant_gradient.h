// Losses whose derivative is known before the log-probs are.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

namespace temper::objective {

// The gradient [n] that a loss gives each of n log-probs (fp32), if it seems not to depend on what they are:
// two unlike sets of log-probs get the same bytes. Else undefined. So it is with the negative log-likelihood,
// and with policy losses whose old log-probs are the current ones. A loss may treat other log-probs
// differently: what is done with the answer must hold without it. Autograd has to be on.
at::Tensor constant_gradient(int64_t n, const std::function<at::Tensor(const at::Tensor& logp)>& loss);

}  // namespace temper::objective
