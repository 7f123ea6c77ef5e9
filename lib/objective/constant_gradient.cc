#include "objective/constant_gradient.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

namespace temper::objective {

at::Tensor constant_gradient(int64_t n, const std::function<at::Tensor(const at::Tensor& logp)>& loss) {
  at::Tensor found;
  for (const double scale : {-0.03, -0.4}) {
    const at::Tensor logp = ((at::arange(n, at::kFloat).remainder(7) + 1) * scale).requires_grad_(true);
    const at::Tensor value = loss(logp);
    if (!value.defined() || !value.requires_grad()) return {};
    const at::Tensor gradient = torch::autograd::grad({value}, {logp}, {}, {}, false, true)[0];
    if (!gradient.defined() || (found.defined() && !at::equal(found, gradient))) return {};
    found = gradient;
  }
  return found;
}

}  // namespace temper::objective
