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
    {"lm_head.weight", "output.weight"}};
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
    {"mlp.shared_experts.down_proj", "ffn_down_shexp"}};
constexpr const char* kTaps = ".conv.conv.weight";  // [C, 1, K], without the 1 in GGUF files
// Whole names behind "model.layers.N." and "blk.N.".
constexpr std::pair<const char*, const char*> kOthers[] = {{"self_attn.sinks", "attn_sinks.weight"},
                                                           {kRouterCorrection, "exp_probs_b.bias"},
                                                           {kExpertsDown, "ffn_down_exps.weight"}};

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
  return family_of(c).norms_add_one && parameter.ends_with("norm.weight");
}

}  // namespace

std::vector<std::string> gguf_names(const ModelConfig& config, const std::string& parameter) {
  for (const auto& [hf, gguf] : kWhole) {
    if (parameter == hf) return {gguf};
  }
  const std::string start = "model.layers.";
  const size_t dot = parameter.find('.', start.size()), last = parameter.rfind('.');
  if (!parameter.starts_with(start) || dot == std::string::npos || dot >= last) return {};
  const std::string block = "blk." + parameter.substr(start.size(), dot - start.size()) + ".",
                    name = parameter.substr(dot + 1), module = parameter.substr(dot + 1, last - dot - 1),
                    end = parameter.substr(last);
  const std::string up = kExpertsGateUp, down = kExpertsDown, bias = "_bias";
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

std::vector<int64_t> gguf_shape(const std::vector<int64_t>& parameter_shape, size_t parts) {
  std::vector<int64_t> shape = parameter_shape;
  if (parts == 2) shape[1] /= 2;
  if (shape.size() == 3 && shape[1] == 1) shape.erase(shape.begin() + 1);  // a convolution's taps
  return shape;
}

bool always_f32(const std::string& name, const std::vector<int64_t>& shape) {
  return shape.size() < 2 || !name.ends_with(".weight") || name.ends_with("ffn_gate_inp.weight") ||
         name.ends_with("shortconv.conv.weight");
}

// Of the rows of gates and ups: gpt-oss has them by turns, the others one behind the other.
Tensor to_gguf(const ModelConfig& config, const std::string& parameter, const Tensor& value, size_t part) {
  if (gguf_names(config, parameter).size() == 2) {
    const auto which = static_cast<int64_t>(part);
    const int64_t half = value.size(1) / 2;
    return family_of(config).clamps_gates ? value.slice(1, which, {}, 2)
                                          : value.narrow(1, which * half, half);
  }
  if (parameter.ends_with(kTaps)) return value.squeeze(1);
  if (adds_one(config, parameter)) return value.to(at::kFloat) + 1.0;
  const int64_t heads = reordered_heads(config, parameter);
  return heads > 0 ? to_pairs(value, heads) : value;
}

Tensor from_gguf(const ModelConfig& config, const std::string& parameter, const std::vector<Tensor>& parts) {
  if (parts.size() == 2)
    return family_of(config).clamps_gates ? at::stack(parts, 2).flatten(1, 2) : at::cat(parts, 1);
  if (parameter.ends_with(kTaps)) return parts[0].unsqueeze(1);
  if (adds_one(config, parameter)) return parts[0] - 1.0;
  const int64_t heads = reordered_heads(config, parameter);
  return heads > 0 ? to_halves(parts[0], heads) : parts[0];
}

}  // namespace temper
