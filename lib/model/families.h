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

// Last names of other parts of a model, as its files have them.
struct PartNames {
  const char* out = "self_attn.o_proj";
  const char* q_norm = "self_attn.q_norm";
  const char* k_norm = "self_attn.k_norm";
  const char* gate = "mlp.gate_proj";
  const char* up = "mlp.up_proj";
  const char* down = "mlp.down_proj";
  const char* last_norm = "model.norm";
};

// The defaults are llama's, so an entry of the table says what sets a family apart from it.
struct Family {
  const char* name;          // config.json's model_type
  const char* architecture;  // config.json's architectures[0]
  const char* gguf =
      "llama";  // GGUF's general.architecture; null: llama.cpp names none that computes the same

  BlockNorms norms = {};
  PartNames parts = {};
  bool norms_add_one = false;  // all norms multiply by 1 + weight
  QkNorm qk_norm = QkNorm::kNone;
  bool norms_values = false;       // of each head, too, without a weight
  bool unscaled = false;           // scores of attention are not divided by sqrt(head_dim)
  bool scales_layers = false;      // each block's result is multiplied by a stored number
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
  // each expert's matrices by themselves, PREFIX "N." GATE ".weight" and so on, or, without these three
  // names, those of all in one tensor, as in memory or with their inputs first. The MLP of all tokens: SHARED
  // "gate_proj" and so on.
  struct ExpertFiles {
    const char *router, *prefix, *gate = nullptr, *up = nullptr, *down = nullptr;
    bool inputs_first = false;
    const char* shared = "mlp.shared_experts.";
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
constexpr const char* kRouterScale = "mlp.gate.scale";                         // [H], of its input
constexpr const char* kExpertScale = "mlp.gate.per_expert_scale";              // [E], of what each gives
constexpr const char* kSharedGate = "mlp.shared_expert_gate";                  // ".weight" [1, H]
constexpr const char* kExpertsGateUp = "mlp.experts.gate_up_proj";             // "_bias": [E, 2 I]
constexpr const char* kExpertsDown = "mlp.experts.down_proj";                  // "_bias": [E, H]
// Norms behind the MLP, in front of the experts and behind them, where both stand beside each other.
constexpr const char* kAfterDense = "post_feedforward_layernorm_1";
constexpr const char* kBeforeExperts = "pre_feedforward_layernorm_2";
constexpr const char* kAfterExperts = "post_feedforward_layernorm_2";
constexpr const char* kLayerScale = "layer_scalar";  // [1], never trained
// Whether a stored tensor is no parameter but a constant of the model, and whether it is fp32 in all files.
bool is_constant(const std::string& name);
bool is_fp32_constant(const std::string& name);

// Of the layers' own embeddings; see own_embeddings.h.
constexpr const char* kOwnTable = "model.embed_tokens_per_layer.weight";    // [V, L P]
constexpr const char* kOwnProjection = "model.per_layer_model_projection";  // ".weight" [L P, H]
constexpr const char* kOwnNorm = "model.per_layer_projection_norm.weight";  // [P]
constexpr const char* kOwnAfter = "post_per_layer_input_norm.weight";       // of a layer, [H]

using NamedShapes = std::vector<std::pair<std::string, std::vector<int64_t>>>;

// Every parameter and its shape in Hugging Face order and names; a tied head is not listed, a score head is
// the last.
NamedShapes parameter_shapes(const ModelConfig& config);
// Module paths of all linears in order ("model.layers.0.self_attn.q_proj" ...), without embedding and head.
std::vector<std::string> linear_module_names(const ModelConfig& config);

// Linears that share an input, by their last names, in the order of their rows.
struct LinearParts {
  std::vector<std::pair<std::string, int64_t>> parts;  // name, rows
  int64_t columns = 0;
  bool bias = false;
};

// Those of a layer; without parts: there is none.
struct BlockLinears {
  LinearParts qkv, q_up, kv_up, out;  // q_up and kv_up: of latent attention
  LinearParts mix_in, mix_out;        // of linear attention or a short convolution, in the place of these
  LinearParts gate_up, down;          // of the MLP that is no expert
  LinearParts shared_gate_up, shared_down,
      shared_gate;                              // of the one beside experts that all tokens go through
  LinearParts own_gate, own_out;                // of the layer's own embeddings
  std::vector<const LinearParts*> all() const;  // in order
};
BlockLinears block_linears(const ModelConfig& config, int64_t layer);
// What makes all layers' own embeddings of the first block's input.
LinearParts own_embedding_linear(const ModelConfig& config);

}  // namespace temper
