// Parameters as GGUF files hold them: their names, parts, and the order of their rows.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>
#include <vector>

#include "model/config.h"
#include "tensor/gguf.h"

namespace temper {

// The tensors that hold a parameter: one, or the gates and the ups of all experts, or what gives keys and
// values of latents. Empty: GGUF names none.
std::vector<std::string> gguf_names(const ModelConfig& config, const std::string& parameter);
// The same in a file that `has` tensors: gates and ups of experts may lie in one or apart in any.
std::vector<std::string> gguf_names_in(const ModelConfig& config, const std::string& parameter,
                                       const std::function<bool(const std::string& tensor)>& has);
// Of one of `parts` tensors that hold a parameter of this shape.
std::vector<int64_t> gguf_shape(const ModelConfig& config, const std::string& parameter,
                                const std::vector<int64_t>& shape, size_t part, size_t parts);
// Whether llama.cpp wants a tensor in fp32 in files of any type: vectors, routers, biases.
bool always_f32(const std::string& name, const std::vector<int64_t>& shape);

// One of `parts` tensors that hold a parameter; in fp32 where a file has other numbers than the folder.
at::Tensor to_gguf(const ModelConfig& config, const std::string& parameter, const at::Tensor& value,
                   size_t part, size_t parts);
// The parameter from all of them.
at::Tensor from_gguf(const ModelConfig& config, const std::string& parameter,
                     const std::vector<at::Tensor>& parts);

// The factors of an update B A of a parameter that one tensor holds, by the order of its rows and columns.
struct LowRank {
  at::Tensor a, b;  // [r, in], [out, r]
};
LowRank to_gguf(const ModelConfig& config, const std::string& parameter, const LowRank& update);

}  // namespace temper
