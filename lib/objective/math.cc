#include "objective/math.h"

#include <ATen/ATen.h>

#include <cmath>

namespace temper::objective {

at::Tensor bounded_exp(const at::Tensor& log_ratio) {
  return log_ratio.clamp_max(kMaxLogRatio).exp();
}

at::Tensor log1mexp(const at::Tensor& x) {
  // Near 0 the first form, far below the second: each is inexact on the other's side, so each sees only its
  // own.
  const at::Tensor safe = x.clamp_max(-1e-6);
  const at::Tensor near = safe.ge(-std::log(2.0));
  const at::Tensor a = (-at::expm1(at::where(near, safe, at::full_like(safe, -0.5)))).log();
  const at::Tensor b = at::log1p(-at::where(near, at::full_like(safe, -1.0), safe).exp());
  return at::where(near, a, b);
}

GroupIndex index_groups(const at::Tensor& group) {
  const auto [labels, index, counts] = at::_unique2(group, /*sorted=*/true, /*return_inverse=*/true);
  return {index, labels.size(0)};
}

}  // namespace temper::objective
