#include "model/families.h"

#include <set>

#include "base/error.h"
#include "base/json.h"

namespace temper {
namespace {

// Four norms a block, the MLP's in front of it by its own name.
constexpr BlockNorms kGemmaNorms = {"input_layernorm", "post_attention_layernorm",
                                    "pre_feedforward_layernorm", "post_feedforward_layernorm"};
// None in front of the sub-layers.
constexpr BlockNorms kOlmoNorms = {nullptr, "post_attention_layernorm", nullptr,
                                   "post_feedforward_layernorm"};

constexpr Family::ExpertFiles kQwenExperts = {"mlp.gate", "mlp.experts.", "gate_proj", "up_proj",
                                              "down_proj"};
constexpr Family::ExpertFiles kMixtralExperts = {"block_sparse_moe.gate", "block_sparse_moe.experts.", "w1",
                                                 "w3", "w2"};
constexpr Family::ExpertFiles kGptOssExperts = {
    .router = "mlp.router", .prefix = "mlp.experts.", .inputs_first = true};
constexpr Family::ExpertFiles kQwen35Experts = {
    .router = "mlp.gate", .prefix = "mlp.experts.", .shared = "mlp.shared_expert."};
constexpr Family::ExpertFiles kGemmaExperts = {.router = "router.proj", .prefix = "experts."};

}  // namespace

const std::vector<Family>& families() {
  static const std::vector<Family> table = {
      {.name = "llama",
       .architecture = "LlamaForCausalLM",
       .keys = R"({"attention_bias": false, "mlp_bias": false, "bos_token_id": 1, "eos_token_id": 2})"},
      {.name = "mistral",  // llama.cpp has no architecture of its own for it
       .architecture = "MistralForCausalLM",
       .keys = R"({"num_key_value_heads": 8, "max_position_embeddings": 131072, "sliding_window": 4096,
                   "layer_types": null, "bos_token_id": 1, "eos_token_id": 2})"},
      {.name = "qwen2",
       .architecture = "Qwen2ForCausalLM",
       .gguf = "qwen2",
       .qkv_bias = true,
       .keys = R"({"num_key_value_heads": 32, "max_position_embeddings": 32768, "use_sliding_window": false,
                   "sliding_window": 4096, "max_window_layers": 28, "layer_types": null})"},
      {.name = "qwen3",
       .architecture = "Qwen3ForCausalLM",
       .gguf = "qwen3",
       .qk_norm = QkNorm::kHead,
       .keys = R"({"num_key_value_heads": 32, "head_dim": 128, "max_position_embeddings": 32768,
                   "attention_bias": false, "use_sliding_window": false, "sliding_window": 4096,
                   "max_window_layers": 28, "layer_types": null})"},
      {.name = "gemma2",
       .architecture = "Gemma2ForCausalLM",
       .gguf = "gemma2",
       .norms = kGemmaNorms,
       .norms_add_one = true,
       .scales_embeddings = true,
       .keys = R"({"num_key_value_heads": 4, "head_dim": 256, "max_position_embeddings": 8192,
                   "hidden_activation": "gelu_pytorch_tanh", "attention_bias": false,
                   "query_pre_attn_scalar": 256, "attn_logit_softcapping": 50.0,
                   "final_logit_softcapping": 30.0, "sliding_window": 4096, "layer_types": null,
                   "sliding_window_pattern": 2, "use_bidirectional_attention": null,
                   "tie_word_embeddings": true, "bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0})"},
      {.name = "gemma3_text",
       .architecture = "Gemma3ForCausalLM",
       .gguf = "gemma3",
       .norms = kGemmaNorms,
       .norms_add_one = true,
       .qk_norm = QkNorm::kHead,
       .scales_embeddings = true,
       .keys = R"({"num_key_value_heads": 4, "head_dim": 256, "max_position_embeddings": 131072,
                   "hidden_activation": "gelu_pytorch_tanh", "attention_bias": false,
                   "query_pre_attn_scalar": 256, "final_logit_softcapping": null, "sliding_window": 4096,
                   "layer_types": null, "sliding_window_pattern": 6, "use_bidirectional_attention": false,
                   "rope_theta": 1000000.0, "rope_local_base_freq": 10000.0, "tie_word_embeddings": true,
                   "bos_token_id": 2, "eos_token_id": 1, "pad_token_id": 0})"},
      {.name = "gemma4_text",
       .architecture = "Gemma4ForCausalLM",
       .gguf = "gemma4",
       .norms = kGemmaNorms,
       .qk_norm = QkNorm::kHead,
       .norms_values = true,
       .unscaled = true,
       .scales_layers = true,
       .scales_embeddings = true,
       .expert_files = &kGemmaExperts,
       .keys = R"({"num_key_value_heads": 4, "head_dim": 256, "max_position_embeddings": 131072,
                   "hidden_activation": "gelu_pytorch_tanh", "attention_bias": false,
                   "final_logit_softcapping": null, "sliding_window": 512, "layer_types": null,
                   "sliding_window_pattern": 6, "use_bidirectional_attention": null,
                   "rope_parameters": {
                     "sliding_attention": {"rope_type": "default", "rope_theta": 10000.0},
                     "full_attention": {"rope_type": "proportional", "partial_rotary_factor": 0.25,
                                        "rope_theta": 1000000.0}},
                   "global_head_dim": 512, "num_global_key_value_heads": null, "per_layer_config": null,
                   "attention_k_eq_v": false, "num_kv_shared_layers": 0, "use_double_wide_mlp": false,
                   "vocab_size_per_layer_input": 262144, "hidden_size_per_layer_input": 256,
                   "enable_moe_block": false, "num_experts": null, "top_k_experts": null,
                   "moe_intermediate_size": null, "tie_word_embeddings": true, "bos_token_id": 2,
                   "eos_token_id": 1, "pad_token_id": 0})"},
      {.name = "phi3",
       .architecture = "Phi3ForCausalLM",
       .gguf = "phi3",
       .fused_qkv = true,
       .fused_gate_up = true,
       .keys = R"({"max_position_embeddings": 4096, "original_max_position_embeddings": 4096,
                   "rms_norm_eps": 1e-5, "partial_rotary_factor": 1.0, "sliding_window": null,
                   "bos_token_id": 1, "eos_token_id": 32000, "pad_token_id": 32000})"},
      {.name = "glm4",
       .architecture = "Glm4ForCausalLM",
       .gguf = "glm4",
       .norms = {"input_layernorm", "post_self_attn_layernorm", "post_attention_layernorm",
                 "post_mlp_layernorm"},
       .out_bias = false,
       .fused_gate_up = true,
       .interleaved_rope = true,
       .keys = R"({"num_key_value_heads": 2, "head_dim": 128, "max_position_embeddings": 131072,
                   "rms_norm_eps": 1.5625e-7, "partial_rotary_factor": 0.5, "attention_bias": true,
                   "eos_token_id": [151329, 151336, 151338], "pad_token_id": 151329})"},
      {.name = "granite",
       .architecture = "GraniteForCausalLM",
       .gguf = "granite",
       .keys = R"({"attention_bias": false, "mlp_bias": false, "embedding_multiplier": 1.0,
                   "attention_multiplier": 1.0, "residual_multiplier": 1.0, "logits_scaling": 1.0,
                   "bos_token_id": 1, "eos_token_id": 2})"},
      {.name = "olmo2",
       .architecture = "Olmo2ForCausalLM",
       .gguf = "olmo2",
       .norms = kOlmoNorms,
       .qk_norm = QkNorm::kWhole,
       .keys =
           R"({"rms_norm_eps": 1e-5, "attention_bias": false, "eos_token_id": 50279, "pad_token_id": 1})"},
      {.name = "olmo3",
       .architecture = "Olmo3ForCausalLM",
       .gguf = "olmo2",
       .norms = kOlmoNorms,
       .qk_norm = QkNorm::kWhole,
       .keys = R"({"rms_norm_eps": 1e-5, "attention_bias": false, "sliding_window": 4096,
                   "layer_types": null, "sliding_window_pattern": 4, "rope_theta": 500000.0,
                   "rope_local_base_freq": 500000.0, "eos_token_id": 50279, "pad_token_id": 1})"},
      {.name = "smollm3",
       .architecture = "SmolLM3ForCausalLM",
       .gguf = "smollm3",
       .keys = R"({"num_key_value_heads": 4, "max_position_embeddings": 32768, "rope_theta": 2000000.0,
                   "attention_bias": false, "mlp_bias": false, "use_sliding_window": false,
                   "sliding_window": null, "layer_types": null, "no_rope_layers": null,
                   "no_rope_layer_interval": 4, "tie_word_embeddings": true, "bos_token_id": 128000,
                   "eos_token_id": 128001, "pad_token_id": 128004})"},
      {.name = "ministral3",
       .architecture = "Ministral3ForCausalLM",
       .gguf = "mistral3",
       .grows_queries = true,
       .keys = R"({"num_key_value_heads": 8, "head_dim": 128, "max_position_embeddings": 262144,
                   "rms_norm_eps": 1e-5, "sliding_window": null, "layer_types": null,
                   "rope_parameters": {"rope_type": "yarn", "rope_theta": 1000000.0, "factor": 16.0,
                     "original_max_position_embeddings": 16384, "beta_fast": 32.0, "beta_slow": 1.0,
                     "mscale": 1.0, "mscale_all_dim": 1.0, "llama_4_scaling_beta": 0.1},
                   "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 11})"},
      {.name = "qwen3_moe",
       .architecture = "Qwen3MoeForCausalLM",
       .gguf = "qwen3moe",
       .qk_norm = QkNorm::kHead,
       .expert_files = &kQwenExperts,
       .keys = R"({"num_key_value_heads": 4, "max_position_embeddings": 32768, "attention_bias": false,
                   "use_sliding_window": false, "sliding_window": 4096, "decoder_sparse_step": 1,
                   "mlp_only_layers": [], "num_experts": null, "num_local_experts": 128,
                   "num_experts_per_tok": 8, "moe_intermediate_size": 768, "norm_topk_prob": false,
                   "router_aux_loss_coef": 0.001})"},
      {.name = "mixtral",
       .architecture = "MixtralForCausalLM",
       .gguf = "llama",
       .expert_files = &kMixtralExperts,
       .keys = R"({"num_key_value_heads": 8, "max_position_embeddings": 131072, "rms_norm_eps": 1e-5,
                   "rope_theta": 1000000.0, "sliding_window": null, "num_experts": null,
                   "num_local_experts": 8, "num_experts_per_tok": 2, "router_aux_loss_coef": 0.001,
                   "router_jitter_noise": 0.0, "bos_token_id": 1, "eos_token_id": 2})"},
      {.name = "gpt_oss",
       .architecture = "GptOssForCausalLM",
       .gguf = "gpt-oss",
       .sinks = true,
       .clamps_gates = true,
       .expert_files = &kGptOssExperts,
       .router = Experts::Router::kSoftmaxOfChosen,
       .keys = R"({"num_key_value_heads": 8, "head_dim": 64, "max_position_embeddings": 131072,
                   "rms_norm_eps": 1e-5, "attention_bias": true, "sliding_window": 128, "layer_types": null,
                   "sliding_window_pattern": 2,
                   "rope_parameters": {"rope_type": "yarn", "rope_theta": 150000.0, "factor": 32.0,
                     "original_max_position_embeddings": 4096, "beta_fast": 32.0, "beta_slow": 1.0,
                     "truncate": false},
                   "rope_theta": 150000.0, "num_experts": null, "num_local_experts": 128,
                   "num_experts_per_tok": 4, "router_aux_loss_coef": 0.001, "swiglu_limit": 7.0,
                   "swiglu_alpha": 1.702})"},
      {.name = "glm4_moe",
       .architecture = "Glm4MoeForCausalLM",
       .gguf = "glm4moe",
       .out_bias = false,
       .expert_files = &kQwenExperts,
       .router = Experts::Router::kSigmoid,
       .keys = R"({"num_key_value_heads": 8, "max_position_embeddings": 131072, "rms_norm_eps": 1e-5,
                   "partial_rotary_factor": 0.5, "attention_bias": false, "use_qk_norm": false,
                   "first_k_dense_replace": 1, "n_routed_experts": 128, "num_experts_per_tok": 8,
                   "moe_intermediate_size": 1408, "n_shared_experts": 1, "n_group": 1, "topk_group": 1,
                   "norm_topk_prob": true, "routed_scaling_factor": 1.0})"},
      {.name = "deepseek_v3",
       .architecture = "DeepseekV3ForCausalLM",
       .gguf = "deepseek2",
       .interleaved_rope = true,
       .expert_files = &kQwenExperts,
       .router = Experts::Router::kSigmoid,
       .keys = R"({"num_key_value_heads": 128, "max_position_embeddings": 4096, "attention_bias": false,
                   "first_k_dense_replace": 3, "n_routed_experts": 256, "num_experts_per_tok": 8,
                   "moe_intermediate_size": 2048, "n_shared_experts": 1, "n_group": 8, "topk_group": 4,
                   "norm_topk_prob": true, "routed_scaling_factor": 2.5, "q_lora_rank": 1536,
                   "kv_lora_rank": 512, "qk_nope_head_dim": 128, "qk_rope_head_dim": 64, "v_head_dim": 128,
                   "rope_interleave": true, "bos_token_id": 0, "eos_token_id": 1})"},
      {.name = "qwen3_5_text",
       .architecture = "Qwen3_5ForCausalLM",
       .gguf = "qwen35",
       .norms_add_one = true,
       .qk_norm = QkNorm::kHead,
       .gated = true,
       .keys = R"({"num_key_value_heads": 4, "head_dim": 256, "max_position_embeddings": 32768,
                   "partial_rotary_factor": 0.25, "attention_bias": false, "layer_types": null,
                   "full_attention_interval": 4, "linear_num_key_heads": 16, "linear_num_value_heads": 32,
                   "linear_key_head_dim": 128, "linear_value_head_dim": 128,
                   "linear_conv_kernel_dim": 4})"},
      {.name = "qwen3_5_moe_text",
       .architecture = "Qwen3_5MoeForCausalLM",
       .gguf = "qwen35moe",
       .norms_add_one = true,
       .qk_norm = QkNorm::kHead,
       .gated = true,
       .expert_files = &kQwen35Experts,
       .keys = R"({"num_key_value_heads": 2, "head_dim": 256, "max_position_embeddings": 32768,
                   "partial_rotary_factor": 0.25, "attention_bias": false, "layer_types": null,
                   "full_attention_interval": 4, "linear_num_key_heads": 16, "linear_num_value_heads": 32,
                   "linear_key_head_dim": 128, "linear_value_head_dim": 128, "linear_conv_kernel_dim": 4,
                   "num_experts": 256, "num_experts_per_tok": 8, "moe_intermediate_size": 512,
                   "shared_expert_intermediate_size": 512, "router_aux_loss_coef": 0.001})"},
      {.name = "lfm2",
       .architecture = "Lfm2ForCausalLM",
       .gguf = "lfm2",
       .norms = {"operator_norm", nullptr, "ffn_norm", nullptr},
       .parts = {"self_attn.out_proj", "self_attn.q_layernorm", "self_attn.k_layernorm", "feed_forward.w1",
                 "feed_forward.w3", "feed_forward.w2", "model.embedding_norm"},
       .qk_norm = QkNorm::kHead,
       .keys = R"({"num_key_value_heads": 8, "max_position_embeddings": 128000, "norm_eps": 1e-5,
                   "rope_theta": 1000000.0, "conv_L_cache": 3, "conv_bias": false, "full_attn_idxs": null,
                   "layer_types": null, "block_auto_adjust_ff_dim": true, "block_multiple_of": 256,
                   "block_ffn_dim_multiplier": 1.0, "block_ff_dim": null, "tie_embedding": null,
                   "tie_word_embeddings": true, "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0})"},
  };
  return table;
}

const Family* find_family(const std::string& name) {
  for (const Family& family : families()) {
    if (family.name == name) return &family;
  }
  return nullptr;
}

const Family& family_of(const ModelConfig& config) {
  const Family* family = find_family(config.family);
  if (family == nullptr) bug("model family \"{}\" is not in the table", config.family);
  return *family;
}

std::string family_names() {
  std::string names;
  for (const Family& family : families()) names += (names.empty() ? "" : ", ") + std::string(family.name);
  return names;
}

bool reads_key(const Family& family, const std::string& key) {
  return Json::parse(family.keys).contains(key);
}

Json filled_config(const Family& family, const Json& json) {
  // Read by all families, with a meaning that some change.
  static const std::set<std::string> common = {"num_key_value_heads",
                                               "head_dim",
                                               "max_position_embeddings",
                                               "rms_norm_eps",
                                               "tie_word_embeddings",
                                               "rope_theta",
                                               "rope_parameters",
                                               "partial_rotary_factor",
                                               "bos_token_id",
                                               "eos_token_id",
                                               "pad_token_id"};
  Json out = json;
  const Json own = Json::parse(family.keys);
  for (const Family& other : families()) {
    const Json theirs = Json::parse(other.keys);
    for (const auto& [key, value] : theirs.items())
      if (!own.contains(key) && !common.count(key)) out.erase(key);
  }
  for (const auto& [key, value] : own.items())
    if (!out.contains(key)) out[key] = value;
  return out;
}

bool is_constant(const std::string& name) {
  return is_fp32_constant(name) || name.ends_with(kLayerScale);
}

bool is_fp32_constant(const std::string& name) {
  return name.ends_with(kRouterCorrection);
}

}  // namespace temper
