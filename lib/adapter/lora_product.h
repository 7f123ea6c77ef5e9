// The low-rank product of LoRA, y + s B (A drop(x)), and the dropout mask it can draw again.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace temper {

// Which elements are dropped is a pure function of these numbers and of the element's row and column.
struct Dropout {
  double p = 0.0;  // share dropped; 0: off
  uint64_t seed = 0, step = 0;
  uint64_t index = 0;  // of the micro-batch and the module
};

// [rows, columns] in the given dtype: 0 where dropped, 1 / (1 - p) elsewhere (p to the nearest 1/65536).
at::Tensor dropout_mask(const Dropout& dropout, int64_t rows, int64_t columns,
                        const at::TensorOptions& options);

// x [N, in], y [N, out] -> y + drop(x) a_work^T b_work^T, [N, out] in y's dtype. a_work [r, in] and b_work
// [out, r] are in x's dtype, the scale folded into b_work. Gradients: of x and y in their dtype; of a [r, in]
// and b [out, r] in fp32, b's with the scale. Without gradients y is written to and returned.
at::Tensor lora_product(const at::Tensor& x, at::Tensor y, const at::Tensor& a, const at::Tensor& b,
                        const at::Tensor& a_work, const at::Tensor& b_work, double scale,
                        const Dropout& dropout);

namespace reference {
// The formula in plain operations on the fp32 masters.
at::Tensor lora_product(const at::Tensor& x, const at::Tensor& y, const at::Tensor& a, const at::Tensor& b,
                        double scale, const Dropout& dropout);
}  // namespace reference

}  // namespace temper
