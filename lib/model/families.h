// The families the decoder knows and what tells them apart. Adding one: a line in families.cc and its test.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "model/config.h"

namespace temper {

struct Family {
  const char* name;          // config.json's model_type
  const char* architecture;  // config.json's architectures[0]
  const char* gguf;          // GGUF's general.architecture
  // What a missing key of config.json means, as in transformers' config class.
  int64_t default_kv_heads;  // 0: as many as heads
  int64_t default_head_dim;  // 0: hidden / heads
  int64_t default_positions;
  bool qkv_bias;       // always there; else attention_bias says (q, k, v and o)
  bool optional_bias;  // attention_bias and (llama) mlp_bias are read
  bool qk_norm;
  enum Window {
    kNone,
    kAlways,
    kSwitched
  } window;  // never, whenever sliding_window is set, only with use_sliding_window
};
const std::vector<Family>& families();
const Family* find_family(const std::string& name);  // null when unknown
std::string family_names();                          // "llama, mistral, ..."

using NamedShapes = std::vector<std::pair<std::string, std::vector<int64_t>>>;

// Every parameter and its shape in Hugging Face order and names; a tied head is not listed, a score head is
// the last.
NamedShapes parameter_shapes(const ModelConfig& config);
// Module paths of all linears in order ("model.layers.0.self_attn.q_proj" ...), without embedding and head.
std::vector<std::string> linear_module_names(const ModelConfig& config);

}  // namespace temper
