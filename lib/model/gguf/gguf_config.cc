#include "model/gguf/gguf_config.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "model/gguf/gguf_families.h"
#include "model/rope.h"

namespace temper {
namespace {

using at::Tensor;

constexpr const char *kLlama3Factors = "rope_freqs.weight", *kLongFactors = "rope_factors_long.weight",
                     *kShortFactors = "rope_factors_short.weight";

// [D/2]: what llama3's scaling divides each frequency by. Llama 3's GGUF files hold it as a tensor.
Tensor llama3_factors(const ModelConfig& config) {
  Rope plain;
  plain.theta = config.rope.theta;
  return rope_frequencies(plain, config.head_dim, 0) / rope_frequencies(config.rope, config.head_dim, 0);
}

// The scaling that gives Llama 3's factors, of a model that was read without one; null: there is none. The
// file does not hold the numbers they were made from. Its low and high factors are always 1 and 4; of the
// original lengths, the first that gives these factors serves, as others that do would serve equally.
Json llama3_scaling(const Tensor& found, ModelConfig config) {
  const double factor = std::round(found.max().item<double>() * 1000) / 1000;
  std::vector<int64_t> originals = {8192};
  for (int64_t power = 32; power <= 1 << 20; power *= 2) originals.push_back(power);
  config.rope.type = "llama3";
  config.rope.factor = factor;
  for (const int64_t original : originals) {
    if (!(factor >= 1.0) || found.numel() != config.head_dim / 2) break;
    config.rope.original_max_positions = original;
    if (llama3_factors(config).allclose(found, 1e-3))
      return {{"rope_type", "llama3"},
              {"factor", factor},
              {"low_freq_factor", 1.0},
              {"high_freq_factor", 4.0},
              {"original_max_position_embeddings", original}};
  }
  return nullptr;
}

// "a.b": b in the object a.
void put(Json& j, const std::string& key, const Json& value) {
  const size_t dot = key.find('.');
  (dot == std::string::npos ? j[key] : j[key.substr(0, dot)][key.substr(dot + 1)]) = value;
}

// The share of a head that turns `dims` of its numbers when it is read again.
double share_of(int64_t dims, int64_t head_dim) {
  double share = static_cast<double>(dims) / static_cast<double>(head_dim);
  while (static_cast<int64_t>(static_cast<double>(head_dim) * share) < dims)
    share = std::nextafter(share, 2.0);
  return share;
}

class Reading {
 public:
  Reading(const Family& family, const GgufContents& contents)
      : family_(family), how_(gguf_family(family)), contents_(contents), j_(Json::parse(how_.fixed)) {}

  ModelConfig config() {
    j_["model_type"] = family_.name;
    j_["vocab_size"] = contents_.vocab;
    j_["rope_theta"] = 10000.0;  // llama.cpp's, where the file has none
    for (const GgufKey& key : gguf_keys(family_)) {
      if (!key.config.empty() && has(key.name)) put(j_, key.config, contents_.metadata[key.name]);
    }
    read_heads();
    read_turning_share();
    read_layers();
    j_["tie_word_embeddings"] = !contents_.has("output.weight");
    if (reads("attention_bias"))
      j_["attention_bias"] = how_.biases != GgufFamily::kNoBiases && contents_.has("blk.0.attn_q.bias");
    if (reads("mlp_bias"))
      j_["mlp_bias"] = how_.biases == GgufFamily::kAllBiases && contents_.has("blk.0.ffn_up.bias");
    if (reads("use_qk_norm")) j_["use_qk_norm"] = contents_.has("blk.0.attn_q_norm.weight");
    read_scaling();
    ModelConfig config = ModelConfig::from_json(j_, where());
    check_gating(config);
    const char* amplitude = "rope.scaling.attn_factor";
    if (config.rope.type == "longrope" && has(amplitude) &&
        std::abs(contents_.metadata[amplitude].get<double>() - config.rope.amplitude) > 1e-5) {
      j_["rope_scaling"]["attention_factor"] = contents_.metadata[amplitude];
      config = ModelConfig::from_json(j_, where());
    }
    if (contents_.has(kLlama3Factors)) {
      j_["rope_scaling"] = llama3_scaling(contents_.read(kLlama3Factors).flatten(), config);
      if (j_["rope_scaling"].is_null())
        user_error("{}: {} does not hold the factors of Llama 3's scaling; no other is known", where(),
                   kLlama3Factors);
      config = ModelConfig::from_json(j_, where());
    }
    return config;
  }

 private:
  bool has(const std::string& key) const { return contents_.metadata.contains(key); }
  bool reads(const char* key) const { return reads_key(family_, key); }
  int64_t integer(const std::string& key) const { return contents_.metadata[key].get<int64_t>(); }
  std::string where() const { return contents_.where + ": metadata"; }
  std::string named(const char* key) const {
    return fmt::format("{}: {}.{}", contents_.where, family_.gguf, key);
  }

  void read_heads() {
    const int64_t heads = integer("attention.head_count"), hidden = integer("embedding_length");
    if (!has("attention.head_count_kv")) j_["num_key_value_heads"] = heads;
    if (heads > 0 && (!has("attention.key_length") || how_.heads_fill_width)) j_["head_dim"] = hidden / heads;
    if (has("attention.key_length") && has("attention.value_length") &&
        integer("attention.value_length") != integer("attention.key_length"))
      user_error("{}: keys and values of different sizes are not supported", named("attention.value_length"));
    if (!reads("query_pre_attn_scalar") || heads <= 0) return;
    const bool widest = integer("block_count") == how_.widest_layers;
    j_["query_pre_attn_scalar"] = widest ? Json(hidden / heads) : j_["head_dim"];
  }

  // Where a family turns the whole of its heads, so must the file.
  void read_turning_share() {
    const int64_t head_dim = j_.value("head_dim", int64_t{0});
    const int64_t dims = has("rope.dimension_count") ? integer("rope.dimension_count") : head_dim;
    if (head_dim < 2 || head_dim > 1 << 20) return;  // config.json's check refuses it
    if (reads("partial_rotary_factor")) {
      if (dims < 2 || dims > head_dim)
        user_error("{}: expected 2 to the head size {}, found {}", named("rope.dimension_count"), head_dim,
                   dims);
      j_["partial_rotary_factor"] = share_of(dims, head_dim);
    } else if (dims != head_dim) {
      user_error("{}: expected the head size {}, found {}", named("rope.dimension_count"), head_dim, dims);
    }
  }

  void read_layers() {
    if (has("nextn_predict_layers")) {
      const int64_t further = integer("nextn_predict_layers"), all = integer("block_count");
      if (further < 0 || further >= all)
        user_error("{}: expected less than the block_count {}, found {}", named("nextn_predict_layers"), all,
                   further);
      j_["num_hidden_layers"] = all - further;
    }
    if (reads("conv_L_cache")) {
      const auto heads = contents_.metadata["attention.head_count_kv"].get<std::vector<int64_t>>();
      j_["layer_types"] = Json::array();
      for (const int64_t count : heads) {
        j_["layer_types"].push_back(count > 0 ? "full_attention" : "conv");
        if (count > 0) j_["num_key_value_heads"] = count;
      }
    }
    if (!reads("sliding_window")) return;
    if (how_.windows == GgufFamily::kNoWindow || j_.value("sliding_window", Json()) == 0)
      j_["sliding_window"] = nullptr;
    if (how_.windows != GgufFamily::kComputed) return;
    const int64_t layers = integer("block_count");
    std::vector<bool> uses;
    for (int64_t l = 0; l < std::min<int64_t>(layers, 1 << 12); ++l)
      uses.push_back((l + 1) % how_.window_period != 0);
    if (has("attention.sliding_window_pattern"))
      uses = contents_.metadata["attention.sliding_window_pattern"].get<std::vector<bool>>();
    j_["layer_types"] = Json::array();
    for (const bool use : uses) j_["layer_types"].push_back(use ? "sliding_attention" : "full_attention");
  }

  void read_scaling() {
    Json scaling = j_.value("rope_scaling", Json::object());
    j_["rope_scaling"] = nullptr;
    const std::string type = scaling.value("rope_type", scaling.contains("factor") ? "linear" : "none");
    if (contents_.has(kLongFactors)) {
      j_["rope_scaling"] = long_factors();
    } else if (type == "linear") {
      if (!scaling.contains("factor")) user_error("{} is missing", named("rope.scaling.factor"));
      j_["rope_scaling"] = {{"rope_type", type}, {"factor", scaling["factor"]}};
    } else if (type == "yarn") {
      scaling["truncate"] = how_.truncates_yarn;
      if (scaling.contains("mscale_all_dim")) scaling["mscale"] = 1.0;
      j_["rope_scaling"] = scaling;
    } else if (type != "none") {
      user_error("{}: expected none, linear or yarn, found \"{}\"", named("rope.scaling.type"),
                 type.substr(0, 40));
    }
    // Families whose config means a scaling where it names none.
    if (j_["rope_scaling"].is_null() && reads("rope_parameters"))
      j_["rope_scaling"] = {{"rope_type", "default"}};
    if (!how_.ropes_by_layer) return;
    Json full = j_["rope_scaling"].is_null() ? Json{{"rope_type", "default"}} : j_["rope_scaling"];
    full["rope_theta"] = j_["rope_theta"];
    j_["rope_parameters"] = {
        {"full_attention", full},
        {"sliding_attention", {{"rope_type", "default"}, {"rope_theta", j_["rope_theta"]}}}};
    j_.erase("rope_theta");
    j_.erase("rope_scaling");
  }

  // Phi-3's own spelling, which takes no further keys.
  Json long_factors() const {
    const auto list = [&](const char* name) {
      if (!contents_.has(name)) user_error("{}: the tensor {} is missing", contents_.where, name);
      const Tensor t = contents_.read(name).flatten().to(at::kDouble).contiguous();
      return std::vector<double>(t.const_data_ptr<double>(), t.const_data_ptr<double>() + t.numel());
    };
    return {{"type", "longrope"}, {"short_factor", list(kShortFactors)}, {"long_factor", list(kLongFactors)}};
  }

  void check_gating(const ModelConfig& config) const {
    if (!has("expert_gating_func") || integer("expert_gating_func") == 0) return;
    const bool sigmoid = config.experts.router == Experts::Router::kSigmoid;
    if (integer("expert_gating_func") != (sigmoid ? 2 : 1))
      user_error("{}: expected {} for {}, found {}", named("expert_gating_func"), sigmoid ? 2 : 1,
                 family_.name, integer("expert_gating_func"));
  }

  const Family& family_;
  const GgufFamily& how_;
  const GgufContents& contents_;
  Json j_;
};

Json rope_json(const Rope& r, int64_t head_dim) {
  Json j = {r.type, r.theta, static_cast<int64_t>(static_cast<double>(head_dim) * r.partial), r.amplitude};
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

template <class Value>
Json by_layer(const ModelConfig& c, Value value) {
  Json out = Json::array();
  for (int64_t l = 0; l < c.layers; ++l) out.push_back(value(l));
  return out;
}

// What a model computes, by the keys of config.json that say it.
std::vector<std::pair<std::string, Json>> computed(const ModelConfig& c) {
  const Experts& e = c.experts;
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
      {"rope_parameters", rope_json(c.rope, c.head_dim)},
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
      {"conv_bias", c.short_conv.biases},
      {"layer_types of convolutions", by_layer(c, [&](int64_t l) { return c.short_convolution(l); })},
      {reads_key(family, "first_k_dense_replace") ? "first_k_dense_replace" : "mlp_only_layers",
       by_layer(c, [&](int64_t l) { return !c.sparse(l); })}};
  if (gguf_family(family).windows == GgufFamily::kNoWindow) return out;
  out.emplace_back("sliding_window", c.sliding_window);
  out.emplace_back("layer_types", by_layer(c, [&](int64_t l) { return c.window(l) > 0; }));
  out.emplace_back("rope_parameters of layers with a window",
                   by_layer(c, [&](int64_t l) { return rope_json(c.rope_of(l), c.head_dim); }));
  return out;
}

}  // namespace

GgufContents contents_of(const GgufFile& file, const Family& family) {
  GgufContents out;
  out.where = file.path();
  out.metadata = read_gguf_keys(file, family);
  const GgufTensor* embedding = file.find("token_embd.weight");
  if (embedding == nullptr || embedding->shape.size() != 2)
    user_error("{}: token_embd.weight: expected a matrix", file.path());
  out.vocab = embedding->shape[0];
  out.has = [&file](const std::string& name) { return file.find(name) != nullptr; };
  out.read = [&file](const std::string& name) { return file.tensor(*file.find(name)); };
  return out;
}

ModelConfig config_of(const Family& family, const GgufContents& contents) {
  ModelConfig config = Reading(family, contents).config();
  config.bos_id.reset();
  config.eos_ids.clear();
  return config;
}

NamedTensors gguf_rope_tensors(const ModelConfig& config) {
  if (config.rope.type == "llama3") return {{kLlama3Factors, llama3_factors(config)}};
  if (config.rope.type != "longrope") return {};
  return {{kLongFactors, at::tensor(config.rope.long_factors, at::kFloat)},
          {kShortFactors, at::tensor(config.rope.short_factors, at::kFloat)}};
}

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
  const auto wanted = computed(config), written = computed(config_of(family, contents));
  for (size_t i = 0; i < wanted.size(); ++i) {
    const auto shown = [](const Json& value) { return dump_line(value).substr(0, 100); };
    if (!alike(wanted[i].second, written[i].second))
      refuse(wanted[i].first,
             fmt::format("expected {}, found {}", shown(written[i].second), shown(wanted[i].second)));
  }
}

}  // namespace temper
