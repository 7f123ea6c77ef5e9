// Rows added to rows of a larger matrix.
#pragma once

#include <ATen/core/Tensor.h>

namespace temper {

// to[index[i]] += rows[i], in the order of i whatever the number of threads. CPU: to [V, H] fp32, contiguous;
// index [N] int64 within [0, V); rows [N, H] fp32.
void add_rows(const at::Tensor& to, const at::Tensor& index, const at::Tensor& rows);

}  // namespace temper
