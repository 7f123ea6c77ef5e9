// A decoder's shape, read from and written to a Hugging Face config.json.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json_fwd.h"

namespace temper {

struct RopeScaling {
  std::string type = "default";  // "default", "linear", "llama3"
  double factor = 1.0, low_freq_factor = 1.0, high_freq_factor = 4.0;
  int64_t original_max_positions = 8192;
};

struct ModelConfig {
  std::string family;  // "llama", "mistral", "qwen2", "qwen3" (config.json's model_type)
  int64_t vocab = 0, hidden = 0, intermediate = 0, layers = 0, heads = 0, kv_heads = 0, head_dim = 0;
  int64_t max_positions = 2048;
  int64_t sliding_window = 0;           // 0: none
  std::vector<bool> layer_uses_window;  // per layer; empty: all when sliding_window > 0
  double norm_eps = 1e-6, rope_theta = 10000.0;
  RopeScaling rope;
  bool tied = false;   // the head is the embedding
  bool causal = true;  // has a language-model head
  int64_t scores = 0;  // outputs of the score head, "score.weight" [scores, hidden]; 0: none
  std::vector<std::string> score_names;  // of its outputs (id2label); empty: LABEL_0, LABEL_1 ...
  bool qkv_bias = false, out_bias = false, mlp_bias = false, qk_norm = false;
  std::vector<int64_t> eos_ids;
  std::optional<int64_t> bos_id, pad_id;

  // Both spellings (rope_theta/rope_scaling and rope_parameters). Throws UserError naming `where`, the key,
  // what was expected and what was found; unknown families list the known ones.
  static ModelConfig from_json(const Json& json, const std::string& where);
  Json to_json() const;  // what transformers reads
  int64_t parameter_count() const;
  int64_t window(int64_t layer) const;
};

}  // namespace temper
