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

// Of llama3's scaling, or which numbers of a head turn in Gemma 4's layers without a window.
constexpr const char *kFactors = "rope_freqs.weight", *kLongFactors = "rope_factors_long.weight",
                     *kShortFactors = "rope_factors_short.weight";

// [D/2]: what llama3's scaling divides each frequency by. Llama 3's GGUF files hold it as a tensor.
Tensor llama3_factors(const ModelConfig& config) {
  Rope plain;
  plain.theta = config.rope.theta;
  return rope_frequencies(plain, config.head_dim, 0) / rope_frequencies(config.rope, config.head_dim, 0);
}

// [D/2]: 1 for the pairs of a head that turn, and for the others what keeps them where they are.
constexpr double kStill = 1e30;
Tensor proportional_factors(const ModelConfig& config) {
  const int64_t dims = config.turning_dim(),
                turning = static_cast<int64_t>(double(dims) * config.rope.partial);
  Tensor factors = at::full({dims / 2}, kStill, at::kFloat);
  factors.narrow(0, 0, turning / 2).fill_(config.rope.factor);
  return factors;
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
void put_key(Json& j, const std::string& key, const Json& value) {
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
      if (!key.config.empty() && has(key.name)) put_key(j_, key.config, contents_.metadata[key.name]);
    }
    if (reads("kv_lora_rank")) {
      read_latent_heads();
    } else if (reads("num_kv_shared_layers")) {
      read_unlike_layers();
    } else {
      read_heads();
      read_turning_share();
    }
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
    if (contents_.has(kFactors) && !reads("num_kv_shared_layers")) {
      j_["rope_scaling"] = llama3_scaling(contents_.read(kFactors).flatten(), config);
      if (j_["rope_scaling"].is_null())
        user_error("{}: {} does not hold the factors of Llama 3's scaling; no other is known", where(),
                   kFactors);
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

  // Keys and values of one size and head in the file, which are the latents; a model's heads are others.
  void read_latent_heads() {
    const int64_t turned = integer("rope.dimension_count"), whole = integer("attention.key_length_mla");
    if (turned >= whole)
      user_error("{}: expected less than the {} numbers of attention.key_length_mla, found {}",
                 named("rope.dimension_count"), whole, turned);
    j_["qk_nope_head_dim"] = whole - turned;
    j_["qk_head_dim"] = whole;
    j_["head_dim"] = turned;  // as transformers has it
    j_["num_key_value_heads"] = integer("attention.head_count");
  }

  // Gemma 4: what layers with a window and without have apart.
  void read_unlike_layers() {
    const std::string kv = "attention.head_count_kv", ff = "feed_forward_length";
    const int64_t layers = std::clamp<int64_t>(integer("block_count"), 0, 1 << 12),
                  shared = has("attention.shared_kv_layers") ? integer("attention.shared_kv_layers") : 0;
    const auto windows = contents_.metadata["attention.sliding_window_pattern"].get<std::vector<bool>>();
    // Of the last layer with a window, or of the last one without.
    const auto of = [&](const std::string& key, bool window) {
      const Json& value = contents_.metadata[key];
      if (!value.is_array()) return value;
      if (value.size() != windows.size())
        user_error("{}: expected one or {} integers, found {}", named(key.c_str()), windows.size(),
                   value.size());
      for (size_t l = windows.size(); l-- > 0;)
        if (windows[l] == window) return value[l];
      return value.empty() ? Json(0) : value.back();
    };
    const Json windowed = of(kv, true), full = of(kv, false);
    j_["num_key_value_heads"] = windowed;
    bool apart = true;  // values from their own matrices
    for (int64_t l = 0; l < std::min<int64_t>(layers - shared, std::ssize(windows)); ++l)
      if (!windows[static_cast<size_t>(l)]) apart &= contents_.has(fmt::format("blk.{}.attn_v.weight", l));
    j_["attention_k_eq_v"] = !apart;
    if (!apart) {
      j_["num_global_key_value_heads"] = full;
    } else if (full != windowed) {
      for (size_t l = 0; l < windows.size(); ++l)
        if (!windows[l])
          j_["per_layer_config"][std::to_string(l)] = {{"head_dim", j_["global_head_dim"]},
                                                       {"num_key_value_heads", full}};
    }
    const Json& widths = contents_.metadata[ff];
    j_["intermediate_size"] = widths.is_array() && !widths.empty() ? widths.front() : widths;
    j_["use_double_wide_mlp"] = widths.is_array() && !widths.empty() && widths.back() != widths.front();
    j_["enable_moe_block"] = has("expert_count");
    if (j_["final_logit_softcapping"] == 0.0) j_["final_logit_softcapping"] = nullptr;
    j_["vocab_size_per_layer_input"] = contents_.vocab;
    if (!contents_.has(kFactors)) user_error("{}: the tensor {} is missing", contents_.where, kFactors);
    read_unlike_ropes();
  }

  void expect(const char* key, int64_t value) const {
    if (has(key) && integer(key) != value)
      user_error("{}: expected {}, found {}", named(key), value, integer(key));
  }

  void read_unlike_ropes() {
    const Tensor factors = contents_.read(kFactors).flatten();
    const int64_t dims = integer("attention.key_length"), window_dims = integer("attention.key_length_swa");
    for (const auto& [key, whole] :
         {std::pair{"attention.key_length", dims}, std::pair{"attention.key_length_swa", window_dims}})
      if (whole < 2 || whole > 1 << 12)
        user_error("{}: expected 2 to {}, found {}", named(key), 1 << 12, whole);
    expect("attention.value_length", dims);
    expect("attention.value_length_swa", window_dims);
    expect("rope.dimension_count", dims);
    const int64_t turning = (factors < kStill / 2).sum().item<int64_t>();
    const double factor = turning > 0 ? factors[0].item<double>() : 1.0;
    const bool first_ones = (factors.narrow(0, 0, turning) == factor).all().item<bool>();
    if (factors.numel() != dims / 2 || turning == 0 || !first_ones)
      user_error("{}: {}: expected the same number for the first of {} pairs and {} for the others",
                 contents_.where, kFactors, dims / 2, kStill);
    Json full = {{"rope_type", "proportional"},
                 {"rope_theta", j_["rope_theta"]},
                 {"partial_rotary_factor", share_of(2 * turning, dims)}};
    if (factor != 1.0) full["factor"] = factor;
    Json windowed = {{"rope_type", "default"}, {"rope_theta", contents_.metadata["rope.freq_base_swa"]}};
    if (has("rope.dimension_count_swa") && integer("rope.dimension_count_swa") != window_dims)
      windowed["partial_rotary_factor"] = share_of(integer("rope.dimension_count_swa"), window_dims);
    j_["rope_parameters"] = {{"full_attention", full}, {"sliding_attention", windowed}};
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
    if (reads("linear_num_key_heads")) read_linear_layers();
    if (!reads("sliding_window")) return;
    if (how_.windows == GgufFamily::kNoWindow || j_.value("sliding_window", Json()) == 0)
      j_["sliding_window"] = nullptr;
    if (how_.windows != GgufFamily::kComputed) return;
    const int64_t layers = integer("block_count");
    std::vector<bool> uses;
    for (int64_t l = 0; how_.window_period > 0 && l < std::min<int64_t>(layers, 1 << 12); ++l)
      uses.push_back((l + 1) % how_.window_period != 0);
    if (has("attention.sliding_window_pattern"))
      uses = contents_.metadata["attention.sliding_window_pattern"].get<std::vector<bool>>();
    j_["layer_types"] = Json::array();
    for (const bool use : uses) j_["layer_types"].push_back(use ? "sliding_attention" : "full_attention");
  }

  void read_linear_layers() {
    const int64_t heads = integer("ssm.time_step_rank"), inner = integer("ssm.inner_size");
    // llama.cpp's states are square.
    j_["linear_value_head_dim"] = integer("ssm.state_size");
    if (inner != heads * integer("ssm.state_size"))
      user_error("{}: expected {} heads of ssm.state_size {}, found {}", named("ssm.inner_size"), heads,
                 integer("ssm.state_size"), inner);
    const int64_t layers = j_["num_hidden_layers"].get<int64_t>(),
                  interval = has("full_attention_interval") ? integer("full_attention_interval") : 4;
    if (interval < 1)
      user_error("{}: expected at least 1, found {}", named("full_attention_interval"), interval);
    std::vector<bool> linear;
    for (int64_t l = 0; l < std::min<int64_t>(layers, 1 << 12); ++l)
      linear.push_back((l + 1) % interval != 0);
    if (has("attention.recurrent_layers")) {
      const auto given = contents_.metadata["attention.recurrent_layers"].get<std::vector<bool>>();
      for (size_t l = 0; l < std::min(given.size(), linear.size()); ++l) linear[l] = given[l];
    }
    j_["layer_types"] = Json::array();
    for (const bool is : linear) j_["layer_types"].push_back(is ? "linear_attention" : "full_attention");
  }

  void read_scaling() {
    Json scaling = j_.value("rope_scaling", Json::object());
    j_["rope_scaling"] = nullptr;
    const std::string type = scaling.value("rope_type", scaling.contains("factor") ? "linear" : "none");
    if (contents_.has(kLongFactors)) {
      j_["rope_scaling"] = long_factors();
    } else if (reads("num_kv_shared_layers") && type != "none") {
      user_error("{}: expected none, found \"{}\"", named("rope.scaling.type"), type.substr(0, 40));
    } else if (type == "linear" && reads("kv_lora_rank")) {
      user_error("{}: expected none or yarn, found \"linear\"", named("rope.scaling.type"));
    } else if (type == "linear") {
      if (!scaling.contains("factor")) user_error("{} is missing", named("rope.scaling.factor"));
      j_["rope_scaling"] = {{"rope_type", type}, {"factor", scaling["factor"]}};
    } else if (type == "yarn") {
      scaling["truncate"] = how_.truncates_yarn;
      if (scaling.contains("mscale_all_dim")) scaling["mscale"] = 1.0;
      if (reads("kv_lora_rank")) {
        const char* key = "rope.scaling.yarn_log_multiplier";
        if (!has(key)) user_error("{} is missing", named(key));
        scaling["mscale"] = contents_.metadata[key].get<double>() / 0.1;
        scaling["mscale_all_dim"] = scaling["mscale"];
        scaling.erase("attention_factor");
      }
      j_["rope_scaling"] = scaling;
    } else if (type != "none") {
      user_error("{}: expected none, linear or yarn, found \"{}\"", named("rope.scaling.type"),
                 type.substr(0, 40));
    }
    if (reads("num_kv_shared_layers")) {  // has its ropes
      j_.erase("rope_theta");
      j_.erase("rope_scaling");
      return;
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
  if (config.rope.type == "llama3") return {{kFactors, llama3_factors(config)}};
  if (reads_key(family_of(config), "num_kv_shared_layers")) return {{kFactors, proportional_factors(config)}};
  if (config.rope.type != "longrope") return {};
  return {{kLongFactors, at::tensor(config.rope.long_factors, at::kFloat)},
          {kShortFactors, at::tensor(config.rope.short_factors, at::kFloat)}};
}

}  // namespace temper
