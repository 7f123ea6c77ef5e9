#include "tensor/product/few_rows.h"

#include <ATen/Parallel.h>

#include <type_traits>
#include <vector>

#include "tensor/product/dots.h"

namespace temper {
namespace {

// Products that are worth another thread.
constexpr int64_t kGrain = 1 << 16;

}  // namespace

template <typename In, typename Out>
void few_rows_product(const In* x, int64_t rows, const In* w, int64_t outs, int64_t in, const In* bias,
                      Out* y) {
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
  const int64_t groups = (outs + dots::kTogether - 1) / dots::kTogether;
  at::parallel_for(0, groups, kGrain / (rows * in * dots::kTogether) + 1, [&](int64_t first, int64_t last) {
    std::vector<In> padded;  // the last rows of W, where they are fewer than dots::kTogether
    for (int64_t group = first; group < last; ++group) {
      const int64_t row = group * dots::kTogether, count = std::min<int64_t>(dots::kTogether, outs - row);
      const In* weights = w + row * in;
      if (count < dots::kTogether) {
        padded.assign(dots::kTogether * in, In(0.0f));
        std::copy_n(weights, count * in, padded.data());
        weights = padded.data();
      }
      for (int64_t r = 0; r < rows; r += dots::kMost) {
        const int64_t n = std::min<int64_t>(dots::kMost, rows - r);
        float sums[dots::kMost * dots::kTogether];
        dots::of(n, floats + r * in, weights, in, sums);
        for (int64_t i = 0; i < n; ++i) {
          for (int64_t o = 0; o < count; ++o) {
            const float offset = bias == nullptr ? 0.0f : static_cast<float>(bias[row + o]);
            y[(r + i) * outs + row + o] = static_cast<Out>(sums[i * dots::kTogether + o] + offset);
          }
        }
      }
    }
  });
}

template void few_rows_product(const float*, int64_t, const float*, int64_t, int64_t, const float*, float*);
template void few_rows_product(const c10::BFloat16*, int64_t, const c10::BFloat16*, int64_t, int64_t,
                               const c10::BFloat16*, c10::BFloat16*);
template void few_rows_product(const c10::BFloat16*, int64_t, const c10::BFloat16*, int64_t, int64_t,
                               const c10::BFloat16*, float*);

}  // namespace temper
