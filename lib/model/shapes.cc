// The linears and parameters of a model, by the names and in the order of transformers.
#include "base/error.h"
#include "model/families.h"

namespace temper {
namespace {

LinearParts one(const char* name, int64_t rows, int64_t columns, bool bias = false) {
  return {{{name, rows}}, columns, bias};
}

void add_attention(const ModelConfig& c, int64_t layer, BlockLinears& out) {
  const Family& family = family_of(c);
  const int64_t q = c.heads * c.head_dim_of(layer), kv = c.kv_heads_of(layer) * c.head_dim_of(layer);
  out.out = one(family.parts.out, c.hidden, c.latent.rank > 0 ? c.heads * c.latent.value : q, c.out_bias);
  out.qkv = {{}, c.hidden, c.qkv_bias};
  auto& parts = out.qkv.parts;
  if (c.latent.rank > 0) {
    const Latent& l = c.latent;
    const bool short_queries = l.query_rank > 0;
    parts = {short_queries ? std::pair<std::string, int64_t>{"self_attn.q_a_proj", l.query_rank}
                           : std::pair<std::string, int64_t>{"self_attn.q_proj", q},
             {"self_attn.kv_a_proj_with_mqa", l.rank + l.turned}};
    if (short_queries) out.q_up = one("self_attn.q_b_proj", q, l.query_rank);
    out.kv_up = one("self_attn.kv_b_proj", c.heads * (l.unturned + l.value), l.rank);
    return;
  }
  if (family.fused_qkv) {
    parts = {{"self_attn.qkv_proj", q + 2 * kv}};
    return;
  }
  parts = {{"self_attn.q_proj", c.gated ? 2 * q : q}};
  if (kv > 0) parts.push_back({"self_attn.k_proj", kv});
  if (kv > 0 && !c.keys_are_values(layer)) parts.push_back({"self_attn.v_proj", kv});
}

void add_mlps(const ModelConfig& c, int64_t layer, BlockLinears& out) {
  const Family& family = family_of(c);
  if (!c.sparse(layer) || c.experts.beside_mlp) {
    const int64_t width = c.intermediate_of(layer);
    out.gate_up = {{}, c.hidden, c.mlp_bias};
    if (family.fused_gate_up)
      out.gate_up.parts = {{"mlp.gate_up_proj", 2 * width}};
    else
      out.gate_up.parts = {{family.parts.gate, width}, {family.parts.up, width}};
    out.down = one(family.parts.down, c.hidden, width, c.mlp_bias);
  }
  const int64_t shared = c.experts.shared_intermediate;
  if (!c.sparse(layer) || shared == 0) return;
  const std::string at = family.expert_files->shared;
  out.shared_gate_up = {{{at + "gate_proj", shared}, {at + "up_proj", shared}}, c.hidden};
  out.shared_down = {{{at + "down_proj", c.hidden}}, shared};
  if (c.experts.shared_gated) out.shared_gate = one(kSharedGate, 1, c.hidden);
}

}  // namespace

std::vector<const LinearParts*> BlockLinears::all() const {
  std::vector<const LinearParts*> some;
  for (const LinearParts* l : {&qkv, &q_up, &kv_up, &this->out, &mix_in, &mix_out, &gate_up, &down,
                               &shared_gate_up, &shared_down, &shared_gate, &own_gate, &own_out})
    if (!l->parts.empty()) some.push_back(l);
  return some;
}

BlockLinears block_linears(const ModelConfig& c, int64_t layer) {
  BlockLinears out;
  if (c.linear_attention(layer)) {
    const LinearAttention& l = c.linear;
    out.mix_in = {{{"linear_attn.in_proj_qkv", l.channels()},
                   {"linear_attn.in_proj_z", l.value_heads * l.value_dim},
                   {"linear_attn.in_proj_b", l.value_heads},
                   {"linear_attn.in_proj_a", l.value_heads}},
                  c.hidden};
    out.mix_out = one("linear_attn.out_proj", c.hidden, l.value_heads * l.value_dim);
  } else if (c.short_convolution(layer)) {
    out.mix_in = one("conv.in_proj", 3 * c.hidden, c.hidden, c.short_conv.biases);
    out.mix_out = one("conv.out_proj", c.hidden, c.hidden, c.short_conv.biases);
  } else {
    add_attention(c, layer, out);
  }
  add_mlps(c, layer, out);
  if (const int64_t width = c.unlike.own_embedding_width; width > 0) {
    out.own_gate = one("per_layer_input_gate", width, c.hidden);
    out.own_out = one("per_layer_projection", c.hidden, width);
  }
  return out;
}

LinearParts own_embedding_linear(const ModelConfig& c) {
  if (c.unlike.own_embedding_width == 0) return {};
  return one(kOwnProjection, c.layers * c.unlike.own_embedding_width, c.hidden);
}

NamedShapes parameter_shapes(const ModelConfig& c) {
  NamedShapes out;
  const Family& family = family_of(c);
  const auto add = [&](const std::string& name, std::vector<int64_t> shape) {
    out.emplace_back(name, std::move(shape));
  };
  const auto linears = [&](const std::string& at, const LinearParts& linear) {
    for (const auto& [name, rows] : linear.parts) {
      add(at + name + ".weight", {rows, linear.columns});
      if (linear.bias) add(at + name + ".bias", {rows});
    }
  };
  add("model.embed_tokens.weight", {c.vocab, c.hidden});
  for (int64_t layer = 0; layer < c.layers; ++layer) {
    const std::string at = fmt::format("model.layers.{}.", layer);
    const BlockLinears block = block_linears(c, layer);
    const auto norm = [&](const char* name, int64_t width) { add(at + name + ".weight", {width}); };
    for (const LinearParts* l : {&block.qkv, &block.q_up, &block.kv_up, &block.out}) linears(at, *l);
    if (!c.recurrent(layer)) {
      const int64_t d = c.head_dim_of(layer), kv = c.kv_heads_of(layer);
      if (c.latent.query_rank > 0) norm("self_attn.q_a_layernorm", c.latent.query_rank);
      if (c.latent.rank > 0) norm("self_attn.kv_a_layernorm", c.latent.rank);
      const bool whole = c.qk_norm == QkNorm::kWhole, normed = c.qk_norm != QkNorm::kNone;
      if (normed) norm(family.parts.q_norm, whole ? c.heads * d : d);
      if (normed && kv > 0) norm(family.parts.k_norm, whole ? kv * d : d);
      if (c.sinks) add(at + "self_attn.sinks", {c.heads});
    }
    linears(at, block.mix_in);
    if (c.linear_attention(layer)) {
      const LinearAttention& l = c.linear;
      add(at + "linear_attn.conv1d.weight", {l.channels(), 1, l.kernel});
      add(at + "linear_attn.A_log", {l.value_heads});
      add(at + "linear_attn.dt_bias", {l.value_heads});
      norm("linear_attn.norm", l.value_dim);
    }
    if (c.short_convolution(layer)) {
      add(at + "conv.conv.weight", {c.hidden, 1, c.short_conv.kernel});
      if (c.short_conv.biases) add(at + "conv.conv.bias", {c.hidden});
    }
    linears(at, block.mix_out);
    linears(at, block.gate_up);
    linears(at, block.down);
    if (c.sparse(layer)) {
      const Experts& e = c.experts;
      add(at + kRouter + ".weight", {e.count, c.hidden});
      if (e.biases) add(at + kRouter + ".bias", {e.count});
      if (e.router == Experts::Router::kSigmoid) add(at + kRouterCorrection, {e.count});
      if (e.beside_mlp) {
        add(at + kRouterScale, {c.hidden});
        add(at + kExpertScale, {e.count});
        for (const char* name : {kAfterDense, kBeforeExperts, kAfterExperts}) norm(name, c.hidden);
      }
      add(at + kExpertsGateUp, {e.count, 2 * e.intermediate, c.hidden});
      if (e.biases) add(at + kExpertsGateUp + "_bias", {e.count, 2 * e.intermediate});
      add(at + kExpertsDown, {e.count, c.hidden, e.intermediate});
      if (e.biases) add(at + kExpertsDown + "_bias", {e.count, c.hidden});
      for (const LinearParts* l : {&block.shared_gate_up, &block.shared_down, &block.shared_gate})
        linears(at, *l);
    }
    const BlockNorms& n = family.norms;
    for (const char* name : {n.before_attention, n.after_attention, n.before_mlp, n.after_mlp})
      if (name != nullptr) norm(name, c.hidden);
    linears(at, block.own_gate);
    linears(at, block.own_out);
    if (c.unlike.own_embedding_width > 0) add(at + kOwnAfter, {c.hidden});
    if (family.scales_layers) add(at + kLayerScale, {1});
  }
  add(std::string(family.parts.last_norm) + ".weight", {c.hidden});
  if (const int64_t width = c.unlike.own_embedding_width; width > 0) {
    add(kOwnTable, {c.vocab, c.layers * width});
    linears("", own_embedding_linear(c));
    add(kOwnNorm, {width});
  }
  if (c.causal && !c.tied) add("lm_head.weight", {c.vocab, c.hidden});
  if (c.scores > 0) add("score.weight", {c.scores, c.hidden});
  return out;
}

std::vector<std::string> linear_module_names(const ModelConfig& config) {
  std::vector<std::string> out;
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const BlockLinears block = block_linears(config, layer);
    for (const LinearParts* linear : block.all())
      for (const auto& [name, rows] : linear->parts)
        out.push_back(fmt::format("model.layers.{}.{}", layer, name));
  }
  for (const auto& [name, rows] : own_embedding_linear(config).parts) out.push_back(name);
  return out;
}

}  // namespace temper
