#include "model/gguf/gguf_families.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/json.h"

namespace temper {
namespace {

using Kind = GgufKey::Kind;

// Where a file is silent.
constexpr const char* kLatentDefaults =
    R"({"norm_topk_prob": false, "routed_scaling_factor": 1.0, "n_group": 1, "topk_group": 1,
        "first_k_dense_replace": 0, "q_lora_rank": null})";

Json read_key(const GgufFile& file, const GgufKey& key, const std::string& name) {
  switch (key.kind) {
    case GgufKey::kInteger:
      return file.integer(name);
    case GgufKey::kIntegers:
      return file.integers(name);
    case GgufKey::kByLayer:
      return file.is_array(name) ? Json(file.integers(name)) : Json(file.integer(name));
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
       .keys = {window_key(), window_flags_key()}},
      {.family = "smollm3",
       .pairs = true,
       .fixed = R"({"no_rope_layer_interval": 4, "use_sliding_window": false})"},
      {.family = "ministral3",
       .pairs = true,
       .keys = {log_multiplier_key(),
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
       .keys =
           joined({experts_key("n_routed_experts"), chosen_key(), expert_width_key("moe_intermediate_size"),
                   gating_key(), shared_key(), dense_key(), further_key()},
                  group_keys())},
      {.family = "deepseek_v3", .fixed = kLatentDefaults, .keys = latent_keys()},
      {.family = "qwen3_5_text", .mlp_norm = "post_attention_norm", .keys = delta_keys()},
      {.family = "qwen3_5_moe_text",
       .mlp_norm = "post_attention_norm",
       .keys =
           joined(delta_keys(),
                  {{"feed_forward_length", "", Kind::kInteger},  // all layers have experts
                   experts_key("num_experts"),
                   chosen_key(),
                   expert_width_key("moe_intermediate_size"),
                   {"expert_shared_feed_forward_length", "shared_expert_intermediate_size", Kind::kInteger,
                    [](const ModelConfig& c) { return Json(c.experts.shared_intermediate); }, true}})},
      {.family = "gemma4_text",
       .windows = GgufFamily::kComputed,
       .joined_experts = true,
       .fixed = R"({"final_logit_softcapping": 30.0, "num_kv_shared_layers": 0})",
       .keys = gemma4_keys()},
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
    const bool dense = f.expert_files == nullptr || reads_key(f, "enable_moe_block");
    if (mixture ? f.expert_files == nullptr : !dense) continue;
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
    if (key.kind == GgufKey::kByLayer && !value.is_array())
      writer.u32(name, static_cast<uint32_t>(value.get<int64_t>()));
    if (key.kind == GgufKey::kIntegers || (key.kind == GgufKey::kByLayer && value.is_array()))
      writer.i32s(name, value.get<std::vector<int32_t>>());
    if (key.kind == GgufKey::kNumber) writer.f32(name, static_cast<float>(value.get<double>()));
    if (key.kind == GgufKey::kText) writer.text(name, value.get<std::string>());
    if (key.kind == GgufKey::kFlag) writer.boolean(name, value.get<bool>());
    if (key.kind == GgufKey::kFlags) writer.booleans(name, value.get<std::vector<bool>>());
  }
}

}  // namespace temper
