// The low-rank product of LoRA, y + s B (A drop(x)), the dropout mask it can draw again, and the same product
// with one update an expert.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "tensor/experts/experts.h"

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

// One low-rank update of columns [column, column + out) of a product.
struct LoraPart {
  at::Tensor a, b;    // [r, in], [out, r]: fp32 masters, which receive gradients
  at::Tensor b_work;  // [out, r] in x's dtype, the scale folded in
  int64_t column = 0;
  double scale = 1.0;
};

// y [N, outs] += drop(x) A^T B^T, part by part, with x [N, in] and a_work [sum of ranks, in] the parts' A in
// x's dtype, one below the other. y is written to and returned. Gradients: of x and y in their dtype; of a
// and b in fp32.
at::Tensor lora_product(const at::Tensor& x, at::Tensor y, const at::Tensor& a_work,
                        const std::vector<LoraPart>& parts, const Dropout& dropout = {});

// One low-rank update an expert, in PEFT's layout: a [r E, in] has expert after expert, b [out, r E] in its
// columns r after r, each with all experts.
at::Tensor expert_a(const at::Tensor& a, int64_t experts);  // [E, r, in]
at::Tensor expert_b(const at::Tensor& b, int64_t experts);  // [E, out, r], a view

// y [M, out] += s x A_e^T B_e^T for the rows of expert e. y is written to and returned. a_work [E, r, in] and
// b_work [E, out, r] in x's dtype; a and b, in PEFT's layout, take the gradients.
at::Tensor grouped_lora_product(const at::Tensor& x, const ExpertRows& rows, at::Tensor y,
                                const at::Tensor& a_work, const at::Tensor& b_work, const at::Tensor& a,
                                const at::Tensor& b, double scale);

namespace reference {
// The formula in plain operations on the fp32 masters; y is left alone.
at::Tensor lora_product(const at::Tensor& x, const at::Tensor& y, const std::vector<LoraPart>& parts,
                        const Dropout& dropout = {});
}  // namespace reference

}  // namespace temper
