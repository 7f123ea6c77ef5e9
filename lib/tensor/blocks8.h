// Numbers in 8 bits: blocks of 256, each with an fp32 absmax and codes into the dynamic map of Dettmers
// (arXiv:1511.04561; et al., arXiv:2110.02861), bit for bit the block format of bitsandbytes.
#pragma once

#include <array>
#include <cstdint>
#include <vector>

namespace temper {

constexpr int64_t kBlockSize8 = 256;

// The 256 values of a code, ascending, within [-1, 1] (is_signed) or [0, 1]: bitsandbytes'
// create_dynamic_map(). As many digits as the exponent leaves room for.
class DynamicMap {
 public:
  explicit DynamicMap(bool is_signed);
  float value(uint8_t code) const { return values_[code]; }
  const float* values() const { return values_.data(); }
  // The code whose value is nearest to x; the lower one of two at the same distance.
  uint8_t nearest(float x) const {
    unsigned code = 0;  // as many middles as lie below x: eight halvings without a branch
    for (unsigned half = 128; half > 0; half /= 2) code += middles_[code + half - 1] < x ? half : 0;
    return static_cast<uint8_t>(code);
  }

  // A shorter way to nearest() for x in [-1, 1]: numbers of one sign, exponent and first 7 bits of the
  // mantissa are a cell, which holds one middle at most. cells() has, by cell, how many middles lie below it;
  // x's code is that number, and one more when middles()[number] < x. Cells of negative numbers come behind
  // the kCells of the others.
  static constexpr int32_t kCellShift = 16;                       // of the bits of |x|
  static constexpr int32_t kFirstCell = (127 - 24) << 7;          // no middle lies within 2^-24 of 0
  static constexpr int32_t kCells = (127 << 7) - kFirstCell + 1;  // the last is 1 alone
  const int32_t* cells() const { return cells_.data(); }
  const float* middles() const { return middles_.data(); }

 private:
  std::array<float, 256> values_;
  std::array<float, 256> middles_;  // between neighbours; behind the last, infinity
  std::vector<int32_t> cells_;
};
const DynamicMap& signed_map();
const DynamicMap& unsigned_map();

int64_t blocks8(int64_t numbers);

// One block of n <= 256 numbers. Codes of a block of zeros are those of 0.
void dequantise8(const uint8_t* codes, float absmax, int64_t n, const DynamicMap& map, float* out);
void quantise8(const float* x, int64_t n, const DynamicMap& map, uint8_t* codes, float* absmax);

}  // namespace temper
