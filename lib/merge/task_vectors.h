// Task vectors in pieces: the parts that task arithmetic, TIES and DARE are made of.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <vector>

#include "merge/method.h"

namespace temper {

// W_i - W_0 of elements [begin, end), fp32; base: W_0's.
at::Tensor task_vector(const MergeTensor& tensor, size_t model, const at::Tensor& base, int64_t begin,
                       int64_t end);

// The k-th largest |x| of all that `visit` shows to the function it is given, fp32 tensors; it is called
// twice. Exact, with half a megabyte a thread: magnitudes are ordered as their bits are. k >= 1 of that many
// elements at least.
float kth_largest_magnitude(int64_t k,
                            const std::function<void(const std::function<void(const at::Tensor&)>&)>& visit);

// What a merge keeps of task vectors, in entries.
struct Votes {
  int64_t entries = 0, kept = 0, agreeing = 0;  // of all models; not 0; of the elected sign
};

// TIES' election and disjoint mean (arXiv 2306.01708, algorithm 1) of trimmed task vectors [n] each, fp32.
// The sign of sum_i w_i T_i wins (+ where the sum is 0); the result is sum w_i T_i over those of that sign,
// divided by their sum of w_i when `mean`, and 0 where there is none. Weights are positive.
at::Tensor elected(const std::vector<at::Tensor>& task_vectors, const std::vector<double>& weights, bool mean,
                   Votes& votes);

}  // namespace temper
