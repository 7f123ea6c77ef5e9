// Dot products of a few rows of x with a few rows of W at a time, their sums in registers.
#pragma once

#include <cstdint>
#include <utility>

#include "tensor/vec.h"

namespace temper::dots {

using vec::Floats;
using vec::kWidth;

inline constexpr int kTogether = 4;  // rows of W that are multiplied together
// Rows of x that meet them at a time: the sums, x's vectors and one of W fill the registers.
inline constexpr int kMost = kWidth == 16 ? 6 : 3;

// sums[r][o] = x_r . w_o; S is 0, 1, ... R kTogether - 1.
template <int R, typename W, int... S>
void sums_of(const float* x, const W* w, int64_t in, float* sums, std::integer_sequence<int, S...>) {
  Floats sum[] = {Floats(static_cast<float>(0 * S))...};
  const auto step = [&](int64_t i, int64_t n) __attribute__((always_inline)) {
    Floats own[R];
    // Unrolled, or the sums live in memory.
#pragma GCC unroll 8
    for (int r = 0; r < R; ++r) own[r] = vec::load(x + r * in + i, n);
#pragma GCC unroll 8
    for (int o = 0; o < kTogether; ++o) {
      const Floats weights = vec::load(w + o * in + i, n);
#pragma GCC unroll 8
      for (int r = 0; r < R; ++r)
        sum[r * kTogether + o] = at::vec::fmadd(own[r], weights, sum[r * kTogether + o]);
    }
  };
  int64_t i = 0;
  for (; i + kWidth <= in; i += kWidth) step(i, kWidth);
  if (i < in) step(i, in - i);
  ((sums[S] = vec::sum(sum[S])), ...);
}

template <int R, typename W>
void sums_of(const float* x, const W* w, int64_t in, float* sums) {
  sums_of<R>(x, w, in, sums, std::make_integer_sequence<int, R * kTogether>());
}

// Of `rows` rows of x, 1 to kMost.
template <typename W, int R = kMost>
void of(int64_t rows, const float* x, const W* w, int64_t in, float* sums) {
  if constexpr (R > 1) {
    if (rows < R) return of<W, R - 1>(rows, x, w, in, sums);
  }
  sums_of<R>(x, w, in, sums);
}

}  // namespace temper::dots
