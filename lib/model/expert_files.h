// How the experts of a mixture lie in files.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace temper {

// The name here of what some files call otherwise: Mixtral's "block_sparse_moe", gpt-oss's "mlp.router",
// Gemma 4's "router" and "experts".
std::string usual_mlp_name(std::string name);

// MXFP4 (OCP Microscaling, as in gpt-oss's files): blocks [.., G, 16] uint8, two E2M1 numbers a byte, the low
// half first; scales [.., G] uint8, exponents of 2 with bias 127 -> [.., 32 G] fp32.
at::Tensor dequantise_mxfp4(const at::Tensor& blocks, const at::Tensor& scales);

}  // namespace temper
