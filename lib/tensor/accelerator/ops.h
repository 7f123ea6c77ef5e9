// What the operations of ops.h are on an accelerator: ATen's fused kernels where it has one, few whole-tensor
// operations elsewhere, and nothing kept for backward but what the CPU's kernels keep. Shapes as in ops.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>

namespace temper::on_device {

// a b in fp32, summed in fp32. Of two fp32 or two bf16 matrices.
at::Tensor mm_f32(const at::Tensor& a, const at::Tensor& b);
// sum [m, n] fp32 += a b.
void add_mm_f32(at::Tensor& sum, const at::Tensor& a, const at::Tensor& b);

// target's rows `index`, distinct ones, along dimension dim become `rows`.
void put_rows(at::Tensor& target, int64_t dim, const at::Tensor& index, const at::Tensor& rows);
// target[r][index[r]] += values[r] for each row r. target [R, V], index [R] int64, values [R].
void add_one_a_row(at::Tensor& target, const at::Tensor& index, const at::Tensor& values);
// target[r][index[r]] = values[r], rounded to target's type.
void put_one_a_row(at::Tensor& target, const at::Tensor& index, const at::Tensor& values);

// y, and 1 / rms of each row [.., 1] fp32.
std::pair<at::Tensor, at::Tensor> rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);
// Of x and, when wanted, of weight (fp32 [H]; else undefined).
std::pair<at::Tensor, at::Tensor> rms_norm_backward(const at::Tensor& dy, const at::Tensor& x,
                                                    const at::Tensor& weight, const at::Tensor& rstd,
                                                    bool weight_wanted);

// x [N, heads, D] rotated into y, of its shape; sign -1 turns back.
void rotate(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin, double sign, at::Tensor y);

at::Tensor swiglu(const at::Tensor& x);
at::Tensor swiglu_backward(const at::Tensor& dy, const at::Tensor& x);

}  // namespace temper::on_device
