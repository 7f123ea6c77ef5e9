#include "model/gguf/gguf_check.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "base/json.h"
#include "model/families.h"
#include "model/gguf/gguf_families.h"

namespace temper {
namespace {

// dims: of a head that may turn.
Json rope_json(const Rope& r, int64_t dims) {
  Json j = {r.type, r.theta, static_cast<int64_t>(static_cast<double>(dims) * r.partial), r.amplitude};
  if (r.type != "default") j.push_back(r.factor);
  if (r.type == "yarn") j.insert(j.end(), {r.original_max_positions, r.beta_fast, r.beta_slow, r.truncate});
  if (r.type == "longrope") j.insert(j.end(), {r.original_max_positions, r.short_factors, r.long_factors});
  return j;
}

// Numbers are fp32 in the file.
bool alike(const Json& a, const Json& b) {
  if (a.is_array() && b.is_array())
    return a.size() == b.size() && std::equal(a.begin(), a.end(), b.begin(), alike);
  if (!a.is_number() || !b.is_number()) return a == b;
  const double x = a.get<double>(), y = b.get<double>();
  return std::abs(x - y) <= 1e-6 * std::max(std::abs(x), std::abs(y));
}

// What a model computes, by the keys of config.json that say it.
std::vector<std::pair<std::string, Json>> computed(const ModelConfig& c) {
  const Experts& e = c.experts;
  const Latent& a = c.latent;
  const LinearAttention& d = c.linear;
  const UnlikeLayers& u = c.unlike;
  const Family& family = family_of(c);
  const double scale = c.attention_scale > 0 ? c.attention_scale : 1 / std::sqrt(double(c.head_dim));
  std::vector<std::pair<std::string, Json>> out = {
      {"head_dim", c.head_dim},
      {"attention_bias", {c.qkv_bias, c.out_bias}},
      {"mlp_bias", c.mlp_bias},
      {"tie_word_embeddings", c.tied},
      {"hidden_act", c.activation},
      {"rms_norm_eps", c.norm_eps},
      {reads_key(family, "query_pre_attn_scalar") ? "query_pre_attn_scalar" : "attention_multiplier", scale},
      {"attn_logit_softcapping", c.attention_softcap},
      {"final_logit_softcapping", c.logits.softcap},
      {"embedding_multiplier", c.embedding_scale},
      {"residual_multiplier", c.residual_scale},
      {"logits_scaling", c.logits.scale},
      {"no_rope_layers", by_layer(c, [&](int64_t l) { return c.turns(l); })},
      {"rope_parameters", rope_json(c.rope, c.turning_dim())},
      {"llama_4_scaling_beta", c.query_growth},
      {"use_qk_norm", static_cast<int>(c.qk_norm)},
      {"n_routed_experts", e.count},
      {"num_experts_per_tok", e.chosen},
      {"moe_intermediate_size", e.intermediate},
      {"n_shared_experts", e.shared_intermediate},
      {"norm_topk_prob", e.renormalised},
      {"routed_scaling_factor", e.scale},
      {"n_group", e.groups},
      {"topk_group", e.groups_chosen},
      {"swiglu_limit", e.limit},
      {"swiglu_alpha", e.alpha},
      {"enable_moe_block", e.beside_mlp},
      {"q_lora_rank", a.query_rank},
      {"kv_lora_rank", a.rank},
      {"qk_nope_head_dim", a.unturned},
      {"qk_rope_head_dim", a.turned},
      {"v_head_dim", a.value},
      {"linear_num_key_heads", d.key_heads},
      {"linear_num_value_heads", d.value_heads},
      {"linear_key_head_dim", d.key_dim},
      {"linear_value_head_dim", d.value_dim},
      {"linear_conv_kernel_dim", d.kernel},
      {"layer_types of linear attention", by_layer(c, [&](int64_t l) { return c.linear_attention(l); })},
      {"num_key_value_heads", c.kv_heads},
      {"global_head_dim", u.full_head_dim},
      {"num_global_key_value_heads", u.full_kv_heads},
      {"attention_k_eq_v",
       by_layer(c, [&](int64_t l) { return c.kv_heads_of(l) > 0 && c.keys_are_values(l); })},
      {"num_kv_shared_layers", u.borrowers},
      {"use_double_wide_mlp", u.borrowers > 0 && u.wide_borrowers},
      {"hidden_size_per_layer_input", u.own_embedding_width},
      {"conv_bias", c.short_conv.biases},
      {"layer_types of convolutions", by_layer(c, [&](int64_t l) { return c.short_convolution(l); })},
      {reads_key(family, "first_k_dense_replace") ? "first_k_dense_replace" : "mlp_only_layers",
       by_layer(c, [&](int64_t l) { return !c.sparse(l); })}};
  if (gguf_family(family).windows == GgufFamily::kNoWindow) return out;
  out.emplace_back("sliding_window", c.sliding_window);
  out.emplace_back("layer_types", by_layer(c, [&](int64_t l) { return c.window(l) > 0; }));
  out.emplace_back("rope_parameters of layers with a window", by_layer(c, [&](int64_t l) {
                     return rope_json(c.rope_of(l),
                                      c.window(l) > 0 ? c.window_turning_dim() : c.turning_dim());
                   }));
  return out;
}

// What deepseek2 has in its code.
template <class Refuse>
void check_latent(const ModelConfig& c, const Refuse& refuse) {
  const std::string& rope = c.rope.type;
  if (rope != "default" && rope != "yarn")
    refuse("rope_parameters", "expected default or yarn, found " + rope);
  // Without it, llama.cpp has the scores grow by a factor of its own.
  if (rope == "yarn" && c.attention_scale * std::sqrt(double(c.head_dim)) < 1 + 1e-6)
    refuse("rope_parameters", "expected yarn with mscale_all_dim above 0, found none");
  // By these sizes it tells the models whose queries come straight from the stream.
  const bool straight = c.layers == 26 || c.layers == 27 || (c.layers == 48 && c.vocab == 128256);
  if (straight != (c.latent.query_rank == 0))
    refuse("q_lora_rank", fmt::format("expected {} with {} layers, found {}", straight ? "null" : "a number",
                                      c.layers, straight ? std::to_string(c.latent.query_rank) : "null"));
}

}  // namespace

void check_expressible(const ModelConfig& config, const GgufContents& contents, const std::string& folder) {
  const Family& family = family_of(config);
  const GgufFamily& how = gguf_family(family);
  const auto refuse = [&](const std::string& key, const std::string& why) {
    user_error("{}: {}: {}; llama.cpp's architecture \"{}\" has no place for it", folder, key, why,
               family.gguf);
  };
  if (config.tied && how.own_head) refuse("tie_word_embeddings", "expected false");
  if (config.rope.type == "llama3" && !how.pairs) refuse("rope_scaling", "llama3");
  if (config.rope.type == "longrope" && how.windows != GgufFamily::kStored)
    refuse("rope_scaling", "longrope");
  if (config.latent.rank > 0) check_latent(config, refuse);
  // Queries and keys of linear attention are made units with 1e-6, in llama.cpp with the norms' number.
  if (config.linear.key_heads > 0 && std::abs(config.norm_eps - 1e-6) > 1e-9)
    refuse("rms_norm_eps", fmt::format("expected 1e-06, found {}", config.norm_eps));
  if (const LinearAttention& l = config.linear; l.value_dim != l.key_dim)  // its states are square
    refuse("linear_value_head_dim",
           fmt::format("expected the linear_key_head_dim {}, found {}", l.key_dim, l.value_dim));
  const auto wanted = computed(config), written = computed(config_of(family, contents));
  for (size_t i = 0; i < wanted.size(); ++i) {
    const auto shown = [](const Json& value) { return dump_line(value).substr(0, 100); };
    if (!alike(wanted[i].second, written[i].second))
      refuse(wanted[i].first,
             fmt::format("expected {}, found {}", shown(written[i].second), shown(wanted[i].second)));
  }
  // The file says them, but llama.cpp reads them for one architecture alone.
  if (const Rope& r = config.rope;
      r.type == "yarn" && std::string(family.gguf) != "mistral3" && (r.beta_fast != 32 || r.beta_slow != 1))
    refuse("rope_parameters",
           fmt::format("expected beta_fast 32 and beta_slow 1, found {} and {}", r.beta_fast, r.beta_slow));
}

}  // namespace temper
