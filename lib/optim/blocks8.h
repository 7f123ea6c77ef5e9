// Numbers in 8 bits: blocks of 256, each with an fp32 absmax and codes into the dynamic map of Dettmers et
// al. (arXiv 2110.02861), bit for bit the block format of bitsandbytes.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>

namespace temper {

constexpr int64_t kBlockSize8 = 256;

// The 256 values of a code, ascending, within [-1, 1] (is_signed) or [0, 1].
class DynamicMap {
 public:
  explicit DynamicMap(bool is_signed);
  float value(uint8_t code) const { return values_[code]; }
  // The code whose value is nearest to x; the lower one of two at the same distance.
  uint8_t nearest(float x) const {
    unsigned code = 0;  // as many middles as lie below x: eight halvings without a branch
    for (unsigned half = 128; half > 0; half /= 2) code += middles_[code + half - 1] < x ? half : 0;
    return static_cast<uint8_t>(code);
  }
  const float* middles() const { return middles_.data(); }

 private:
  std::array<float, 256> values_;
  std::array<float, 255> middles_;  // between neighbours
};
const DynamicMap& signed_map();
const DynamicMap& unsigned_map();

int64_t blocks8(int64_t numbers);

// One block of n <= 256 numbers. Codes of a block of zeros are those of 0.
void dequantise8(const uint8_t* codes, float absmax, int64_t n, const DynamicMap& map, float* out);
void quantise8(const float* x, int64_t n, const DynamicMap& map, uint8_t* codes, float* absmax);

}  // namespace temper
