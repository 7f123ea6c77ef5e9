// Files of few bits: which weights of a model get which type.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "model/config.h"
#include "tensor/gguf.h"

namespace temper {

// The names that llama.cpp gives such files, in lower case: "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q4_0".
const std::vector<std::string>& gguf_mixtures();
// general.file_type of one.
uint32_t gguf_file_type(const std::string& mixture);

// Gives the tensors that are neither vectors nor otherwise always in fp32 (gguf_tensors.h) the types that
// llama-quantize gives them without an importance matrix: most get the mixture's, the head and in _m files
// some values and down projections more bits, and rows that are no whole blocks another type.
void choose_types(const std::string& mixture, const ModelConfig& config, const std::string& architecture,
                  std::vector<GgufTensor>& tensors);

}  // namespace temper
