#include "optim/blocks8_tensors.h"

#include <ATen/ATen.h>

namespace temper {

MapTensors::MapTensors(const DynamicMap& map, at::Device device)
    : values(at::tensor(at::ArrayRef<float>(map.values(), 256), at::kFloat).to(device)),
      middles(at::tensor(at::ArrayRef<float>(map.middles(), 255), at::kFloat).to(device)) {}

at::Tensor as_blocks8(const at::Tensor& x) {
  const int64_t blocks = blocks8(x.numel());
  at::Tensor numbers = x.to(at::kFloat);
  if (blocks * kBlockSize8 != x.numel())
    numbers = at::constant_pad_nd(numbers, {0, blocks * kBlockSize8 - x.numel()});
  return numbers.view({blocks, kBlockSize8});
}

at::Tensor dequantise8(const at::Tensor& codes, const at::Tensor& absmax, const MapTensors& map) {
  return as_blocks8(map.values.index_select(0, codes.to(at::kInt))).mul_(absmax.unsqueeze(1));
}

std::pair<at::Tensor, at::Tensor> quantise8(const at::Tensor& numbers, const MapTensors& map) {
  const at::Tensor absmax = numbers.abs().amax(1);
  const at::Tensor divisor = absmax.masked_fill(absmax == 0, 1.0);
  // As many middles as lie below the number, which is the lower code of two at the same distance.
  const at::Tensor codes = at::bucketize(numbers / divisor.unsqueeze(1), map.middles, /*out_int32=*/true);
  return {codes.to(at::kByte), absmax};
}

}  // namespace temper
