// Parameters as GGUF files hold them: their names, parts, and the order of their rows.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "model/config.h"
#include "tensor/gguf.h"

namespace temper {

// The tensors that hold a parameter: one, or the gates and the ups of all experts. Empty: GGUF names none.
std::vector<std::string> gguf_names(const ModelConfig& config, const std::string& parameter);
std::vector<int64_t> gguf_shape(const std::vector<int64_t>& parameter_shape, size_t parts);
// Whether llama.cpp wants a tensor in fp32 in files of any type: vectors, routers, biases.
bool always_f32(const std::string& name, const std::vector<int64_t>& shape);

// One of the tensors that hold a parameter; it in fp32 where norms are stored with their 1.
at::Tensor to_gguf(const ModelConfig& config, const std::string& parameter, const at::Tensor& value,
                   size_t part);
// The parameter from all of them.
at::Tensor from_gguf(const ModelConfig& config, const std::string& parameter,
                     const std::vector<at::Tensor>& parts);

}  // namespace temper
