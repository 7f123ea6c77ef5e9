// The blocks of blocks8.h by operators on whole tensors, for accelerators: the same codes and numbers as
// quantise8 and dequantise8 give.
#pragma once

#include <ATen/core/Tensor.h>

#include <utility>

#include "tensor/blocks8.h"

namespace temper {

// A DynamicMap on a device.
struct MapTensors {
  MapTensors(const DynamicMap& map, at::Device device);
  at::Tensor values, middles;  // [256], [255] fp32
};

// codes [n] uint8 and absmax [blocks8(n)] fp32 -> [blocks, 256] fp32, 0 behind the last number.
at::Tensor dequantise8(const at::Tensor& codes, const at::Tensor& absmax, const MapTensors& map);
// numbers [blocks, 256] fp32 -> codes [blocks, 256] uint8 and absmax [blocks] fp32.
std::pair<at::Tensor, at::Tensor> quantise8(const at::Tensor& numbers, const MapTensors& map);

// x [n] in any float type as fp32 blocks [blocks8(n), 256], 0 behind the last number; a view where x is whole
// blocks of fp32.
at::Tensor as_blocks8(const at::Tensor& x);

}  // namespace temper
