// Matrix products without gradients, by what is fastest for the shape and the processor. Operands are of one
// type; sums are fp32, rounded once.
#pragma once

#include <ATen/core/Tensor.h>

namespace temper {

// a b: [n, k] [k, m] -> [n, m]. Either may be a transposed view.
at::Tensor matrix_product(const at::Tensor& a, const at::Tensor& b);

// The same in fp32, from fp32 or bf16.
at::Tensor mm_f32(const at::Tensor& a, const at::Tensor& b);

// x W^T (+ bias): x [n, in], weight [out, in] -> [n, out].
at::Tensor product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias = {});

// The same by one kernel for any n: what training wants, whose results must not depend on how a step is cut
// into micro-batches by more than the last digits.
at::Tensor training_product(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& bias = {});

// x W^T in fp32: what logits are made of.
at::Tensor product_f32(const at::Tensor& x, const at::Tensor& weight);

// The same behind plain pointers, rows one after the other: x [rows, in] and w [outs, in] of fp32 or bf16 on
// the CPU, y [rows, outs]. One kernel for whatever is made `most` rows at a time, the last ones too.
template <typename T>
void product_into(const T* x, int64_t rows, int64_t most, const T* w, int64_t outs, int64_t in, float* y);

}  // namespace temper
