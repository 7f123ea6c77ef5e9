// The libraries of an accelerator, loaded when one is asked for: the programs themselves stand on
// libtorch_cpu alone, and start on machines without NVIDIA's libraries.
#pragma once

#include <c10/core/Device.h>

#include <cstdint>

namespace temper {

// Loads libtorch_cuda from beside libtorch_cpu, sees that there is a GPU that works, and has ATen take
// kernels that give the same bits twice. It must come before the first tensor, random seed and backward pass
// of the process, which otherwise settle that there is none. Throws UserError when LibTorch was made without
// CUDA, one of NVIDIA's libraries is missing, there is no driver or no GPU, or another process holds it.
// Again: does nothing.
void load_cuda();

// Whether the GPU that load_cuda found has matrix units for bf16 (compute capability 8.0 and newer).
bool cuda_has_bf16();

// The most bytes of a GPU's memory that tensors held at one time so far; 0 for the host.
int64_t peak_device_bytes(c10::Device device);

}  // namespace temper
