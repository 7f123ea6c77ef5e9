#include "tensor/product/add_rows.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include "tensor/vec.h"

namespace temper {

void add_rows(const at::Tensor& to, const at::Tensor& index, const at::Tensor& rows) {
  const at::Tensor from = rows.contiguous(), places = index.contiguous();
  const int64_t n = from.size(0), width = from.size(1);
  const float* in = from.const_data_ptr<float>();
  const int64_t* place = places.const_data_ptr<int64_t>();
  float* out = to.mutable_data_ptr<float>();
  // Each thread has columns of its own, so none waits for another and the order of a sum is that of the rows.
  constexpr int64_t kColumns = 64;
  const int64_t parts = (width + kColumns - 1) / kColumns;
  const int64_t grain = std::max<int64_t>(1, (1 << 15) / std::max<int64_t>(1, n * kColumns));
  at::parallel_for(0, parts, grain, [&](int64_t first, int64_t last) {
    const int64_t begin = first * kColumns, count = std::min(width, last * kColumns) - begin;
    for (int64_t i = 0; i < n; ++i) {
      float* sum = out + place[i] * width + begin;
      const float* row = in + i * width + begin;
      vec::for_each(count, [&](int64_t c, int64_t m) {
        vec::store(sum + c, vec::load(sum + c, m) + vec::load(row + c, m), m);
      });
    }
  });
}

}  // namespace temper
