#include "merge/task_vectors.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <bit>

#include "base/error.h"

namespace temper {

at::Tensor task_vector(const MergeTensor& t, size_t model, const at::Tensor& base, int64_t begin,
                       int64_t end) {
  return t.models[model].piece(begin, end).sub_(base);
}

float kth_largest_magnitude(int64_t k,
                            const std::function<void(const std::function<void(const at::Tensor&)>&)>& visit) {
  // The high half of the bits first, then the low half of those that share the high half found.
  uint32_t high = 0;
  int64_t left = k;
  for (const int half : {0, 1}) {
    std::vector<std::vector<int64_t>> of_threads(static_cast<size_t>(at::get_num_threads()),
                                                 std::vector<int64_t>(1 << 16));
    visit([&](const at::Tensor& values) {
      const at::Tensor row = values.contiguous();
      const float* x = row.const_data_ptr<float>();
      at::parallel_for(0, row.numel(), 1 << 15, [&](int64_t begin, int64_t end) {
        std::vector<int64_t>& counts = of_threads[static_cast<size_t>(at::get_thread_num())];
        for (int64_t i = begin; i < end; ++i) {
          const uint32_t bits = std::bit_cast<uint32_t>(x[i]) & 0x7fffffffU;
          if (half == 0)
            ++counts[bits >> 16];
          else if (bits >> 16 == high)
            ++counts[bits & 0xffffU];
        }
      });
    });
    std::vector<int64_t> counts(1 << 16);
    for (const auto& some : of_threads)
      std::transform(counts.begin(), counts.end(), some.begin(), counts.begin(), std::plus<>());
    for (uint32_t bin = (1 << 16) - 1;; --bin) {
      if (counts[bin] >= left) {
        if (half == 1) return std::bit_cast<float>(high << 16 | bin);
        high = bin;
        break;
      }
      left -= counts[bin];
      if (bin == 0) bug("fewer than {} elements", k);
    }
  }
  bug("unreachable");
}

at::Tensor elected(const std::vector<at::Tensor>& task_vectors, const std::vector<double>& weights, bool mean,
                   Votes& votes) {
  at::Tensor sum = at::zeros_like(task_vectors[0]);
  for (size_t i = 0; i < task_vectors.size(); ++i) sum.add_(task_vectors[i], weights[i]);
  const at::Tensor positive = sum.ge(0);
  sum.zero_();
  at::Tensor divisor = at::zeros_like(sum);
  for (size_t i = 0; i < task_vectors.size(); ++i) {
    const at::Tensor& delta = task_vectors[i];
    const at::Tensor agrees = at::where(positive, delta.gt(0), delta.lt(0));
    sum.add_(delta.mul(agrees), weights[i]);
    divisor.add_(agrees, weights[i]);
    votes.entries += delta.numel();
    votes.kept += delta.count_nonzero().item<int64_t>();
    votes.agreeing += agrees.count_nonzero().item<int64_t>();
  }
  return mean ? at::where(divisor.gt(0), sum / divisor, sum) : sum;
}

}  // namespace temper
