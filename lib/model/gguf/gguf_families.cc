#include "model/gguf/gguf_families.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/json.h"

namespace temper {
namespace {

using Kind = GgufKey::Kind;

bool is_yarn(const ModelConfig& c) {
  return c.rope.type == "yarn";
}

// The mscale_all_dim that gives a rope's amplitude beside an mscale of 1, as llama.cpp takes it; null: the
// usual amplitude.
Json log_multiplier(const ModelConfig& c) {
  const double step = 0.1 * std::log(c.rope.factor);
  if (!is_yarn(c) || step <= 0) return {};
  const double all = ((1 + step) / c.rope.amplitude - 1) / step;
  return std::abs(all) < 1e-9 ? Json() : Json(all);
}

int64_t leading_dense_layers(const ModelConfig& c) {
  int64_t first = 0;
  while (first < c.layers && !c.sparse(first)) ++first;
  return first;
}

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
GgufKey gating_key() {  // 1: softmax, 2: sigmoid
  return {"expert_gating_func", "", Kind::kInteger, [](const ModelConfig& c) {
            return c.experts.router == Experts::Router::kSigmoid ? Json(2) : Json();
          }};
}

Json read_key(const GgufFile& file, const GgufKey& key, const std::string& name) {
  switch (key.kind) {
    case GgufKey::kInteger:
      return file.integer(name);
    case GgufKey::kIntegers:
      return file.integers(name);
    case GgufKey::kNumber:
      return file.number(name);
    case GgufKey::kText:
      return file.text(name);
    case GgufKey::kFlag:
      return file.boolean(name);
    case GgufKey::kFlags:
      return file.booleans(name);
  }
  bug("{}: unknown kind of key", name);
}

std::vector<GgufFamily> make_table() {
  return {
      {.family = "llama", .pairs = true, .biases = GgufFamily::kAllBiases},
      {.family = "mistral", .pairs = true},
      {.family = "qwen2", .biases = GgufFamily::kAttentionBiases},
      {.family = "qwen3", .biases = GgufFamily::kAttentionBiases},
      {.family = "gemma2",
       .windows = GgufFamily::kComputed,
       .window_period = 2,
       .widest_layers = 46,
       .fixed =
           R"({"sliding_window": 4096, "attn_logit_softcapping": 50.0, "final_logit_softcapping": 30.0})",
       .keys = {window_key(),
                final_softcap_key(),
                {"attn_logit_softcapping", "attn_logit_softcapping", Kind::kNumber,
                 [](const ModelConfig& c) {
                   return c.attention_softcap > 0 ? Json(c.attention_softcap) : Json();
                 }}}},
      {.family = "gemma3_text",
       .windows = GgufFamily::kComputed,
       .window_period = 6,
       .widest_layers = 62,
       .fixed = R"({"sliding_window": null, "rope_local_base_freq": 10000.0})",
       .keys = {window_key(),
                final_softcap_key(),
                // Newer than the architecture: files without it have 10000.
                {"rope.freq_base_swa", "rope_local_base_freq", Kind::kNumber,
                 [](const ModelConfig& c) {
                   return Json((c.window_rope ? *c.window_rope : c.rope).theta);
                 }}}},
      {.family = "phi3",
       .windows = GgufFamily::kStored,
       .keys = {{"attention.sliding_window", "sliding_window", Kind::kInteger,  // 0: none
                 [](const ModelConfig& c) { return Json(c.sliding_window); }},
                {"rope.scaling.original_context_length", "original_max_position_embeddings", Kind::kInteger,
                 [](const ModelConfig& c) {
                   return Json(c.rope.type == "longrope" ? c.rope.original_max_positions : c.max_positions);
                 }},
                {"rope.scaling.attn_factor", "", Kind::kNumber,
                 [](const ModelConfig& c) {
                   return c.rope.type == "longrope" ? Json(c.rope.amplitude) : Json();
                 }}}},
      {.family = "glm4", .biases = GgufFamily::kAttentionBiases},
      {.family = "granite",
       .pairs = true,
       .biases = GgufFamily::kAllBiases,
       .keys = {{"attention.scale", "attention_multiplier", Kind::kNumber,
                 [](const ModelConfig& c) { return Json(c.attention_scale); }},
                {"embedding_scale", "embedding_multiplier", Kind::kNumber,
                 [](const ModelConfig& c) { return Json(c.embedding_scale); }},
                {"residual_scale", "residual_multiplier", Kind::kNumber,
                 [](const ModelConfig& c) { return Json(c.residual_scale); }},
                {"logit_scale", "logits_scaling", Kind::kNumber,  // a divisor
                 [](const ModelConfig& c) { return Json(1.0 / c.logits.scale); }}}},
      {.family = "olmo2", .own_head = true, .heads_fill_width = true},
      {.family = "olmo3",
       .windows = GgufFamily::kComputed,
       .window_period = 4,
       .own_head = true,
       .heads_fill_width = true,
       .ropes_by_layer = true,
       .keys = {window_key(),
                {"attention.sliding_window_pattern", "", Kind::kFlags,
                 [](const ModelConfig& c) {
                   Json uses = Json::array();
                   for (int64_t l = 0; l < c.layers; ++l) uses.push_back(c.window(l) > 0);
                   return uses;
                 }}}},
      {.family = "smollm3",
       .pairs = true,
       .fixed = R"({"no_rope_layer_interval": 4, "use_sliding_window": false})"},
      {.family = "ministral3",
       .pairs = true,
       .keys = {{"rope.scaling.yarn_log_multiplier", "rope_scaling.mscale_all_dim", Kind::kNumber,
                 log_multiplier},
                {"attention.temperature_scale", "rope_scaling.llama_4_scaling_beta", Kind::kNumber,
                 [](const ModelConfig& c) { return c.query_growth > 0 ? Json(c.query_growth) : Json(); }}}},
      {.family = "qwen3_moe",
       .fixed = R"({"norm_topk_prob": true, "decoder_sparse_step": 1, "mlp_only_layers": [],
                    "use_sliding_window": false})",
       .keys = {experts_key("num_experts"), chosen_key(), expert_width_key("moe_intermediate_size"),
                gating_key()}},
      {.family = "mixtral",
       .pairs = true,
       .keys = {experts_key("num_local_experts"), chosen_key(), gating_key()}},
      {.family = "gpt_oss",
       .biases = GgufFamily::kAttentionBiases,
       .windows = GgufFamily::kComputed,
       .window_period = 2,
       .own_head = true,
       .mlp_norm = "post_attention_norm",
       .truncates_yarn = false,
       .keys = {window_key(), experts_key("num_local_experts"), chosen_key(),
                expert_width_key("intermediate_size"), gating_key()}},
      {.family = "glm4_moe",
       .biases = GgufFamily::kAttentionBiases,
       .mlp_norm = "post_attention_norm",
       .keys = {experts_key("n_routed_experts"),
                chosen_key(),
                expert_width_key("moe_intermediate_size"),
                gating_key(),
                {"expert_shared_count", "n_shared_experts", Kind::kInteger,
                 [](const ModelConfig& c) {
                   return Json(c.experts.shared_intermediate / c.experts.intermediate);
                 }},
                {"leading_dense_block_count", "first_k_dense_replace", Kind::kInteger,
                 [](const ModelConfig& c) { return Json(leading_dense_layers(c)); }},
                {"expert_weights_scale", "routed_scaling_factor", Kind::kNumber,
                 [](const ModelConfig& c) { return Json(c.experts.scale); }},
                {"expert_weights_norm", "norm_topk_prob", Kind::kFlag,
                 [](const ModelConfig& c) { return Json(c.experts.renormalised); }},
                {"expert_group_count", "n_group", Kind::kInteger,
                 [](const ModelConfig& c) { return Json(c.experts.groups); }},
                {"expert_group_used_count", "topk_group", Kind::kInteger,
                 [](const ModelConfig& c) { return Json(c.experts.groups_chosen); }},
                // Of the block_count; they predict several tokens at once.
                {"nextn_predict_layers", "", Kind::kInteger}}},
      {.family = "lfm2",
       .fixed = R"({"conv_bias": false, "block_auto_adjust_ff_dim": false})",
       .keys = {{"attention.head_count_kv", "", Kind::kIntegers,  // by layer; 0: a convolution
                 [](const ModelConfig& c) {
                   Json heads = Json::array();
                   for (int64_t l = 0; l < c.layers; ++l) heads.push_back(c.kv_heads_of(l));
                   return heads;
                 },
                 true},
                {"attention.layer_norm_rms_epsilon", "norm_eps", Kind::kNumber,
                 [](const ModelConfig& c) { return Json(c.norm_eps); }, true},
                {"shortconv.l_cache", "conv_L_cache", Kind::kInteger,
                 [](const ModelConfig& c) { return Json(c.short_conv.kernel); }, true}}},
  };
}

}  // namespace

const GgufFamily& gguf_family(const Family& family) {
  static const std::vector<GgufFamily> table = make_table();
  for (const GgufFamily& entry : table) {
    if (std::string(entry.family) == family.name) return entry;
  }
  bug("the family {} has no entry in the table of GGUF's", family.name);
}

std::vector<GgufKey> gguf_keys(const Family& family) {
  std::vector<GgufKey> out = usual_keys();
  for (const GgufKey& own : gguf_family(family).keys) {
    const auto it =
        std::find_if(out.begin(), out.end(), [&](const GgufKey& k) { return k.name == own.name; });
    if (it == out.end())
      out.push_back(own);
    else
      *it = own;
  }
  return out;
}

const Family& family_in(const GgufFile& file) {
  const std::string arch = file.text("general.architecture"), experts = arch + ".expert_count";
  const bool mixture = file.has(experts) && file.integer(experts) > 0,
             window = file.has(arch + ".attention.sliding_window");
  const Family* best = nullptr;
  std::string known;
  bool named = false;
  const auto computes_window = [](const Family& f) {
    return gguf_family(f).windows == GgufFamily::kComputed;
  };
  for (const Family& f : families()) {
    if (f.gguf == nullptr) continue;
    if (known.find(f.gguf) == std::string::npos) known += (known.empty() ? "" : ", ") + std::string(f.gguf);
    if (arch != f.gguf) continue;
    named = true;
    if ((f.expert_files != nullptr) != mixture) continue;
    if (best == nullptr || (window && computes_window(f) && !computes_window(*best))) best = &f;
  }
  if (!named)
    user_error("{}: general.architecture: expected one of {}, found \"{}\"", file.path(), known,
               arch.substr(0, 60));
  if (best == nullptr)
    user_error("{}: {}: {} mixtures of experts are not supported", file.path(), experts,
               mixture ? arch : arch + " without");
  return *best;
}

Json read_gguf_keys(const GgufFile& file, const Family& family) {
  Json out = Json::object();
  const std::string start = std::string(family.gguf) + ".";
  for (const GgufKey& key : gguf_keys(family)) {
    if (key.needed || file.has(start + key.name)) out[key.name] = read_key(file, key, start + key.name);
  }
  return out;
}

Json gguf_metadata(const ModelConfig& config) {
  Json out = Json::object();
  for (const GgufKey& key : gguf_keys(family_of(config))) {
    Json value = key.value == nullptr ? Json() : key.value(config);
    if (key.kind == GgufKey::kNumber && !value.is_null())
      value = std::strtod(fmt::format("{}", static_cast<float>(value.get<double>())).c_str(), nullptr);
    if (!value.is_null()) out[key.name] = value;
  }
  return out;
}

void write_gguf_keys(const Family& family, const Json& metadata, GgufWriter& writer) {
  for (const GgufKey& key : gguf_keys(family)) {
    if (!metadata.contains(key.name)) continue;
    const Json& value = metadata[key.name];
    const std::string name = std::string(family.gguf) + "." + key.name;
    if (key.kind == GgufKey::kInteger) writer.u32(name, static_cast<uint32_t>(value.get<int64_t>()));
    if (key.kind == GgufKey::kIntegers) writer.i32s(name, value.get<std::vector<int32_t>>());
    if (key.kind == GgufKey::kNumber) writer.f32(name, static_cast<float>(value.get<double>()));
    if (key.kind == GgufKey::kText) writer.text(name, value.get<std::string>());
    if (key.kind == GgufKey::kFlag) writer.boolean(name, value.get<bool>());
    if (key.kind == GgufKey::kFlags) writer.booleans(name, value.get<std::vector<bool>>());
  }
}

}  // namespace temper
