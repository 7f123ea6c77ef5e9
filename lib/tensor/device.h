// The libraries of an accelerator, loaded when one is asked for: the programs themselves stand on
// libtorch_cpu alone, and start on machines without NVIDIA's libraries.
#pragma once

#include <string>

namespace temper {

// Loads libtorch_cuda from beside libtorch_cpu and sees that there is a GPU. It must come before the first
// tensor, random seed and backward pass of the process, which otherwise settle that there is none. Throws
// UserError when LibTorch was made without CUDA, one of NVIDIA's libraries is missing, or there is no driver
// or no GPU. Again: does nothing.
void load_cuda();

}  // namespace temper
