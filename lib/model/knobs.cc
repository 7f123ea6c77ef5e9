// What sets a model apart from the first llama, in words.
#include "base/error.h"
#include "model/families.h"

namespace temper {
namespace {

std::string rope_text(const Rope& rope) {
  std::string out = fmt::format("theta {:g}", rope.theta);
  if (rope.type != "default") out = rope.type + ", " + out;
  if (rope.factor != 1.0) out += fmt::format(", factor {:g}", rope.factor);
  if (rope.partial != 1.0) out += fmt::format(", {:g} of each head", rope.partial);
  if (rope.amplitude != 1.0) out += fmt::format(", amplitude {:g}", rope.amplitude);
  return out;
}

std::string layers_text(const ModelConfig& c, bool (*is)(const ModelConfig&, int64_t)) {
  std::string out;
  int64_t count = 0;
  for (int64_t l = 0; l < c.layers; ++l) {
    if (!is(c, l)) continue;
    if (count++ < 8) out += (out.empty() ? "" : ", ") + std::to_string(l);
  }
  if (count == c.layers) return "all layers";
  return count > 8 ? fmt::format("{} layers ({} ...)", count, out) : "layers " + out;
}

}  // namespace

std::vector<std::string> family_traits(const Family& family) {
  std::vector<std::string> out;
  const auto add = [&](bool is, const std::string& text) {
    if (is) out.push_back(text);
  };
  const BlockNorms& n = family.norms;
  add(n.before_attention == nullptr, "norms behind the sub-layers, none in front");
  add(n.before_attention != nullptr && n.after_attention != nullptr,
      "norms in front of and behind the sub-layers");
  add(family.norms_add_one, "norms multiply by 1 + weight");
  add(family.qk_norm == QkNorm::kHead, "norms of each head's q and k");
  add(family.qk_norm == QkNorm::kWhole, "norms of all heads' q, and of k, together");
  add(family.norms_values, "norms of each head's values, without a weight");
  add(family.unscaled, "scores of attention as they are");
  add(family.gated, "attention's result gated");
  add(family.sinks, "a sink in each head's softmax");
  add(family.clamps_gates, "clamped gates");
  add(family.qkv_bias, "biases of q, k and v");
  add(family.fused_qkv, "q, k and v in one matrix (qkv_proj)");
  add(family.fused_gate_up, "gate and up in one matrix (gate_up_proj)");
  add(family.interleaved_rope, "neighbouring numbers turn together");
  add(family.scales_embeddings, "embeddings times sqrt(hidden_size)");
  add(family.scales_layers, "blocks' results times a stored number");
  add(family.grows_queries, "queries grow with the position");
  // Gemma 4's config says whether it has one; see used_knobs().
  add(family.expert_files != nullptr && !reads_key(family, "enable_moe_block"), "a mixture of experts");
  return out;
}

std::vector<std::string> used_knobs(const ModelConfig& c) {
  std::vector<std::string> out = family_traits(family_of(c));
  const auto add = [&](bool used, const std::string& text) {
    if (used) out.push_back(text);
  };
  const auto windowed = [](const ModelConfig& m, int64_t l) { return m.window(l) > 0; };
  const auto still = [](const ModelConfig& m, int64_t l) { return !m.turns(l); };
  const auto linear = [](const ModelConfig& m, int64_t l) { return m.linear_attention(l); };
  const auto convolved = [](const ModelConfig& m, int64_t l) { return m.short_convolution(l); };
  const auto full = [](const ModelConfig& m, int64_t l) { return m.window(l) == 0; };
  const auto borrows = [](const ModelConfig& m, int64_t l) { return m.lender(l) != l; };
  const auto sparse = [](const ModelConfig& m, int64_t l) { return m.sparse(l); };
  add(c.qkv_bias && !family_of(c).qkv_bias, c.out_bias ? "biases of q, k, v and o" : "biases of q, k and v");
  add(c.mlp_bias, "biases in the MLP");
  add(c.qk_norm == QkNorm::kHead && family_of(c).qk_norm == QkNorm::kNone, "norms of each head's q and k");
  add(c.latent.rank > 0, fmt::format("keys and values from {} numbers a token", c.latent.rank));
  add(c.activation != "silu", "activation " + c.activation);
  add(c.embedding_scale != 1.0, fmt::format("embeddings times {:g}", c.embedding_scale));
  add(c.attention_scale != 0.0 && !family_of(c).unscaled,
      fmt::format("attention scores times {:g}", c.attention_scale));
  add(c.attention_softcap > 0, fmt::format("attention scores capped at {:g}", c.attention_softcap));
  add(c.residual_scale != 1.0, fmt::format("sub-layers' results times {:g}", c.residual_scale));
  add(c.logits.scale != 1.0, fmt::format("logits times {:g}", c.logits.scale));
  add(c.logits.softcap > 0, fmt::format("logits capped at {:g}", c.logits.softcap));
  add(c.sliding_window > 0,
      fmt::format("a window of {} tokens in {}", c.sliding_window, layers_text(c, windowed)));
  out.push_back("rotary positions: " + rope_text(c.rope));
  if (c.window_rope)
    out.push_back("rotary positions of layers with the window: " + rope_text(*c.window_rope));
  add(!c.layer_turns.empty(), "no rotary positions in " + layers_text(c, still));
  add(c.query_growth > 0, fmt::format("queries grow with the position (beta {:g}, from {})", c.query_growth,
                                      c.rope.original_max_positions));
  add(c.experts.count > 0, fmt::format("{} of {} experts a token in {}", c.experts.chosen, c.experts.count,
                                       layers_text(c, sparse)));
  add(c.experts.shared_intermediate > 0, "an expert that all tokens go through");
  add(c.experts.beside_mlp, "experts beside the layer's MLP");
  add(c.linear.key_heads > 0, "linear attention (gated delta rule) in " + layers_text(c, linear));
  add(c.short_conv.kernel > 0,
      fmt::format("a gated convolution of {} taps in {}", c.short_conv.kernel, layers_text(c, convolved)));
  const UnlikeLayers& u = c.unlike;
  add(u.full_head_dim > 0, fmt::format("heads of {} numbers in {}, of {} in the others", u.full_head_dim,
                                       layers_text(c, full), c.head_dim));
  add(u.full_kv_heads > 0, fmt::format("{} heads of keys and values in {}, {} in the others", u.full_kv_heads,
                                       layers_text(c, full), c.kv_heads));
  add(u.keys_are_values, "values from the keys' projection in " + layers_text(c, full));
  add(u.borrowers > 0, "keys and values of an earlier layer in " + layers_text(c, borrows));
  add(u.wide_borrowers && u.borrowers > 0, "twice as wide MLPs in " + layers_text(c, borrows));
  add(u.own_embedding_width > 0,
      fmt::format("an embedding of {} numbers for each layer", u.own_embedding_width));
  add(c.tied, "the head is the embedding");
  return out;
}

}  // namespace temper
