#include "model/gguf/gguf_keys.h"

#include <cmath>

#include "base/json.h"

namespace temper {
namespace {

using Kind = GgufKey::Kind;

bool is_yarn(const ModelConfig& c) {
  return c.rope.type == "yarn";
}

int64_t leading_dense_layers(const ModelConfig& c) {
  int64_t first = 0;
  while (first < c.layers && !c.sparse(first)) ++first;
  return first;
}

// How many pairs of a head turn by each of three positions, by turns: in a text all three are the same, but
// llama.cpp does not turn a pair that has none.
Json turning_sections(const ModelConfig& c) {
  const int64_t pairs = static_cast<int64_t>(double(c.head_dim) * c.rope.partial) / 2;
  return {(pairs + 2) / 3, (pairs + 1) / 3, pairs / 3, 0};
}

// Every so many layers one has plain attention; 0: they do not lie so.
int64_t full_attention_interval(const ModelConfig& c) {
  for (int64_t interval = 1; interval <= c.layers + 1; ++interval) {
    int64_t l = 0;
    while (l < c.layers && c.linear_attention(l) == ((l + 1) % interval != 0)) ++l;
    if (l == c.layers) return interval;
  }
  return 0;
}

int64_t window_turning_dims(const ModelConfig& c) {
  const Rope& rope = c.window_rope ? *c.window_rope : c.rope;
  return static_cast<int64_t>(static_cast<double>(c.head_dim) * rope.partial);
}

}  // namespace

std::vector<GgufKey> usual_keys() {
  return {
      {"block_count", "num_hidden_layers", Kind::kInteger,
       [](const ModelConfig& c) { return Json(c.layers); }, true},
      {"context_length", "max_position_embeddings", Kind::kInteger,
       [](const ModelConfig& c) { return Json(c.max_positions); }},
      {"embedding_length", "hidden_size", Kind::kInteger, [](const ModelConfig& c) { return Json(c.hidden); },
       true},
      {"feed_forward_length", "intermediate_size", Kind::kInteger,
       [](const ModelConfig& c) { return Json(c.intermediate); }, true},
      {"attention.head_count", "num_attention_heads", Kind::kInteger,
       [](const ModelConfig& c) { return Json(c.heads); }, true},
      {"attention.head_count_kv", "num_key_value_heads", Kind::kInteger,
       [](const ModelConfig& c) { return Json(c.kv_heads); }},
      {"attention.key_length", "head_dim", Kind::kInteger,
       [](const ModelConfig& c) { return Json(c.head_dim); }},
      {"attention.value_length", "", Kind::kInteger, [](const ModelConfig& c) { return Json(c.head_dim); }},
      {"rope.dimension_count", "", Kind::kInteger,
       [](const ModelConfig& c) { return Json(static_cast<int64_t>(double(c.head_dim) * c.rope.partial)); }},
      {"vocab_size", "", Kind::kInteger, [](const ModelConfig& c) { return Json(c.vocab); }},
      {"attention.layer_norm_rms_epsilon", "rms_norm_eps", Kind::kNumber,
       [](const ModelConfig& c) { return Json(c.norm_eps); }, true},
      {"rope.freq_base", "rope_theta", Kind::kNumber,
       [](const ModelConfig& c) { return Json(c.rope.theta); }},
      {"rope.scaling.type", "rope_scaling.rope_type", Kind::kText,
       [](const ModelConfig& c) {
         return is_yarn(c) || c.rope.type == "linear" ? Json(c.rope.type) : Json();
       }},
      {"rope.scaling.factor", "rope_scaling.factor", Kind::kNumber,
       [](const ModelConfig& c) {
         return is_yarn(c) || c.rope.type == "linear" ? Json(c.rope.factor) : Json();
       }},
      {"rope.scaling.original_context_length", "rope_scaling.original_max_position_embeddings",
       Kind::kInteger,
       [](const ModelConfig& c) { return is_yarn(c) ? Json(c.rope.original_max_positions) : Json(); }},
      {"rope.scaling.yarn_beta_fast", "rope_scaling.beta_fast", Kind::kNumber,
       [](const ModelConfig& c) { return is_yarn(c) ? Json(c.rope.beta_fast) : Json(); }},
      {"rope.scaling.yarn_beta_slow", "rope_scaling.beta_slow", Kind::kNumber,
       [](const ModelConfig& c) { return is_yarn(c) ? Json(c.rope.beta_slow) : Json(); }},
      // llama.cpp's converter writes it; what llama.cpp computes by it has changed, so that it is only read.
      {"rope.scaling.yarn_attn_factor", "rope_scaling.attention_factor", Kind::kNumber},
  };
}

GgufKey window_key() {
  return {"attention.sliding_window", "sliding_window", Kind::kInteger,
          [](const ModelConfig& c) { return c.sliding_window > 0 ? Json(c.sliding_window) : Json(); }};
}
GgufKey final_softcap_key() {
  return {"final_logit_softcapping", "final_logit_softcapping", Kind::kNumber,
          [](const ModelConfig& c) { return c.logits.softcap > 0 ? Json(c.logits.softcap) : Json(); }};
}
GgufKey experts_key(const char* config) {
  return {"expert_count", config, Kind::kInteger, [](const ModelConfig& c) { return Json(c.experts.count); },
          true};
}
GgufKey chosen_key() {
  return {"expert_used_count", "num_experts_per_tok", Kind::kInteger,
          [](const ModelConfig& c) { return Json(c.experts.chosen); }, true};
}
GgufKey expert_width_key(const char* config) {
  return {"expert_feed_forward_length", config, Kind::kInteger,
          [](const ModelConfig& c) { return Json(c.experts.intermediate); }};
}
GgufKey shared_key() {
  return {"expert_shared_count", "n_shared_experts", Kind::kInteger,
          [](const ModelConfig& c) { return Json(c.experts.shared_intermediate / c.experts.intermediate); }};
}
GgufKey dense_key() {
  return {"leading_dense_block_count", "first_k_dense_replace", Kind::kInteger,
          [](const ModelConfig& c) { return Json(leading_dense_layers(c)); }};
}
std::vector<GgufKey> group_keys() {
  return {{"expert_weights_scale", "routed_scaling_factor", Kind::kNumber,
           [](const ModelConfig& c) { return Json(c.experts.scale); }},
          {"expert_weights_norm", "norm_topk_prob", Kind::kFlag,
           [](const ModelConfig& c) { return Json(c.experts.renormalised); }},
          {"expert_group_count", "n_group", Kind::kInteger,
           [](const ModelConfig& c) { return Json(c.experts.groups); }},
          {"expert_group_used_count", "topk_group", Kind::kInteger,
           [](const ModelConfig& c) { return Json(c.experts.groups_chosen); }}};
}
GgufKey further_key() {
  return {"nextn_predict_layers", "", Kind::kInteger};
}
GgufKey window_flags_key() {
  return {"attention.sliding_window_pattern", "", Kind::kFlags,
          [](const ModelConfig& c) { return by_layer(c, [&](int64_t l) { return c.window(l) > 0; }); }};
}

std::vector<GgufKey> joined(std::vector<GgufKey> a, const std::vector<GgufKey>& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

GgufKey gating_key() {
  return {"expert_gating_func", "", Kind::kInteger, [](const ModelConfig& c) {
            return c.experts.router == Experts::Router::kSigmoid ? Json(2) : Json();
          }};
}

// deepseek2's attention runs over the latents, of which there is one head of keys and values.
std::vector<GgufKey> latent_keys() {
  const auto none = [](const ModelConfig&) { return Json(1); };
  return joined(
      {{"attention.head_count_kv", "", Kind::kInteger, none},
       {"attention.key_length", "", Kind::kInteger,
        [](const ModelConfig& c) { return Json(c.latent.rank + c.latent.turned); }},
       {"attention.value_length", "", Kind::kInteger,
        [](const ModelConfig& c) { return Json(c.latent.rank); }},
       {"attention.key_length_mla", "", Kind::kInteger, [](const ModelConfig& c) { return Json(c.head_dim); },
        true},
       {"attention.value_length_mla", "v_head_dim", Kind::kInteger,
        [](const ModelConfig& c) { return Json(c.latent.value); }, true},
       {"attention.kv_lora_rank", "kv_lora_rank", Kind::kInteger,
        [](const ModelConfig& c) { return Json(c.latent.rank); }, true},
       {"attention.q_lora_rank", "q_lora_rank", Kind::kInteger,
        [](const ModelConfig& c) { return c.latent.query_rank > 0 ? Json(c.latent.query_rank) : Json(); }},
       {"rope.dimension_count", "qk_rope_head_dim", Kind::kInteger,
        [](const ModelConfig& c) { return Json(c.latent.turned); }, true},
       // A tenth of the key's number, for llama.cpp's own reasons.
       {"rope.scaling.yarn_log_multiplier", "", Kind::kNumber,
        [](const ModelConfig& c) {
          const double step = 0.1 * std::log(c.rope.factor);
          if (!is_yarn(c) || step <= 0) return Json();
          const double growth = std::sqrt(c.attention_scale * std::sqrt(static_cast<double>(c.head_dim)));
          return Json(0.1 * (growth - 1) / step);
        }},
       experts_key("n_routed_experts"),
       chosen_key(),
       expert_width_key("moe_intermediate_size"),
       gating_key(),
       shared_key(),
       dense_key(),
       further_key()},
      group_keys());
}

std::vector<GgufKey> delta_keys() {
  return {{"rope.dimension_sections", "", Kind::kIntegers, turning_sections},
          {"ssm.conv_kernel", "linear_conv_kernel_dim", Kind::kInteger,
           [](const ModelConfig& c) { return Json(c.linear.kernel); }, true},
          {"ssm.state_size", "linear_key_head_dim", Kind::kInteger,
           [](const ModelConfig& c) { return Json(c.linear.key_dim); }, true},
          {"ssm.group_count", "linear_num_key_heads", Kind::kInteger,
           [](const ModelConfig& c) { return Json(c.linear.key_heads); }, true},
          {"ssm.time_step_rank", "linear_num_value_heads", Kind::kInteger,
           [](const ModelConfig& c) { return Json(c.linear.value_heads); }, true},
          {"ssm.inner_size", "", Kind::kInteger,
           [](const ModelConfig& c) { return Json(c.linear.value_heads * c.linear.value_dim); }, true},
          {"full_attention_interval", "", Kind::kInteger,
           [](const ModelConfig& c) {
             const int64_t interval = full_attention_interval(c);
             return interval > 0 ? Json(interval) : Json();
           }},
          {"attention.recurrent_layers", "", Kind::kFlags,
           [](const ModelConfig& c) {
             if (full_attention_interval(c) > 0) return Json();
             return by_layer(c, [&](int64_t l) { return c.linear_attention(l); });
           }},
          further_key()};
}

std::vector<GgufKey> gemma4_keys() {
  GgufKey windows = window_flags_key();
  windows.needed = true;
  const auto full = [](const ModelConfig& c) { return Json(c.turning_dim()); };
  const auto windowed = [](const ModelConfig& c) { return Json(c.head_dim); };
  return {
      {"feed_forward_length", "", Kind::kByLayer,
       [](const ModelConfig& c) {
         if (c.unlike.borrowers == 0 || !c.unlike.wide_borrowers) return Json(c.intermediate);
         return by_layer(c, [&](int64_t l) { return c.intermediate_of(l); });
       },
       true},
      {"attention.head_count_kv", "", Kind::kByLayer,
       [](const ModelConfig& c) {
         if (c.unlike.full_kv_heads == 0) return Json(c.kv_heads);
         return by_layer(c, [&](int64_t l) { return c.window(l) > 0 ? c.kv_heads : c.unlike.full_kv_heads; });
       },
       true},
      {"attention.key_length", "global_head_dim", Kind::kInteger, full, true},
      {"attention.value_length", "", Kind::kInteger, full},
      {"attention.key_length_swa", "head_dim", Kind::kInteger, windowed, true},
      {"attention.value_length_swa", "", Kind::kInteger, windowed},
      {"rope.dimension_count", "", Kind::kInteger, full},
      {"rope.dimension_count_swa", "", Kind::kInteger,
       [](const ModelConfig& c) { return Json(window_turning_dims(c)); }},
      {"rope.freq_base_swa", "", Kind::kNumber,
       [](const ModelConfig& c) { return Json((c.window_rope ? *c.window_rope : c.rope).theta); }, true},
      {"attention.sliding_window", "sliding_window", Kind::kInteger,
       // llama.cpp wants one where no layer has any, too.
       [](const ModelConfig& c) { return Json(c.sliding_window > 0 ? c.sliding_window : c.max_positions); },
       true},
      windows,
      {"attention.shared_kv_layers", "num_kv_shared_layers", Kind::kInteger,
       [](const ModelConfig& c) { return Json(c.unlike.borrowers); }},
      {"embedding_length_per_layer_input", "hidden_size_per_layer_input", Kind::kInteger,
       [](const ModelConfig& c) { return Json(c.unlike.own_embedding_width); }, true},
      // Where the file is silent, llama.cpp has 30; 0: none.
      {"final_logit_softcapping", "final_logit_softcapping", Kind::kNumber,
       [](const ModelConfig& c) { return Json(c.logits.softcap); }},
      {"expert_count", "num_experts", Kind::kInteger,
       [](const ModelConfig& c) { return c.experts.count > 0 ? Json(c.experts.count) : Json(); }},
      {"expert_used_count", "top_k_experts", Kind::kInteger,
       [](const ModelConfig& c) { return c.experts.count > 0 ? Json(c.experts.chosen) : Json(); }},
      {"expert_feed_forward_length", "moe_intermediate_size", Kind::kInteger,
       [](const ModelConfig& c) { return c.experts.count > 0 ? Json(c.experts.intermediate) : Json(); }}};
}

// The mscale_all_dim that gives a rope's amplitude beside an mscale of 1, as llama.cpp takes it; null: the
// usual amplitude.
GgufKey log_multiplier_key() {
  return {"rope.scaling.yarn_log_multiplier", "rope_scaling.mscale_all_dim", Kind::kNumber,
          [](const ModelConfig& c) {
            const double step = 0.1 * std::log(c.rope.factor);
            if (!is_yarn(c) || step <= 0) return Json();
            const double all = ((1 + step) / c.rope.amplitude - 1) / step;
            return std::abs(all) < 1e-9 ? Json() : Json(all);
          }};
}

}  // namespace temper
