// Mixtures of experts: tokens sorted by the experts that a router chose for them, products with one weight an
// expert, and the weighted sum back. Inputs are fp32 or bf16, sums fp32. N tokens, k choices a token, M = N k
// sorted rows, E experts, H hidden. Nothing here depends on the number of threads.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <vector>

#include "tensor/quantised.h"

namespace temper {

// Tokens sorted by expert.
struct ExpertRows {
  at::Tensor token;            // [M] int64: the row of x that each sorted row reads
  at::Tensor place;            // [N, k] int64: the sorted row of each choice
  std::vector<int64_t> begin;  // [E + 1]: expert e has the rows [begin[e], begin[e + 1])
  int64_t experts() const { return static_cast<int64_t>(begin.size()) - 1; }
  int64_t count(int64_t e) const { return begin[e + 1] - begin[e]; }
};

// experts [N, k] int64 in [0, count), on any device; a bug() otherwise. Stable: tokens of an expert stay in
// order.
ExpertRows sort_by_expert(const at::Tensor& experts, int64_t count);

// Row m is x[token[m]]. x [N, H] -> [M, H]; the gradient of a token is the fp32 sum of its k rows' in order.
at::Tensor gather_rows(const at::Tensor& x, const ExpertRows& rows);

// y[n] = sum_j weights[n][j] x[place[n][j]], summed in fp32 in order of j, differentiable in both. x [M, H],
// weights [N, k] fp32 -> [N, H].
at::Tensor combine_rows(const at::Tensor& x, const at::Tensor& weights, const ExpertRows& rows);

// One product an expert: rows [begin[e], begin[e + 1]) of x times compute[e]^T (+ bias[e]). As in linear()
// (ops.h), compute [E, out, in] is the working copy in the compute dtype and master, of its shape, receives
// the gradient (fp32 when trained), 0 for experts without rows; likewise bias and bias_master [E, out].
// Weights of experts without rows are not read. x [M, in] -> [M, out].
at::Tensor grouped_linear(const at::Tensor& x, const ExpertRows& rows, const at::Tensor& compute,
                          const at::Tensor& master, const at::Tensor& bias = {},
                          const at::Tensor& bias_master = {});

// The same for frozen weights in few bits, a matrix [E out, in] of one expert's rows after the other's; a
// gradient goes to x alone. bias [E, out] or undefined.
at::Tensor grouped_quantised_linear(const at::Tensor& x, const ExpertRows& rows,
                                    const std::shared_ptr<const QuantisedMatrix>& weights,
                                    const at::Tensor& bias = {});

namespace reference {
at::Tensor gather_rows(const at::Tensor& x, const ExpertRows& rows);
at::Tensor combine_rows(const at::Tensor& x, const at::Tensor& weights, const ExpertRows& rows);
// weight [E, out, in] and bias receive the gradients themselves.
at::Tensor grouped_linear(const at::Tensor& x, const ExpertRows& rows, const at::Tensor& weight,
                          const at::Tensor& bias = {});
}  // namespace reference

}  // namespace temper
