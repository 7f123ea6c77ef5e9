// What losses of several families share.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace temper::objective {

// exp() of anything above this is cut off: e^20 is 5e8, far outside every clip range, and its square still
// fits fp32. A token beyond it has no gradient through its ratio, instead of one that makes the whole step
// infinite.
inline constexpr double kMaxLogRatio = 20.0;
at::Tensor bounded_exp(const at::Tensor& log_ratio);

// log(1 - exp(x)) for x < 0; x is cut off at -1e-6.
at::Tensor log1mexp(const at::Tensor& x);

// Labels -> indices 0 .. count-1.
struct GroupIndex {
  at::Tensor index;  // [S] int64
  int64_t count = 0;
};
GroupIndex index_groups(const at::Tensor& group);

}  // namespace temper::objective
