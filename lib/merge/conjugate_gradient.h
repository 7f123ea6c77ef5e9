// The method of conjugate gradients (Hestenes & Stiefel, 1952).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>

namespace temper {

struct CgResult {
  at::Tensor x;
  int64_t iterations = 0;
  double first = 0, last = 0;  // |b - A x| / |b| of the start and of the result
};

// Solves A x = b from x, both of which are written to, for a symmetric positive semidefinite A given by its
// product; tensors of one shape, fp32 (sums in fp64). Stops when |b - A x| <= tolerance |b|, as scipy's cg,
// or where A has nothing in the direction.
CgResult conjugate_gradient(const std::function<at::Tensor(const at::Tensor&)>& product, at::Tensor b,
                            at::Tensor x, int64_t iterations, double tolerance);

}  // namespace temper
