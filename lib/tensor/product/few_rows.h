// y = x W^T for few rows of x, where what takes time is the way of W through memory: each number of W is
// loaded once and meets all rows of x. A row's result does not depend on how many others there are, nor on
// the number of threads.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

namespace temper {

// Row-major with rows one after the other: x [rows, in], w [outs, in], bias [outs] or null, y [rows, outs];
// sums are fp32, rounded once. In: fp32 or bf16; Out: In's type or fp32.
template <typename In, typename Out>
void few_rows_product(const In* x, int64_t rows, const In* w, int64_t outs, int64_t in, const In* bias,
                      Out* y);

}  // namespace temper
