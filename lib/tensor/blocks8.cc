#include "tensor/blocks8.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>

#include "base/error.h"
#include "tensor/vec.h"

namespace temper {

// Decades from 1e-7 to 1, each with twice the values of the one below: for i = 0..6 the middles of n + 1 even
// steps over [0.1, 1], times 10^(i-6), where n = 2^i with both signs or 2^(i+1); and 0 and 1.
DynamicMap::DynamicMap(bool is_signed) {
  std::vector<float> values = {0.0f, 1.0f};
  for (int i = 0; i < 7; ++i) {
    const int n = is_signed ? 1 << i : 2 << i;
    // torch.linspace in fp32: from both ends towards the middle, each edge rounded once.
    const float step = (1.0f - 0.1f) / static_cast<float>(n);
    const auto edge = [&](int at) {
      return at < (n + 1) / 2 ? std::fma(step, static_cast<float>(at), 0.1f)
                              : std::fma(-step, static_cast<float>(n - at), 1.0f);
    };
    const auto decade = static_cast<float>(std::pow(10.0, i - 6));
    for (int at = 0; at < n; ++at) {
      const float value = decade * ((edge(at) + edge(at + 1)) / 2.0f);
      values.push_back(value);
      if (is_signed) values.push_back(-value);
    }
  }
  if (values.size() != values_.size()) bug("the dynamic map has {} values", values.size());
  std::sort(values.begin(), values.end());
  std::copy(values.begin(), values.end(), values_.begin());
  for (size_t i = 0; i < 255; ++i) middles_[i] = (values_[i] + values_[i + 1]) / 2;
  middles_[255] = std::numeric_limits<float>::infinity();

  const auto below = [&](float x) {
    return static_cast<int32_t>(std::lower_bound(middles_.begin(), middles_.end(), x) - middles_.begin());
  };
  const auto up_to = [&](float x) {
    return static_cast<int32_t>(std::upper_bound(middles_.begin(), middles_.end(), x) - middles_.begin());
  };
  const auto edge = [](int32_t cell) {  // the smallest magnitude of a cell
    return cell == 0 ? 0.0f : std::bit_cast<float>((kFirstCell + cell) << kCellShift);
  };
  for (int32_t cell = 0; cell < kCells; ++cell) {
    cells_.push_back(below(edge(cell)));
    if (below(edge(cell + 1)) > cells_.back() + 1) bug("two codes of the dynamic map begin in one cell");
  }
  for (int32_t cell = 0; cell < kCells; ++cell) {
    cells_.push_back(up_to(-edge(cell + 1)));
    if (up_to(-edge(cell)) > cells_.back() + 1) bug("two codes of the dynamic map begin in one cell");
  }
}

const DynamicMap& signed_map() {
  static const DynamicMap map(true);
  return map;
}
const DynamicMap& unsigned_map() {
  static const DynamicMap map(false);
  return map;
}

int64_t blocks8(int64_t numbers) {
  return (numbers + kBlockSize8 - 1) / kBlockSize8;
}

void dequantise8(const uint8_t* codes, float absmax, int64_t n, const DynamicMap& map, float* out) {
  for (int64_t i = 0; i < n; ++i) out[i] = map.value(codes[i]) * absmax;
}

void quantise8(const float* x, int64_t n, const DynamicMap& map, uint8_t* codes, float* absmax) {
  using vec::Floats;
  using Ints = at::vec::Vectorized<int32_t>;
  Floats largest(0.0f);
  vec::for_each(n, [&](int64_t i, int64_t count) {
    largest = at::vec::maximum(largest, vec::load(x + i, count).abs());
  });
  *absmax = vec::max(largest);
  const Floats divisor(*absmax > 0 ? *absmax : 1.0f);
  const Ints zero(0), first(DynamicMap::kFirstCell), last(DynamicMap::kCells - 1),
      negative(DynamicMap::kCells), magnitude(0x7fffffff), shift(DynamicMap::kCellShift);
  vec::for_each(n, [&](int64_t i, int64_t count) {
    // DynamicMap::nearest by its cells, a vector at a time.
    const Floats number = vec::load(x + i, count) / divisor;
    const Ints bits = at::vec::cast<int32_t>(number);
    const Ints cell = at::vec::minimum(at::vec::maximum(((bits & magnitude) >> shift) - first, zero), last) +
                      ((bits < zero) & negative);
    const Ints below = at::vec::gather<sizeof(int32_t)>(map.cells(), cell);
    const Floats middle = at::vec::gather<sizeof(float)>(map.middles(), below);
    const Ints code = below - at::vec::cast<int32_t>(middle < number);  // true is -1
    int32_t lanes[vec::kWidth];
    code.store(lanes);
    for (int64_t lane = 0; lane < count; ++lane) codes[i + lane] = static_cast<uint8_t>(lanes[lane]);
  });
}

}  // namespace temper
