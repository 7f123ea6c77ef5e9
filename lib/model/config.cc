#include "model/config.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/fields.h"
#include "base/json.h"
#include "model/config_keys.h"
#include "model/config_layers.h"
#include "model/config_rope.h"
#include "model/families.h"

namespace temper {
namespace {

constexpr int64_t kMaxVocab = kMaxTokenId, kMaxExperts = 1 << 12, kMaxScores = 1 << 10;
constexpr int64_t kMaxParameters = 4'000'000'000'000;

std::vector<int64_t> read_eos(const ConfigKeys& keys) {
  const Json* j = keys.get("eos_token_id");
  if (j == nullptr || !j->is_array()) {
    const auto one = keys.token("eos_token_id", std::nullopt);
    return one ? std::vector<int64_t>{*one} : std::vector<int64_t>{};
  }
  std::vector<int64_t> out;
  for (const Json& id : *j) {
    if (!id.is_number_integer() || id < 0 || id > kMaxVocab)
      keys.wrong("eos_token_id", "a token id or an array of them", *j);
    if (std::find(out.begin(), out.end(), id.get<int64_t>()) == out.end()) out.push_back(id.get<int64_t>());
  }
  return out;
}

// transformers' architectures end in ForCausalLM or ForSequenceClassification; a missing one is causal.
// Labels left out are two, as there.
void read_heads(const ConfigKeys& keys, ModelConfig& config) {
  const Json* names = keys.get("architectures");
  const bool named = names != nullptr && names->is_array() && !names->empty() && (*names)[0].is_string();
  if (!named || !(*names)[0].get<std::string>().ends_with("ForSequenceClassification")) return;
  config.causal = false;
  config.scores = keys.integer("num_labels", 1, kMaxScores, 2);
  const Json* labels = keys.get("id2label");
  if (labels == nullptr) return;
  if (!labels->is_object() || labels->empty() || labels->size() > static_cast<size_t>(kMaxScores))
    keys.wrong("id2label", "an object of names by number", *labels);
  config.scores = static_cast<int64_t>(labels->size());
  for (int64_t i = 0; i < config.scores; ++i) {
    const auto it = labels->find(std::to_string(i));
    if (it == labels->end() || !it->is_string())
      keys.wrong("id2label", fmt::format("a name for each of 0 .. {}", config.scores - 1), *labels);
    config.score_names.push_back(it->get<std::string>());
  }
}

// The architecture's name, and the labels of a score head.
void write_heads(const ModelConfig& config, const Family& family, Json& j) {
  std::string architecture = family.architecture;
  const std::string causal = "ForCausalLM";
  if (!config.causal)
    architecture.replace(architecture.size() - causal.size(), causal.size(), "ForSequenceClassification");
  j["architectures"] = {architecture};
  if (!config.causal) {
    for (int64_t i = 0; i < config.scores; ++i) {
      const std::string id = std::to_string(i);
      const std::string name =
          config.score_names.empty() ? "LABEL_" + id : config.score_names.at(static_cast<size_t>(i));
      j["id2label"][id] = name;
      j["label2id"][name] = i;
    }
  }
}

// The part of a model of several parts that reads and writes text; what it leaves out stands outside.
Json text_part(const Json& json) {
  Json text = json["text_config"];
  for (const char* key :
       {"bos_token_id", "eos_token_id", "pad_token_id", "dtype", "torch_dtype", "quantization_config"})
    if (json.contains(key) && !text.contains(key)) text[key] = json[key];
  // In transformers the outer key decides, and means true when it is missing; but for Qwen3.5.
  const Json type = json.value("model_type", Json());
  const bool usual = type != "qwen3_5" && type != "qwen3_5_moe";
  const Json inner = text.value("tie_word_embeddings", Json(false));
  text["tie_word_embeddings"] = json.value("tie_word_embeddings", usual ? Json(true) : inner);
  text.erase("architectures");
  return text;
}

const char* eps_key(const Family& family) {
  return reads_key(family, "norm_eps") ? "norm_eps" : "rms_norm_eps";
}

// Of a layer without experts.
int64_t mlp_width(const ConfigKeys& keys, const Family& family) {
  const char* key = keys.get("block_ff_dim") != nullptr ? "block_ff_dim" : "intermediate_size";
  const int64_t given = keys.integer(key, 1, kMaxWidth);
  if (!reads_key(family, "block_auto_adjust_ff_dim") || !keys.boolean("block_auto_adjust_ff_dim", true))
    return given;
  auto width = static_cast<double>(2 * given / 3);
  if (keys.get("block_ffn_dim_multiplier") == nullptr) return static_cast<int64_t>(width);
  width = std::floor(keys.number("block_ffn_dim_multiplier", 1e-6, 1e3) * width);
  const int64_t multiple = keys.integer("block_multiple_of", 1, kMaxWidth);
  return std::max<int64_t>(1, (static_cast<int64_t>(width) + multiple - 1) / multiple) * multiple;
}

// Activation, multipliers and caps.
void read_numbers(const ConfigKeys& keys, const Family& family, ModelConfig& c) {
  const char* key = keys.has("hidden_activation") ? "hidden_activation" : "hidden_act";
  const std::string activation = keys.string(key).value_or("silu");
  if (activation == "gelu_pytorch_tanh")
    c.activation = "gelu_tanh";
  else if (activation != "silu" && activation != "swish")
    user_error("{}: {}: expected \"silu\" or \"gelu_pytorch_tanh\", found \"{}\"", keys.where(), key,
               activation.substr(0, 40));
  // "vision": of what is seen; the text stays causal.
  const Json* both_ways = keys.get("use_bidirectional_attention");
  if (both_ways != nullptr && *both_ways != "vision" && *both_ways != false)
    user_error("{}: use_bidirectional_attention: only causal models are trained here; expected false",
               keys.where());
  if (family.scales_embeddings) c.embedding_scale = std::sqrt(static_cast<double>(c.hidden));
  c.embedding_scale *= keys.number("embedding_multiplier", 1e-6, 1e6, 1.0);
  c.residual_scale = keys.number("residual_multiplier", 1e-6, 1e6, 1.0);
  c.attention_scale = keys.number("attention_multiplier", 1e-9, 1e6, family.unscaled ? 1.0 : 0.0);
  if (keys.get("query_pre_attn_scalar") != nullptr)
    c.attention_scale = 1.0 / std::sqrt(keys.number("query_pre_attn_scalar", 1e-6, 1e9));
  c.attention_softcap = keys.number("attn_logit_softcapping", 1e-6, 1e9, 0.0);
  c.logits.softcap = keys.number("final_logit_softcapping", 1e-6, 1e9, 0.0);
  c.logits.scale = 1.0 / keys.number("logits_scaling", 1e-6, 1e9, 1.0);
}

void read_experts(const ConfigKeys& keys, const Family& family, ModelConfig& c) {
  if (family.expert_files == nullptr || !keys.boolean("enable_moe_block", true)) return;
  Experts& e = c.experts;
  e.beside_mlp = reads_key(family, "enable_moe_block");
  const char* other = keys.has("n_routed_experts") ? "n_routed_experts" : "num_local_experts";
  e.count = keys.integer("num_experts", 1, kMaxExperts, keys.integer(other, 1, kMaxExperts, 8));
  e.router = family.router;
  if (family.clamps_gates) {
    c.activation = "clamped_swiglu";
    e.biases = true;
    e.limit = keys.number("swiglu_limit", 1e-3, 1e6, 7.0);
    e.alpha = keys.number("swiglu_alpha", 1e-3, 1e6, 1.702);
  }
  e.scale = keys.number("routed_scaling_factor", 1e-6, 1e6, 1.0);
  e.groups = keys.integer("n_group", 1, kMaxExperts, 1);
  e.groups_chosen = keys.integer("topk_group", 1, kMaxExperts, 1);
  if (e.count % e.groups != 0)
    user_error("{}: n_group: the {} experts do not divide into {} groups", keys.where(), e.count, e.groups);
  if (e.groups_chosen > e.groups)
    user_error("{}: topk_group: expected at most the {} groups, found {}", keys.where(), e.groups,
               e.groups_chosen);
  if (e.groups > 1 && e.count / e.groups < 2)
    user_error(
        "{}: n_group: a group's score is that of its two best experts; {} groups of {} experts have one",
        keys.where(), e.groups, e.count);
  const char* chosen = reads_key(family, "top_k_experts") ? "top_k_experts" : "num_experts_per_tok";
  e.chosen = keys.integer(chosen, 1, kMaxExperts);
  const int64_t within = e.count / e.groups * e.groups_chosen;
  if (e.chosen > within)
    user_error("{}: {}: expected at most the {} experts that may be chosen, found {}", keys.where(), chosen,
               within, e.chosen);
  e.intermediate = keys.integer("moe_intermediate_size", 1, kMaxWidth, c.intermediate);
  e.renormalised = keys.boolean("norm_topk_prob", true);
  e.balance = keys.number("router_aux_loss_coef", 0.0, 1e6, 0.0);
  if (keys.number("router_jitter_noise", 0.0, 1e3, 0.0) != 0)
    user_error("{}: router_jitter_noise: routers are not disturbed here; expected 0", keys.where());
  e.shared_intermediate = keys.integer("n_shared_experts", 0, kMaxExperts, 0) * e.intermediate;
  if (reads_key(family, "shared_expert_intermediate_size")) {
    e.shared_intermediate = keys.integer("shared_expert_intermediate_size", 1, kMaxWidth);
    e.shared_gated = true;
  }
  const int64_t first = keys.integer("first_k_dense_replace", 0, kMaxLayers, 0);
  const int64_t step = keys.integer("decoder_sparse_step", 1, kMaxLayers, 1);
  const Json* dense = keys.get("mlp_only_layers");
  if (dense != nullptr && !dense->is_array()) keys.wrong("mlp_only_layers", "an array of layers", *dense);
  std::vector<bool> sparse;
  for (int64_t l = 0; l < c.layers; ++l) {
    const bool alone = dense != nullptr && std::find(dense->begin(), dense->end(), Json(l)) != dense->end();
    sparse.push_back((l + 1) % step == 0 && !alone && l >= first);
  }
  if (std::find(sparse.begin(), sparse.end(), false) != sparse.end()) e.layers = sparse;
}

// gpt-oss's files hold their experts in 4 bits of that kind, which are read.
bool is_mxfp4(const Family& family, const Json& how) {
  return family.clamps_gates && how.is_object() && how.value("quant_method", Json()) == "mxfp4";
}

// Of a config that was made from no file: llama's keys and their kin.
Json fresh_json(const ModelConfig& c) {
  Json j;
  j["hidden_act"] = "silu";
  j["initializer_range"] = 0.02;
  j["use_cache"] = true;
  j["attention_dropout"] = 0.0;
  // The older spelling: every version of transformers, vLLM and llama.cpp reads it.
  j["rope_theta"] = c.rope.theta;
  j["rope_scaling"] = nullptr;
  if (c.rope.type != "default") {
    j["rope_scaling"] = {{"rope_type", c.rope.type}, {"factor", c.rope.factor}};
    if (c.rope.type == "llama3") {
      j["rope_scaling"]["low_freq_factor"] = c.rope.low_freq_factor;
      j["rope_scaling"]["high_freq_factor"] = c.rope.high_freq_factor;
      j["rope_scaling"]["original_max_position_embeddings"] = c.rope.original_max_positions;
    }
  }
  const Family& family = family_of(c);
  if (reads_key(family, "attention_bias")) j["attention_bias"] = c.out_bias;
  if (reads_key(family, "mlp_bias")) j["mlp_bias"] = c.mlp_bias;
  if (!reads_key(family, "sliding_window")) return j;
  j["sliding_window"] = c.sliding_window > 0 ? Json(c.sliding_window) : Json(nullptr);
  if (!reads_key(family, "use_sliding_window")) return j;
  j["use_sliding_window"] = c.sliding_window > 0;
  Json types = Json::array();
  int64_t first = c.layers;
  for (int64_t i = c.layers - 1; i >= 0; --i) first = c.window(i) > 0 ? i : first;
  for (int64_t i = 0; i < c.layers; ++i)
    types.push_back(c.window(i) > 0 ? "sliding_attention" : "full_attention");
  j["max_window_layers"] = first;
  j["layer_types"] = types;
  return j;
}

}  // namespace

ModelConfig ModelConfig::from_json(const Json& json, const std::string& where) {
  const ConfigKeys given(json, where);
  const std::string type = given.string("model_type").value_or("");
  const Family* family = find_family(type);
  const Json* text = given.get("text_config");
  if (family == nullptr && text != nullptr && text->is_object() && text->contains("model_type"))
    return from_json(text_part(json), where + ": text_config");
  if (family == nullptr) {
    std::vector<std::string> known;
    for (const Family& f : families()) known.push_back(f.name);
    const std::string near = nearest_name(type, known);
    user_error(
        "{}: model_type: expected one of the families {}, found {}{}", where, family_names(),
        type.empty() ? "none" : "\"" + type.substr(0, 60) + "\"",
        near.empty() ? "" : fmt::format("; the nearest is {}, which may compute something else", near));
  }
  if (const Json* how = given.get("quantization_config"); how != nullptr && !is_mxfp4(*family, *how)) {
    user_error(
        "{}: quantization_config: quantised weights are not read; use the model they were made from, or a "
        "GGUF",
        where);
  }
  const Json filled = filled_config(*family, json);
  const ConfigKeys keys(filled, where);

  ModelConfig c;
  c.family = type;
  c.source = std::make_shared<const Json>(json);
  c.vocab = keys.integer("vocab_size", 1, kMaxVocab);
  c.hidden = keys.integer("hidden_size", 1, kMaxWidth);
  // Without it all layers have experts.
  const bool all_sparse = reads_key(*family, "shared_expert_intermediate_size");
  c.intermediate = all_sparse ? 0 : mlp_width(keys, *family);
  c.layers = keys.integer("num_hidden_layers", 1, kMaxLayers);
  c.heads = keys.integer("num_attention_heads", 1, kMaxHeads);
  c.kv_heads = keys.integer("num_key_value_heads", 1, kMaxHeads, c.heads);
  if (c.heads % c.kv_heads != 0) {
    user_error("{}: num_attention_heads ({}) is not a multiple of num_key_value_heads ({})", where, c.heads,
               c.kv_heads);
  }
  if (keys.get("head_dim") == nullptr && c.hidden % c.heads != 0) {
    user_error("{}: hidden_size ({}) is not a multiple of num_attention_heads ({})", where, c.hidden,
               c.heads);
  }
  c.head_dim = keys.integer("head_dim", 1, kMaxHeadDim, c.hidden / c.heads);
  if (c.head_dim % 2 != 0 || c.head_dim > kMaxHeadDim) {
    user_error("{}: head_dim: expected an even number up to {} (rotary pairs), found {}", where, kMaxHeadDim,
               c.head_dim);
  }
  c.max_positions = keys.integer("max_position_embeddings", 1, kMaxPositions, 2048);
  c.norm_eps = keys.number(eps_key(*family), 0.0, 1.0, 1e-6);
  c.tied = keys.boolean("tie_embedding", keys.boolean("tie_word_embeddings", false));
  const bool attention_bias = keys.boolean("attention_bias", false);
  c.qkv_bias = family->qkv_bias || attention_bias;
  c.out_bias = family->out_bias && attention_bias;
  c.mlp_bias = keys.boolean("mlp_bias", false);
  c.qk_norm = keys.boolean("use_qk_norm", false) ? QkNorm::kHead : family->qk_norm;
  c.sinks = family->sinks;
  c.gated = family->gated;
  read_numbers(keys, *family, c);
  read_experts(keys, *family, c);
  read_layers(keys, c);
  read_unlike(keys, *family, c);
  read_linear(keys, *family, c);
  read_short_conv(keys, *family, c);
  read_latent(keys, *family, c);
  read_rope(keys, *family, c);
  // What dynamic scaling is for: as many times the positions.
  if (c.rope.type == "dynamic")
    c.max_positions = static_cast<int64_t>(static_cast<double>(c.max_positions) * c.rope.factor);
  read_heads(keys, c);
  c.bos_id = keys.token("bos_token_id", std::nullopt);
  c.eos_ids = read_eos(keys);
  c.pad_id = keys.token("pad_token_id", std::nullopt);
  // Sizes are bounded above, so the product is exact in a double's range even where it would not be in 64
  // bits.
  const UnlikeLayers& u = c.unlike;
  const double per_layer =
      double(c.hidden) * double(std::max(c.head_dim, u.full_head_dim)) *
          double(2 * c.heads + 2 * std::max(c.kv_heads, u.full_kv_heads)) +
      3.0 * double(c.hidden) *
          std::max(2.0 * double(c.intermediate), double(c.experts.count) * double(c.experts.intermediate)) +
      double(c.vocab) * double(u.own_embedding_width);
  if (double(c.layers) * per_layer + 2.0 * double(c.vocab) * double(c.hidden) > double(kMaxParameters)) {
    user_error("{}: these shapes give more than {} parameters; is a size wrong?", where, kMaxParameters);
  }
  return c;
}

Json ModelConfig::to_json() const {
  const Family& known = family_of(*this);
  Json j = source != nullptr ? *source : fresh_json(*this);
  // What saving says anew, and what belongs to another head.
  for (const char* key :
       {"dtype", "torch_dtype", "id2label", "label2id", "num_labels", "problem_type", "quantization_config"})
    j.erase(key);
  write_heads(*this, known, j);
  j["model_type"] = family;
  j["vocab_size"] = vocab;
  if (unlike.own_embedding_width > 0) j["vocab_size_per_layer_input"] = vocab;
  j["hidden_size"] = hidden;
  // LFM2's is what the width is made of; where all layers have experts there is none.
  if (intermediate > 0 && !reads_key(known, "block_auto_adjust_ff_dim"))
    j["intermediate_size"] = intermediate;
  j["num_hidden_layers"] = layers;
  j["num_attention_heads"] = heads;
  if (latent.rank == 0) {
    j["num_key_value_heads"] = kv_heads;
    j["head_dim"] = head_dim;
  }
  j["max_position_embeddings"] = rope.type == "dynamic" ? rope.original_max_positions : max_positions;
  j[eps_key(known)] = norm_eps;
  j["tie_word_embeddings"] = tied;
  if (j.contains("tie_embedding")) j["tie_embedding"] = tied;  // LFM2's, which counts before the usual one
  j["bos_token_id"] = bos_id ? Json(*bos_id) : Json(nullptr);
  j["eos_token_id"] = eos_ids.empty()       ? Json(nullptr)
                      : eos_ids.size() == 1 ? Json(eos_ids[0])
                                            : Json(eos_ids);
  j["pad_token_id"] = pad_id ? Json(*pad_id) : Json(nullptr);
  return j;
}

int64_t ModelConfig::parameter_count() const {
  int64_t count = 0;
  for (const auto& [name, shape] : parameter_shapes(*this)) {
    if (is_constant(name)) continue;
    int64_t product = 1;
    for (const int64_t dim : shape) product *= dim;
    count += product;
  }
  return count;
}

int64_t ModelConfig::head_dim_of(int64_t layer) const {
  return unlike.full_head_dim > 0 && window(layer) == 0 ? unlike.full_head_dim : head_dim;
}

int64_t ModelConfig::kv_heads_of(int64_t layer) const {
  if (recurrent(layer) || lender(layer) != layer) return 0;
  return unlike.full_kv_heads > 0 && window(layer) == 0 ? unlike.full_kv_heads : kv_heads;
}

int64_t ModelConfig::intermediate_of(int64_t layer) const {
  return unlike.wide_borrowers && lender(layer) != layer ? 2 * intermediate : intermediate;
}

int64_t ModelConfig::lender(int64_t layer) const {
  const int64_t own = layers - unlike.borrowers;
  if (layer < own) return layer;
  int64_t out = own - 1;
  while (out >= 0 && (window(out) > 0) != (window(layer) > 0)) --out;
  return out;
}

bool ModelConfig::lends(int64_t layer) const {
  for (int64_t l = layers - unlike.borrowers; l < layers; ++l)
    if (lender(l) == layer) return true;
  return false;
}

int64_t ModelConfig::cached_numbers() const {
  int64_t out = 0;
  for (int64_t l = 0; l < layers; ++l) out += 2 * kv_heads_of(l) * head_dim_of(l);
  return out;
}

int64_t ModelConfig::window(int64_t layer) const {
  if (sliding_window == 0) return 0;
  return layer_uses_window.empty() || layer_uses_window.at(static_cast<size_t>(layer)) ? sliding_window : 0;
}

}  // namespace temper
