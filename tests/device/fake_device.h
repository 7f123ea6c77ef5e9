// An accelerator for the tests: a device whose memory the host cannot read.
//
// Its type is PrivateUse1 under the name "fake". A tensor's address lies in a reservation without access, so
// host code that reads or writes through it faults; the bytes are in a second mapping at a fixed distance,
// which only the device knows. Operators run as the CPU's on copies, views are the real ones, and tensors of
// one operator must be on one device, as CUDA's kernels want it; operators that CUDA alone has are here with
// what they ask of their arguments (fake_kernels.cc). What it cannot show: missing
// synchronisation, and CUDA's own rounding.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>

namespace temper::fake {

inline const at::Device kFake(c10::kPrivateUse1, 0);

struct Counters {
  int64_t operators = 0, scalars_read = 0, to_device = 0, to_host = 0;  // copies, whole tensors
  int64_t largest = 0;                                                  // tensor that was made, bytes
  std::map<std::string, int64_t> by_name;                               // operators
};
Counters& counters();

// Registers the device; once a process.
void start();

// The same bytes as a tensor of the host; a tensor of the host itself as it is. For the device's own
// operators.
at::Tensor on_host_memory(const at::Tensor& t);
// Counts an operator.
void count(const std::string& name);

}  // namespace temper::fake
