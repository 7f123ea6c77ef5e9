#include "tensor/product/few_rows.h"

#include <ATen/Parallel.h>

#include <type_traits>
#include <utility>
#include <vector>

#include "tensor/vec.h"

namespace temper {
namespace {

using vec::Floats;
using vec::kWidth;

constexpr int kTogether = 4;  // rows of W that are multiplied together
// Rows of x that meet them at a time: the sums, x's vectors and one of W fill the registers.
constexpr int kMost = kWidth == 16 ? 6 : 3;
// Products that are worth another thread.
constexpr int64_t kGrain = 1 << 16;

// sums[r][o] = x_r . w_o; S is 0, 1, ... R kTogether - 1.
template <int R, typename W, int... S>
void dots(const float* x, const W* w, int64_t in, float* sums, std::integer_sequence<int, S...>) {
  Floats sum[] = {Floats(static_cast<float>(0 * S))...};
  const auto step = [&](int64_t i, int64_t n) {
    Floats own[R];
    for (int r = 0; r < R; ++r) own[r] = vec::load(x + r * in + i, n);
    for (int o = 0; o < kTogether; ++o) {
      const Floats weights = vec::load(w + o * in + i, n);
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
void dots(const float* x, const W* w, int64_t in, float* sums) {
  dots<R>(x, w, in, sums, std::make_integer_sequence<int, R * kTogether>());
}

// Of `rows` rows of x, 1 to kMost.
template <typename W, int R = kMost>
void dots_of(int64_t rows, const float* x, const W* w, int64_t in, float* sums) {
  if constexpr (R > 1) {
    if (rows < R) return dots_of<W, R - 1>(rows, x, w, in, sums);
  }
  dots<R>(x, w, in, sums);
}

}  // namespace

template <typename In, typename Out>
void few_rows_product(const In* x, int64_t rows, const In* w, int64_t outs, int64_t in, const In* bias,
                      Out* y, int64_t y_stride) {
  std::vector<float> wide;
  const float* floats = nullptr;
  if constexpr (std::is_same_v<In, float>) {
    floats = x;
  } else {
    wide.resize(rows * in);
    vec::for_each(rows * in,
                  [&](int64_t i, int64_t n) { vec::store(wide.data() + i, vec::load(x + i, n), n); });
    floats = wide.data();
  }
  const int64_t groups = (outs + kTogether - 1) / kTogether;
  at::parallel_for(0, groups, kGrain / (rows * in * kTogether) + 1, [&](int64_t first, int64_t last) {
    std::vector<In> padded;  // the last rows of W, where they are fewer than kTogether
    for (int64_t group = first; group < last; ++group) {
      const int64_t row = group * kTogether, count = std::min<int64_t>(kTogether, outs - row);
      const In* weights = w + row * in;
      if (count < kTogether) {
        padded.assign(kTogether * in, In(0.0f));
        std::copy_n(weights, count * in, padded.data());
        weights = padded.data();
      }
      for (int64_t r = 0; r < rows; r += kMost) {
        const int64_t n = std::min<int64_t>(kMost, rows - r);
        float sums[kMost * kTogether];
        dots_of(n, floats + r * in, weights, in, sums);
        for (int64_t i = 0; i < n; ++i) {
          for (int64_t o = 0; o < count; ++o) {
            const float offset = bias == nullptr ? 0.0f : static_cast<float>(bias[row + o]);
            y[(r + i) * y_stride + row + o] = static_cast<Out>(sums[i * kTogether + o] + offset);
          }
        }
      }
    }
  });
}

template void few_rows_product(const float*, int64_t, const float*, int64_t, int64_t, const float*, float*,
                               int64_t);
template void few_rows_product(const c10::BFloat16*, int64_t, const c10::BFloat16*, int64_t, int64_t,
                               const c10::BFloat16*, c10::BFloat16*, int64_t);
template void few_rows_product(const c10::BFloat16*, int64_t, const c10::BFloat16*, int64_t, int64_t,
                               const c10::BFloat16*, float*, int64_t);

}  // namespace temper
