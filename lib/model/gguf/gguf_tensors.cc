#include "model/gguf/gguf_tensors.h"

#include <ATen/ATen.h>

#include "base/error.h"
#include "model/families.h"
#include "model/gguf/gguf_families.h"

namespace temper {
namespace {

using at::Tensor;

constexpr std::pair<const char*, const char*> kWhole[] = {
    {"model.embed_tokens.weight", "token_embd.weight"},
    {"model.norm.weight", "output_norm.weight"},
    {"model.embedding_norm.weight", "token_embd_norm.weight"},
    {"lm_head.weight", "output.weight"},
    {kOwnTable, "per_layer_token_embd.weight"},
    {kOwnNorm, "per_layer_proj_norm.weight"}};
// Behind "model.layers.N." and "blk.N.", with ".weight" or ".bias" behind both.
constexpr std::pair<const char*, const char*> kModules[] = {
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.qkv_proj", "attn_qkv"},
    {"self_attn.o_proj", "attn_output"},
    {"self_attn.out_proj", "attn_output"},
    {"self_attn.q_layernorm", "attn_q_norm"},
    {"self_attn.k_layernorm", "attn_k_norm"},
    {"conv.in_proj", "shortconv.in_proj"},
    {"conv.conv", "shortconv.conv"},
    {"conv.out_proj", "shortconv.out_proj"},
    {"feed_forward.w1", "ffn_gate"},
    {"feed_forward.w3", "ffn_up"},
    {"feed_forward.w2", "ffn_down"},
    {"self_attn.q_norm", "attn_q_norm"},
    {"self_attn.k_norm", "attn_k_norm"},
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.gate_up_proj", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
    {kRouter, "ffn_gate_inp"},
    {"mlp.shared_experts.gate_proj", "ffn_gate_shexp"},
    {"mlp.shared_experts.up_proj", "ffn_up_shexp"},
    {"mlp.shared_experts.down_proj", "ffn_down_shexp"},
    {"mlp.shared_expert.gate_proj", "ffn_gate_shexp"},
    {"mlp.shared_expert.up_proj", "ffn_up_shexp"},
    {"mlp.shared_expert.down_proj", "ffn_down_shexp"},
    {kSharedGate, "ffn_gate_inp_shexp"},
    {"self_attn.q_a_proj", "attn_q_a"},
    {"self_attn.q_a_layernorm", "attn_q_a_norm"},
    {"self_attn.q_b_proj", "attn_q_b"},
    {"self_attn.kv_a_proj_with_mqa", "attn_kv_a_mqa"},
    {"self_attn.kv_a_layernorm", "attn_kv_a_norm"},
    {"linear_attn.in_proj_qkv", "attn_qkv"},
    {"linear_attn.in_proj_z", "attn_gate"},
    {"linear_attn.in_proj_b", "ssm_beta"},
    {"linear_attn.in_proj_a", "ssm_alpha"},
    {"linear_attn.conv1d", "ssm_conv1d"},
    {"linear_attn.norm", "ssm_norm"},
    {"linear_attn.out_proj", "ssm_out"},
    {kAfterDense, "post_ffw_norm_1"},
    {kBeforeExperts, "pre_ffw_norm_2"},
    {kAfterExperts, "post_ffw_norm_2"},
    {"per_layer_input_gate", "inp_gate"},
    {"per_layer_projection", "proj"},
    {"post_per_layer_input_norm", "post_norm"}};
// [C, 1, K], without the 1 in GGUF files
constexpr const char *kTaps = ".conv.conv.weight", *kMixTaps = ".linear_attn.conv1d.weight";
// Whole names behind "model.layers.N." and "blk.N.".
constexpr std::pair<const char*, const char*> kOthers[] = {
    {"self_attn.sinks", "attn_sinks.weight"}, {kRouterCorrection, "exp_probs_b.bias"},
    {kExpertsDown, "ffn_down_exps.weight"},   {kRouterScale, "ffn_gate_inp.scale"},
    {kExpertScale, "ffn_down_exps.scale"},    {"linear_attn.A_log", "ssm_a"},
    {"linear_attn.dt_bias", "ssm_dt.bias"},   {kLayerScale, "layer_output_scale.weight"}};
constexpr const char* kLatentUp = "self_attn.kv_b_proj";

bool is_of(const std::string& parameter, const char* module) {
  return parameter.find(std::string(".") + module + ".") != std::string::npos;
}

// The rows of each head from halves to neighbouring pairs, as llama.cpp's converter reorders them, and back.
Tensor to_pairs(const Tensor& t, int64_t heads) {
  return t.reshape({heads, 2, t.size(0) / heads / 2, -1}).transpose(1, 2).reshape(t.sizes());
}
Tensor to_halves(const Tensor& t, int64_t heads) {
  return t.view({heads, t.size(0) / heads / 2, 2, -1}).transpose(1, 2).reshape(t.sizes());
}
// The heads whose rows are reordered; 0: the rows stand as transformers has them.
int64_t reordered_heads(const ModelConfig& c, const std::string& parameter) {
  if (!gguf_family(family_of(c)).pairs) return 0;
  return is_of(parameter, "self_attn.q_proj")   ? c.heads
         : is_of(parameter, "self_attn.k_proj") ? c.kv_heads
                                                : 0;
}

bool adds_one(const ModelConfig& c, const std::string& parameter) {
  return family_of(c).norms_add_one && parameter.ends_with("norm.weight") &&
         !parameter.ends_with("linear_attn.norm.weight");
}

// Heads along a dimension from one order to the other: [outer, inner] -> [inner, outer].
Tensor turned_heads(const Tensor& t, int64_t dim, int64_t outer, int64_t inner) {
  std::vector<int64_t> sizes = t.sizes().vec();
  const auto at = static_cast<size_t>(dim);
  const int64_t width = sizes[at] / outer / inner;
  sizes[at] = outer;
  sizes.insert(sizes.begin() + dim + 1, {inner, width});
  return t.reshape(sizes).transpose(dim, dim + 1).reshape(t.sizes());
}

// Value heads of linear attention lie by the key head that they share, those of a key head together; in GGUF
// files the first of each key head come first, then the second of each, because llama.cpp repeats key heads
// as a whole. back: from the file.
Tensor value_heads_reordered(const ModelConfig& c, const std::string& parameter, const Tensor& t, bool back) {
  const LinearAttention& l = c.linear;
  if (l.key_heads == 0 || l.key_heads == l.value_heads ||
      parameter.find(".linear_attn.") == std::string::npos || parameter.ends_with(".norm.weight"))
    return t;
  const int64_t each = l.value_heads / l.key_heads, outer = back ? each : l.key_heads,
                inner = back ? l.key_heads : each;
  if (parameter.ends_with(".out_proj.weight")) return turned_heads(t, 1, outer, inner);
  const bool channels = parameter.ends_with(".in_proj_qkv.weight") || parameter.ends_with(kMixTaps);
  if (!channels) return turned_heads(t, 0, outer, inner);
  const int64_t keys = 2 * l.key_heads * l.key_dim;
  return at::cat({t.narrow(0, 0, keys), turned_heads(t.narrow(0, keys, t.size(0) - keys), 0, outer, inner)});
}

// Latents to keys and values, [Q (unturned + value), rank]: llama.cpp multiplies queries by the keys' part,
// [Q, rank, unturned], and what is attended by the values' part, [Q, value, rank].
Tensor latent_part(const Latent& a, const Tensor& up, size_t part) {
  const Tensor heads = up.reshape({-1, a.unturned + a.value, a.rank});
  return part == 0 ? heads.narrow(1, 0, a.unturned).transpose(1, 2) : heads.narrow(1, a.unturned, a.value);
}
Tensor from_latent_parts(const Latent& a, const std::vector<Tensor>& parts) {
  return at::cat({parts[0].transpose(1, 2), parts[1]}, 1).reshape({-1, a.rank});
}

// Rates of decay: the logarithm in folders, what it means in files.
Tensor log_rates(const Tensor& rates, const std::string& parameter) {
  if (rates.gt(0).any().item<bool>()) user_error("{}: expected decays, which are at most 0", parameter);
  return rates.to(at::kDouble).neg().log().to(at::kFloat);
}

}  // namespace

std::vector<std::string> gguf_names(const ModelConfig& config, const std::string& parameter) {
  for (const auto& [hf, gguf] : kWhole) {
    if (parameter == hf) return {gguf};
  }
  const std::string start = "model.layers.";
  const size_t dot = parameter.find('.', start.size()), last = parameter.rfind('.');
  if (parameter == std::string(kOwnProjection) + ".weight") return {"per_layer_model_proj.weight"};
  if (!parameter.starts_with(start) || dot == std::string::npos) return {};
  const std::string block = "blk." + parameter.substr(start.size(), dot - start.size()) + ".",
                    name = parameter.substr(dot + 1),
                    module = last > dot ? parameter.substr(dot + 1, last - dot - 1) : "",
                    end = parameter.substr(last);
  const std::string up = kExpertsGateUp, down = kExpertsDown, bias = "_bias";
  if (name == up && gguf_family(family_of(config)).joined_experts) return {block + "ffn_gate_up_exps.weight"};
  if (module == kLatentUp) return {block + "attn_k_b" + end, block + "attn_v_b" + end};
  if (name == up || name == up + bias) {
    const std::string kind = name == up ? ".weight" : ".bias";
    return {block + "ffn_gate_exps" + kind, block + "ffn_up_exps" + kind};
  }
  if (name == down + bias) return {block + "ffn_down_exps.bias"};
  for (const auto& [hf, gguf] : kOthers) {
    if (name == hf) return {block + gguf};
  }
  for (const auto& [hf, gguf] : kModules) {
    if (module == hf) return {block + gguf + end};
  }
  const BlockNorms& norms = family_of(config).norms;
  const std::pair<const char*, const char*> named[] = {
      {norms.before_attention, "attn_norm"},
      {norms.after_attention, "post_attention_norm"},
      {norms.before_mlp, gguf_family(family_of(config)).mlp_norm},
      {norms.after_mlp, "post_ffw_norm"}};
  for (const auto& [hf, gguf] : named) {
    if (hf != nullptr && module == hf) return {block + gguf + end};
  }
  return {};
}

std::vector<std::string> gguf_names_in(const ModelConfig& config, const std::string& parameter,
                                       const std::function<bool(const std::string& tensor)>& has) {
  std::vector<std::string> names = gguf_names(config, parameter);
  // How gpt-oss would lie in one is not known.
  if (!parameter.ends_with(kExpertsGateUp) || family_of(config).clamps_gates || has(names[0])) return names;
  const std::string block = names[0].substr(0, names[0].rfind("ffn_gate")),
                    joined = "ffn_gate_up_exps.weight";
  if (names.size() == 2 && has(block + joined)) return {block + joined};
  if (names.size() == 1 && has(block + "ffn_gate_exps.weight"))
    return {block + "ffn_gate_exps.weight", block + "ffn_up_exps.weight"};
  return names;
}

std::vector<int64_t> gguf_shape(const ModelConfig& config, const std::string& parameter,
                                const std::vector<int64_t>& shape, size_t part, size_t parts) {
  return to_gguf(config, parameter, at::empty(shape, at::kMeta), part, parts).sizes().vec();
}

bool always_f32(const std::string& name, const std::vector<int64_t>& shape) {
  return shape.size() < 2 || !name.ends_with(".weight") || name.ends_with("ffn_gate_inp.weight") ||
         name.ends_with("shortconv.conv.weight") || name.ends_with("ssm_conv1d.weight");
}

// Of the rows of gates and ups: gpt-oss has them by turns, the others one behind the other.
Tensor to_gguf(const ModelConfig& config, const std::string& parameter, const Tensor& value, size_t part,
               size_t parts) {
  if (is_of(parameter, kLatentUp)) return latent_part(config.latent, value, part);
  if (parts == 2) {
    const auto which = static_cast<int64_t>(part);
    const int64_t half = value.size(1) / 2;
    return family_of(config).clamps_gates ? value.slice(1, which, {}, 2)
                                          : value.narrow(1, which * half, half);
  }
  if (parameter.ends_with(kTaps)) return value.squeeze(1);
  if (is_of(parameter, kSharedGate)) return value.squeeze(0);
  if (adds_one(config, parameter)) return value.to(at::kFloat) + 1.0;
  if (const int64_t heads = reordered_heads(config, parameter); heads > 0) return to_pairs(value, heads);
  const Tensor t = value_heads_reordered(config, parameter, value, false);
  if (parameter.ends_with(kMixTaps)) return t.squeeze(1);
  return parameter.ends_with(".A_log") ? t.to(at::kDouble).exp().neg().to(at::kFloat) : t;
}

Tensor from_gguf(const ModelConfig& config, const std::string& parameter, const std::vector<Tensor>& parts) {
  if (is_of(parameter, kLatentUp)) return from_latent_parts(config.latent, parts);
  if (parts.size() == 2)
    return family_of(config).clamps_gates ? at::stack(parts, 2).flatten(1, 2) : at::cat(parts, 1);
  Tensor t = parts[0];
  if (parameter.ends_with(kTaps)) return t.unsqueeze(1);
  if (is_of(parameter, kSharedGate)) return t.reshape({1, -1});
  if (adds_one(config, parameter)) return t - 1.0;
  if (const int64_t heads = reordered_heads(config, parameter); heads > 0) return to_halves(t, heads);
  if (parameter.ends_with(kMixTaps)) t = t.unsqueeze(1);
  if (parameter.ends_with(".A_log")) t = log_rates(t, parameter);
  return value_heads_reordered(config, parameter, t, true);
}

LowRank to_gguf(const ModelConfig& config, const std::string& parameter, const LowRank& update) {
  if (is_of(parameter, "linear_attn.out_proj"))
    return {value_heads_reordered(config, parameter, update.a, false), update.b};
  if (is_of(parameter, kSharedGate)) return update;
  return {update.a, to_gguf(config, parameter, update.b, 0, 1)};
}

}  // namespace temper
