// The draws of RandomStream (base/random.h), made on the device that wants them.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string_view>

namespace temper {

// [rows, draws] int64: in row r the bits of the first draws, next(), of RandomStream(seed, purpose, step,
// first + r).
at::Tensor random_bits(uint64_t seed, std::string_view purpose, uint64_t step, uint64_t first, int64_t rows,
                       int64_t draws, at::Device device);

}  // namespace temper
