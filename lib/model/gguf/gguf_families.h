// What GGUF's architectures hold of each family, and what llama.cpp computes without its file saying so: one
// table, by which files are read and written. Sources: the tensor map of the gguf Python package, llama.cpp's
// converters (what files hold) and its models (what is not in the file).
#pragma once

#include <string>
#include <vector>

#include "base/json_fwd.h"
#include "model/config.h"
#include "model/families.h"
#include "model/gguf/gguf_keys.h"
#include "tensor/gguf.h"

namespace temper {

struct GgufFamily {
  const char* family;  // config.json's model_type; Family::gguf is the architecture
  // llama.cpp turns neighbouring numbers (2i, 2i+1) of a head where transformers turns (i, i + D/2): its
  // converter reorders the rows of q and k. Those that turn neighbours in transformers, too, are kept.
  bool pairs = false;
  // The linears that may have biases: those of the attention where attention_bias says so, or the MLP's, too.
  enum Biases { kNoBiases, kAttentionBiases, kAllBiases };
  Biases biases = kNoBiases;
  // Sliding windows: the file has none, it has one that llama.cpp passes over, or llama.cpp computes it.
  enum Windows { kNoWindow, kStored, kComputed };
  Windows windows = kNoWindow;
  int64_t window_period = 0;          // of computed ones: every so many layers one sees all
  bool own_head = false;              // a tied head has no place: llama.cpp wants output.weight
  const char* mlp_norm = "ffn_norm";  // name of the norm before the MLP
  bool joined_experts = false;        // gates and ups of all experts in one tensor; either is read
  bool heads_fill_width = false;      // head_dim is hidden_size / num_attention_heads, whatever the file says
  // > 0: with so many layers the scores are divided by (hidden_size / num_attention_heads)^1/2 (the largest
  // Gemma of a generation), with others by head_dim^1/2.
  int64_t widest_layers = 0;
  bool truncates_yarn = true;  // of the model that the files were made from
  bool ropes_by_layer =
      false;                  // config.json has a rope for each kind of layer; those with a window: unscaled
  const char* fixed = "{}";   // of config.json: what llama.cpp has in its code
  std::vector<GgufKey> keys;  // beside the usual ones, or in their place
};

const GgufFamily& gguf_family(const Family& family);   // std::logic_error for one without GGUF files
std::vector<GgufKey> gguf_keys(const Family& family);  // the usual ones and its own

// The family that an architecture's file holds: by general.architecture, by whether there are experts, by
// whether there is a window. Throws UserError when there is none.
const Family& family_in(const GgufFile& file);

// The keys as JSON values by GgufKey::name: of a file (throws UserError when a needed one is missing or of
// another kind), of a model, and into a file.
Json read_gguf_keys(const GgufFile& file, const Family& family);
Json gguf_metadata(const ModelConfig& config);
void write_gguf_keys(const Family& family, const Json& metadata, GgufWriter& writer);

}  // namespace temper
