#include "model/families.h"

#include "base/error.h"

namespace temper {

const std::vector<Family>& families() {
  static const std::vector<Family> table = {
      {.name = "llama", .architecture = "LlamaForCausalLM"},
      {.name = "mistral",  // llama.cpp has no architecture of its own for it
       .architecture = "MistralForCausalLM",
       .attention_bias = false,
       .mlp_bias = false,
       .window = Family::kAlways,
       .default_kv_heads = 8,
       .default_positions = 131072},
      {.name = "qwen2",
       .architecture = "Qwen2ForCausalLM",
       .gguf = "qwen2",
       .qkv_bias = true,
       .attention_bias = false,
       .mlp_bias = false,
       .window = Family::kSwitched,
       .default_kv_heads = 32,
       .default_positions = 32768,
       .default_bos_eos = false},
      {.name = "qwen3",
       .architecture = "Qwen3ForCausalLM",
       .gguf = "qwen3",
       .qk_norm = true,
       .mlp_bias = false,
       .window = Family::kSwitched,
       .default_kv_heads = 32,
       .default_head_dim = 128,
       .default_positions = 32768,
       .default_bos_eos = false},
  };
  return table;
}

const Family* find_family(const std::string& name) {
  for (const Family& family : families()) {
    if (family.name == name) return &family;
  }
  return nullptr;
}

std::string family_names() {
  std::string names;
  for (const Family& family : families()) names += (names.empty() ? "" : ", ") + std::string(family.name);
  return names;
}

NamedShapes parameter_shapes(const ModelConfig& c) {
  NamedShapes out;
  const int64_t q = c.heads * c.head_dim, kv = c.kv_heads * c.head_dim;
  auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    out.emplace_back(name, std::move(shape));
  };
  auto linear = [&](const std::string& path, int64_t rows, int64_t columns, bool bias) {
    add(path + ".weight", {rows, columns});
    if (bias) add(path + ".bias", {rows});
  };
  add("model.embed_tokens.weight", {c.vocab, c.hidden});
  for (int64_t layer = 0; layer < c.layers; ++layer) {
    const std::string at = fmt::format("model.layers.{}.", layer);
    linear(at + "self_attn.q_proj", q, c.hidden, c.qkv_bias);
    linear(at + "self_attn.k_proj", kv, c.hidden, c.qkv_bias);
    linear(at + "self_attn.v_proj", kv, c.hidden, c.qkv_bias);
    linear(at + "self_attn.o_proj", c.hidden, q, c.out_bias);
    if (c.qk_norm) {
      add(at + "self_attn.q_norm.weight", {c.head_dim});
      add(at + "self_attn.k_norm.weight", {c.head_dim});
    }
    linear(at + "mlp.gate_proj", c.intermediate, c.hidden, c.mlp_bias);
    linear(at + "mlp.up_proj", c.intermediate, c.hidden, c.mlp_bias);
    linear(at + "mlp.down_proj", c.hidden, c.intermediate, c.mlp_bias);
    add(at + "input_layernorm.weight", {c.hidden});
    add(at + "post_attention_layernorm.weight", {c.hidden});
  }
  add("model.norm.weight", {c.hidden});
  if (c.causal && !c.tied) add("lm_head.weight", {c.vocab, c.hidden});
  if (c.scores > 0) add("score.weight", {c.scores, c.hidden});
  return out;
}

std::vector<std::string> linear_module_names(const ModelConfig& config) {
  std::vector<std::string> out;
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    for (const char* name : {"self_attn.q_proj", "self_attn.k_proj", "self_attn.v_proj", "self_attn.o_proj",
                             "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"}) {
      out.push_back(fmt::format("model.layers.{}.{}", layer, name));
    }
  }
  return out;
}

}  // namespace temper
