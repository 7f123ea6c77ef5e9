// The families the decoder knows and what tells them apart. README.md of this folder says how to add one.
#pragma once

#include <cstdint>
#include <string>
#include <utility>
#include <vector>

#include "base/json_fwd.h"
#include "model/config.h"

namespace temper {

// Names of a block's norms, in front of and behind its two sub-layers; null: there is none. Those behind
// stand before the result is added to the stream.
struct BlockNorms {
  const char* before_attention = "input_layernorm";
  const char* after_attention = nullptr;
  const char* before_mlp = "post_attention_layernorm";
  const char* after_mlp = nullptr;
};

// The defaults are llama's, so an entry of the table says what sets a family apart from it.
struct Family {
  const char* name;          // config.json's model_type
  const char* architecture;  // config.json's architectures[0]
  const char* gguf =
      "llama";  // GGUF's general.architecture; null: llama.cpp names none that computes the same

  BlockNorms norms = {};
  bool norms_add_one = false;  // all norms multiply by 1 + weight
  QkNorm qk_norm = QkNorm::kNone;
  bool qkv_bias = false;           // q, k and v always have biases, whatever config.json says
  bool out_bias = true;            // config.json's attention_bias is o's too, and not q's, k's and v's alone
  bool fused_qkv = false;          // "qkv_proj" in place of q_proj, k_proj and v_proj
  bool fused_gate_up = false;      // "gate_up_proj" in place of gate_proj and up_proj
  bool interleaved_rope = false;   // neighbours turn together
  bool scales_embeddings = false;  // by sqrt(hidden_size)
  bool grows_queries = false;      // rope's llama_4_scaling_beta is read
  bool sinks = false;              // see ModelConfig
  bool gated = false;
  bool clamps_gates = false;  // experts' activation is clamped_swiglu

  // How the experts of a mixture lie in its files; null: the family has none. Names behind "model.layers.N.";
  // each expert's matrices by themselves, PREFIX "N." GATE ".weight" and so on, or, without the last three
  // names, those of all in one tensor with their inputs first.
  struct ExpertFiles {
    const char *router, *prefix, *gate = nullptr, *up = nullptr, *down = nullptr;
  };
  const ExpertFiles* expert_files = nullptr;
  Experts::Router router = Experts::Router::kSoftmax;

  // The keys of config.json that this family reads beside those that all read (families.cc lists them), as a
  // JSON object with what each means when it is missing, as in transformers' config class. Those of other
  // families are passed over, as transformers does.
  const char* keys = "{}";
};
const std::vector<Family>& families();
const Family* find_family(const std::string& name);            // null when unknown
const Family& family_of(const ModelConfig& config);            // std::logic_error when unknown
std::string family_names();                                    // "llama, mistral, ..."
bool reads_key(const Family& family, const std::string& key);  // whether `keys` has it
// What a config.json of the family says, with its missing keys filled in and without those of other families.
Json filled_config(const Family& family, const Json& json);
// What sets a family apart whatever a config says, and what sets a model apart, a line each; in knobs.cc.
std::vector<std::string> family_traits(const Family& family);
std::vector<std::string> used_knobs(const ModelConfig& config);

// Names of a mixture's parameters behind "model.layers.N.", those of transformers 5: the experts of a layer
// are two tensors, [E, 2 I, H] with the gates' rows first, and [E, H, I].
constexpr const char* kRouter = "mlp.gate";  // ".weight" [E, H], ".bias" [E]
constexpr const char* kRouterCorrection = "mlp.gate.e_score_correction_bias";  // [E], never trained
constexpr const char* kExpertsGateUp = "mlp.experts.gate_up_proj";             // "_bias": [E, 2 I]
constexpr const char* kExpertsDown = "mlp.experts.down_proj";                  // "_bias": [E, H]
// Whether a stored tensor is no parameter but a constant of the model.
bool is_constant(const std::string& name);

using NamedShapes = std::vector<std::pair<std::string, std::vector<int64_t>>>;

// Every parameter and its shape in Hugging Face order and names; a tied head is not listed, a score head is
// the last.
NamedShapes parameter_shapes(const ModelConfig& config);
// Module paths of all linears in order ("model.layers.0.self_attn.q_proj" ...), without embedding and head.
std::vector<std::string> linear_module_names(const ModelConfig& config);

// The linears of a block that share an input, by their last names, in the order of their rows. Those of the
// MLP: of layers without experts.
struct BlockLinears {
  using Parts = std::vector<std::pair<std::string, int64_t>>;  // name, rows
  Parts qkv, q_up, kv_up, out;                                 // q_up and kv_up: of latent attention
  Parts mix_in, mix_out;                                       // of linear attention, in place of these
  Parts gate_up, down, shared_gate_up, shared_down;            // shared: of layers with experts
};
BlockLinears block_linears(const ModelConfig& config);

}  // namespace temper
