// Which dtype does what (DESIGN 5): parameters, compute, reduction. Reductions are always fp32.
#pragma once

#include <c10/core/Device.h>
#include <c10/core/ScalarType.h>

#include <string>

#include "tensor/quantised.h"

namespace temper {

struct Precision {
  at::ScalarType compute = at::kFloat;  // activations and the weights that products read
  at::Device device = at::kCPU;
  QuantFormat quantise = {};  // of the weights of experts and of all linears but the heads; they cannot train
};

// "auto" is bf16 where the processor (AMX or AVX512-BF16) or GPU has matrix units for it, else fp32; "bf16"
// and "f32" as said. Throws UserError on other names, an unknown device or one that load_cuda refuses, and
// for bf16 on a GPU without such units.
Precision make_precision(const std::string& dtype, const std::string& device);

const char* dtype_name(at::ScalarType dtype);  // "f32", "bf16", "f16"

}  // namespace temper
