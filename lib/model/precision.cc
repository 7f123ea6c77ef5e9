#include "model/precision.h"

#include <ATen/ATen.h>

#include "base/error.h"
#include "tensor/device.h"

namespace temper {
namespace {

// Processors with AMX have AVX512-BF16 too, and oneDNN uses AMX only where both are there.
bool has_bf16_units() {
#if defined(__x86_64__)
  return __builtin_cpu_supports("avx512bf16");
#else
  return false;
#endif
}

}  // namespace

Precision make_precision(const std::string& dtype, const std::string& device) {
  Precision precision;
  try {
    precision.device = at::Device(device);
  } catch (const std::exception&) {
    user_error("device: expected \"cpu\" or \"cuda\", found \"{}\"", device);
  }
  if (precision.device.is_cuda()) load_cuda();
  // A device of the tests, where they have registered one.
  const bool of_tests = precision.device.is_privateuseone() && c10::is_privateuse1_backend_registered();
  if (!precision.device.is_cpu() && !precision.device.is_cuda() && !of_tests) {
    user_error("device: expected \"cpu\" or \"cuda\", found \"{}\"", device);
  }
  if (dtype == "auto") {
    const bool units = precision.device.is_cuda() ? cuda_has_bf16() : has_bf16_units();
    precision.compute = units ? at::kBFloat16 : at::kFloat;
  } else if (dtype == "bf16") {
    precision.compute = at::kBFloat16;
    if (precision.device.is_cuda() && !cuda_has_bf16())
      user_error("dtype: bf16: this GPU has no units for it (compute capability 8.0 has); use f32");
  } else if (dtype == "f32") {
    precision.compute = at::kFloat;
  } else {
    user_error("dtype: expected auto, bf16 or f32, found \"{}\"", dtype);
  }
  return precision;
}

const char* dtype_name(at::ScalarType dtype) {
  switch (dtype) {
    case at::kFloat:
      return "f32";
    case at::kBFloat16:
      return "bf16";
    case at::kHalf:
      return "f16";
    case at::kDouble:
      return "f64";
    default:
      return "other";
  }
}

}  // namespace temper
