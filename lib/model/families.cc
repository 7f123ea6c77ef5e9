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
constexpr Family::ExpertFiles kGptOssExperts = {"mlp.router", "mlp.experts."};

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
       .gguf = nullptr,
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
       .gguf = nullptr,
       .norms_add_one = true,
       .qk_norm = QkNorm::kHead,
       .gated = true,
       .keys = R"({"num_key_value_heads": 4, "head_dim": 256, "max_position_embeddings": 32768,
                   "partial_rotary_factor": 0.25, "attention_bias": false, "layer_types": null,
                   "full_attention_interval": 4, "linear_num_key_heads": 16, "linear_num_value_heads": 32,
                   "linear_key_head_dim": 128, "linear_value_head_dim": 128,
                   "linear_conv_kernel_dim": 4})"},
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
  return name.ends_with(kRouterCorrection);
}

BlockLinears block_linears(const ModelConfig& c) {
  const Family& family = family_of(c);
  const int64_t q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
  BlockLinears out;
  if (c.latent.rank > 0) {
    const Latent& l = c.latent;
    const bool short_queries = l.query_rank > 0;
    out.qkv = {short_queries ? std::pair<std::string, int64_t>{"self_attn.q_a_proj", l.query_rank}
                             : std::pair<std::string, int64_t>{"self_attn.q_proj", q},
               {"self_attn.kv_a_proj_with_mqa", l.rank + l.turned}};
    if (short_queries) out.q_up = {{"self_attn.q_b_proj", q}};
    out.kv_up = {{"self_attn.kv_b_proj", c.heads * (l.unturned + l.value)}};
  } else if (family.fused_qkv) {
    out.qkv = {{"self_attn.qkv_proj", q + 2 * kv}};
  } else {
    out.qkv = {{"self_attn.q_proj", c.gated ? 2 * q : q}, {"self_attn.k_proj", kv}, {"self_attn.v_proj", kv}};
  }
  if (const LinearAttention& l = c.linear; l.key_heads > 0) {
    out.mix_in = {{"linear_attn.in_proj_qkv", l.channels()},
                  {"linear_attn.in_proj_z", l.value_heads * l.value_dim},
                  {"linear_attn.in_proj_b", l.value_heads},
                  {"linear_attn.in_proj_a", l.value_heads}};
    out.mix_out = {{"linear_attn.out_proj", c.hidden}};
  }
  out.out = {{"self_attn.o_proj", c.hidden}};
  if (family.fused_gate_up)
    out.gate_up = {{"mlp.gate_up_proj", 2 * c.intermediate}};
  else
    out.gate_up = {{"mlp.gate_proj", c.intermediate}, {"mlp.up_proj", c.intermediate}};
  out.down = {{"mlp.down_proj", c.hidden}};
  if (const int64_t shared = c.experts.shared_intermediate; shared > 0) {
    out.shared_gate_up = {{"mlp.shared_experts.gate_proj", shared}, {"mlp.shared_experts.up_proj", shared}};
    out.shared_down = {{"mlp.shared_experts.down_proj", c.hidden}};
  }
  return out;
}

namespace {

// Of a layer of attention by keys and values.
template <class Linears, class Add>
void add_attention(const ModelConfig& c, const BlockLinears& block, const std::string& at,
                   const Linears& linears, const Add& add) {
  const int64_t q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
  linears(block.qkv, c.hidden, c.qkv_bias);
  linears(block.q_up, c.latent.query_rank, false);
  linears(block.kv_up, c.latent.rank, false);
  linears(block.out, c.heads * c.value_dim(), c.out_bias);
  if (c.latent.query_rank > 0) add(at + "self_attn.q_a_layernorm.weight", {c.latent.query_rank});
  if (c.latent.rank > 0) add(at + "self_attn.kv_a_layernorm.weight", {c.latent.rank});
  if (c.qk_norm != QkNorm::kNone) {
    const bool whole = c.qk_norm == QkNorm::kWhole;
    add(at + "self_attn.q_norm.weight", {whole ? q : c.head_dim});
    add(at + "self_attn.k_norm.weight", {whole ? kv : c.head_dim});
  }
  if (c.sinks) add(at + "self_attn.sinks", {c.heads});
}

}  // namespace

NamedShapes parameter_shapes(const ModelConfig& c) {
  NamedShapes out;
  const BlockLinears block = block_linears(c);
  const BlockNorms& n = family_of(c).norms;
  auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    out.emplace_back(name, std::move(shape));
  };
  add("model.embed_tokens.weight", {c.vocab, c.hidden});
  for (int64_t layer = 0; layer < c.layers; ++layer) {
    const std::string at = fmt::format("model.layers.{}.", layer);
    const auto linears = [&](const BlockLinears::Parts& parts, int64_t columns, bool bias) {
      for (const auto& [name, rows] : parts) {
        add(at + name + ".weight", {rows, columns});
        if (bias) add(at + name + ".bias", {rows});
      }
    };
    if (c.recurrent(layer)) {
      const LinearAttention& l = c.linear;
      linears(block.mix_in, c.hidden, false);
      add(at + "linear_attn.conv1d.weight", {l.channels(), 1, l.kernel});
      add(at + "linear_attn.A_log", {l.value_heads});
      add(at + "linear_attn.dt_bias", {l.value_heads});
      add(at + "linear_attn.norm.weight", {l.value_dim});
      linears(block.mix_out, l.value_heads * l.value_dim, false);
    } else {
      add_attention(c, block, at, linears, add);
    }
    if (c.sparse(layer)) {
      const Experts& e = c.experts;
      add(at + kRouter + ".weight", {e.count, c.hidden});
      if (e.biases) add(at + kRouter + ".bias", {e.count});
      if (e.router == Experts::Router::kSigmoid) add(at + kRouterCorrection, {e.count});
      add(at + kExpertsGateUp, {e.count, 2 * e.intermediate, c.hidden});
      if (e.biases) add(at + kExpertsGateUp + "_bias", {e.count, 2 * e.intermediate});
      add(at + kExpertsDown, {e.count, c.hidden, e.intermediate});
      if (e.biases) add(at + kExpertsDown + "_bias", {e.count, c.hidden});
      linears(block.shared_gate_up, c.hidden, false);
      linears(block.shared_down, e.shared_intermediate, false);
    } else {
      linears(block.gate_up, c.hidden, c.mlp_bias);
      linears(block.down, c.intermediate, c.mlp_bias);
    }
    for (const char* norm : {n.before_attention, n.after_attention, n.before_mlp, n.after_mlp})
      if (norm != nullptr) add(at + norm + ".weight", {c.hidden});
  }
  add("model.norm.weight", {c.hidden});
  if (c.causal && !c.tied) add("lm_head.weight", {c.vocab, c.hidden});
  if (c.scores > 0) add("score.weight", {c.scores, c.hidden});
  return out;
}

std::vector<std::string> linear_module_names(const ModelConfig& config) {
  const BlockLinears block = block_linears(config);
  std::vector<std::string> out;
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    std::vector<const BlockLinears::Parts*> all = {&block.qkv, &block.q_up, &block.kv_up, &block.out};
    if (config.recurrent(layer)) all = {&block.mix_in, &block.mix_out};
    const bool sparse = config.sparse(layer);
    all.push_back(sparse ? &block.shared_gate_up : &block.gate_up);
    all.push_back(sparse ? &block.shared_down : &block.down);
    for (const auto* parts : all)
      for (const auto& [name, rows] : *parts) out.push_back(fmt::format("model.layers.{}.{}", layer, name));
  }
  return out;
}

}  // namespace temper
