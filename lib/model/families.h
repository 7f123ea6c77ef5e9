// The families the decoder knows and what tells them apart. Adding one: an entry in families.cc and its test.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "model/config.h"

namespace temper {

// The defaults are llama's, so an entry of the table says what sets a family apart from it.
struct Family {
  // When attention looks back no further than sliding_window: never; unless the key is null; or only with
  // use_sliding_window, and then from layer max_window_layers on. Either way layer_types says it by layer.
  enum Window { kNone, kAlways, kSwitched };

  const char* name;            // config.json's model_type
  const char* architecture;    // config.json's architectures[0]
  const char* gguf = "llama";  // GGUF's general.architecture

  // What the blocks have.
  bool qkv_bias = false;       // q, k and v always have biases, whatever config.json says
  bool qk_norm = false;        // RMS norms of each head's q and k
  bool attention_bias = true;  // config.json's attention_bias is read: biases of q, k, v and o
  bool mlp_bias = true;        // config.json's mlp_bias is read
  Window window = kNone;

  // What a missing key of config.json means, as in transformers' config class.
  int64_t default_kv_heads = 0;  // 0: as many as heads
  int64_t default_head_dim = 0;  // 0: hidden / heads
  int64_t default_positions = 2048;
  bool default_bos_eos = true;  // token 1 begins and 2 ends a sequence; else there are none
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
