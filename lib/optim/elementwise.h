// One pass over the numbers of a parameter and its state. Elementwise, so results do not depend on the number
// of threads.
#pragma once

#include <ATen/Parallel.h>
#include <ATen/core/Tensor.h>

#include "tensor/vec.h"

namespace temper {

// Whether all are contiguous fp32 on the CPU, as the fast passes need them.
template <typename... Tensors>
bool plain_floats(const Tensors&... tensors) {
  return ((tensors.is_cpu() && tensors.scalar_type() == at::kFloat && tensors.is_contiguous()) && ...);
}

// f(offset, count) for every vector of [0, n), in parallel; count < vec::kWidth in the last one of a thread.
template <typename F>
void parallel_vectors(int64_t n, const F& f) {
  constexpr int64_t kGrain = 1 << 14;
  at::parallel_for(0, n, kGrain, [&](int64_t begin, int64_t end) {
    vec::for_each(end - begin, [&](int64_t offset, int64_t count) { f(begin + offset, count); });
  });
}

}  // namespace temper
