#include "model/config.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/json.h"
#include "model/families.h"

namespace temper {
namespace {

// Far beyond any model, and small enough that no product of sizes overflows.
constexpr int64_t kMaxVocab = 1 << 24, kMaxWidth = 1 << 20, kMaxLayers = 1 << 12, kMaxHeads = 1 << 12,
                  kMaxHeadDim = 1 << 12, kMaxPositions = int64_t{1} << 40, kMaxScores = 1 << 10;
constexpr int64_t kMaxParameters = 4'000'000'000'000;

class Keys {
 public:
  Keys(const Json& json, std::string where) : json_(json), where_(std::move(where)) {
    if (!json.is_object()) user_error("{}: expected an object, found {}", where_, shown(json));
  }

  // Null counts as absent, as it does in transformers.
  const Json* get(const char* key) const {
    const auto it = json_.find(key);
    return it == json_.end() || it->is_null() ? nullptr : &*it;
  }
  bool has(const char* key) const { return json_.contains(key); }

  int64_t integer(const char* key, int64_t low, int64_t high, std::optional<int64_t> missing = {}) const {
    const Json* j = get(key);
    if (j == nullptr) {
      if (missing) return *missing;
      user_error("{}: {}: missing; expected an integer from {} to {}", where_, key, low, high);
    }
    if (!j->is_number_integer() ||
        (j->is_number_unsigned() && j->get<uint64_t>() > static_cast<uint64_t>(high)) ||
        j->get<int64_t>() < low || j->get<int64_t>() > high) {
      wrong(key, fmt::format("an integer from {} to {}", low, high), *j);
    }
    return j->get<int64_t>();
  }
  double number(const char* key, double low, double high, std::optional<double> missing = {}) const {
    const Json* j = get(key);
    if (j == nullptr) {
      if (missing) return *missing;
      user_error("{}: {}: missing; expected a number from {} to {}", where_, key, low, high);
    }
    if (!j->is_number() || !(j->get<double>() >= low && j->get<double>() <= high)) {
      wrong(key, fmt::format("a number from {} to {}", low, high), *j);
    }
    return j->get<double>();
  }
  bool boolean(const char* key, bool missing) const {
    const Json* j = get(key);
    if (j == nullptr) return missing;
    if (!j->is_boolean()) wrong(key, "true or false", *j);
    return j->get<bool>();
  }
  std::optional<std::string> string(const char* key) const {
    const Json* j = get(key);
    if (j == nullptr) return std::nullopt;
    if (!j->is_string()) wrong(key, "a string", *j);
    return j->get<std::string>();
  }
  // A token id; negative ones are an old spelling of "none".
  std::optional<int64_t> token(const char* key, std::optional<int64_t> missing) const {
    if (!has(key)) return missing;
    const Json* j = get(key);
    if (j == nullptr) return std::nullopt;
    if (!j->is_number_integer() || *j > kMaxVocab) wrong(key, "a token id", *j);
    return *j < 0 ? std::nullopt : std::optional<int64_t>(j->get<int64_t>());
  }
  [[noreturn]] void wrong(const char* key, const std::string& expected, const Json& found) const {
    user_error("{}: {}: expected {}, found {}", where_, key, expected, shown(found));
  }
  const std::string& where() const { return where_; }

 private:
  static std::string shown(const Json& value) {
    std::string text = dump_line(value);
    if (text.size() > 60) text.replace(57, std::string::npos, "...");
    return text;
  }
  const Json& json_;
  std::string where_;
};

// rope_parameters (transformers 5) holds theta and scaling; before it, rope_theta stood beside rope_scaling.
void read_rope(const Keys& keys, ModelConfig& config) {
  const Json* inner = keys.get("rope_scaling");
  const char* name = "rope_scaling";
  if (inner == nullptr || inner->empty()) {
    inner = keys.get("rope_parameters");
    name = "rope_parameters";
  }
  config.rope_theta = keys.number("rope_theta", 1.0, 1e12, 10000.0);
  if (keys.number("partial_rotary_factor", 0.0, 1.0, 1.0) != 1.0) {
    user_error("{}: partial_rotary_factor: only 1 is supported", keys.where());
  }
  if (inner == nullptr || inner->empty()) return;
  const Keys rope(*inner, keys.where() + ": " + name);
  config.rope_theta = rope.number("rope_theta", 1.0, 1e12, config.rope_theta);
  if (rope.number("partial_rotary_factor", 0.0, 1.0, 1.0) != 1.0) {
    user_error("{}: partial_rotary_factor: only 1 is supported", rope.where());
  }
  RopeScaling& scaling = config.rope;
  scaling.type = rope.string("rope_type").value_or(rope.string("type").value_or("default"));
  if (scaling.type == "default") return;
  if (scaling.type != "linear" && scaling.type != "llama3") {
    user_error("{}: rope_type: expected default, linear or llama3, found \"{}\"", rope.where(),
               scaling.type.substr(0, 40));
  }
  scaling.factor = rope.number("factor", 1e-3, 1e6);
  if (scaling.type == "linear") return;
  scaling.low_freq_factor = rope.number("low_freq_factor", 1e-6, 1e6);
  scaling.high_freq_factor = rope.number("high_freq_factor", 1e-6, 1e6);
  if (scaling.high_freq_factor <= scaling.low_freq_factor) {
    user_error("{}: high_freq_factor: expected more than low_freq_factor ({}), found {}", rope.where(),
               scaling.low_freq_factor, scaling.high_freq_factor);
  }
  scaling.original_max_positions =
      rope.integer("original_max_position_embeddings", 1, kMaxPositions, config.max_positions);
}

void read_windows(const Keys& keys, const Family& family, ModelConfig& config) {
  const bool on = family.window == Family::kAlways ||
                  (family.window == Family::kSwitched && keys.boolean("use_sliding_window", false));
  if (!on) return;
  const bool explicitly_none = keys.has("sliding_window") && keys.get("sliding_window") == nullptr;
  if (explicitly_none) return;
  config.sliding_window = keys.integer("sliding_window", 1, kMaxPositions, 4096);
  const size_t layers = static_cast<size_t>(config.layers);
  if (const Json* types = keys.get("layer_types")) {
    if (!types->is_array() || types->size() != layers) {
      keys.wrong("layer_types", fmt::format("an array of {} strings (num_hidden_layers)", layers), *types);
    }
    for (const Json& type : *types) {
      if (type != "sliding_attention" && type != "full_attention") {
        keys.wrong("layer_types", "\"sliding_attention\" or \"full_attention\"", type);
      }
      config.layer_uses_window.push_back(type == "sliding_attention");
    }
  } else if (family.window == Family::kSwitched) {
    const int64_t first = keys.integer("max_window_layers", 0, kMaxPositions, 28);
    for (int64_t i = 0; i < config.layers; ++i) config.layer_uses_window.push_back(i >= first);
  }
  const auto& uses = config.layer_uses_window;
  if (!uses.empty() && std::find(uses.begin(), uses.end(), true) == uses.end()) {
    config.sliding_window = 0;
    config.layer_uses_window.clear();
  }
}

std::vector<int64_t> read_eos(const Keys& keys, std::vector<int64_t> missing) {
  const Json* j = keys.get("eos_token_id");
  if (j == nullptr || !j->is_array()) {
    const auto one = keys.token("eos_token_id", std::nullopt);
    if (one) return {*one};
    return keys.has("eos_token_id") ? std::vector<int64_t>{} : missing;
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
void read_heads(const Keys& keys, ModelConfig& config) {
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

}  // namespace

ModelConfig ModelConfig::from_json(const Json& json, const std::string& where) {
  const Keys keys(json, where);
  const std::string type = keys.string("model_type").value_or("");
  const Family* family = find_family(type);
  if (family == nullptr) {
    user_error("{}: model_type: expected one of the families {}, found {}", where, family_names(),
               type.empty() ? "none" : "\"" + type.substr(0, 60) + "\"");
  }
  if (keys.get("quantization_config") != nullptr) {
    user_error(
        "{}: quantization_config: quantised weights are not read; use the model they were made from, or a "
        "GGUF",
        where);
  }
  const std::string activation = keys.string("hidden_act").value_or("silu");
  if (activation != "silu" && activation != "swish") {
    user_error("{}: hidden_act: expected \"silu\", found \"{}\"", where, activation.substr(0, 40));
  }

  ModelConfig c;
  c.family = type;
  c.vocab = keys.integer("vocab_size", 1, kMaxVocab);
  c.hidden = keys.integer("hidden_size", 1, kMaxWidth);
  c.intermediate = keys.integer("intermediate_size", 1, kMaxWidth);
  c.layers = keys.integer("num_hidden_layers", 1, kMaxLayers);
  c.heads = keys.integer("num_attention_heads", 1, kMaxHeads);
  const bool null_kv = keys.has("num_key_value_heads") && keys.get("num_key_value_heads") == nullptr;
  const int64_t kv = family->default_kv_heads == 0 || null_kv ? c.heads : family->default_kv_heads;
  c.kv_heads = keys.integer("num_key_value_heads", 1, kMaxHeads, kv);
  if (c.heads % c.kv_heads != 0) {
    user_error("{}: num_attention_heads ({}) is not a multiple of num_key_value_heads ({})", where, c.heads,
               c.kv_heads);
  }
  if (keys.get("head_dim") == nullptr && family->default_head_dim == 0 && c.hidden % c.heads != 0) {
    user_error("{}: hidden_size ({}) is not a multiple of num_attention_heads ({})", where, c.hidden,
               c.heads);
  }
  c.head_dim = keys.integer("head_dim", 1, kMaxHeadDim,
                            family->default_head_dim != 0 ? family->default_head_dim : c.hidden / c.heads);
  if (c.head_dim % 2 != 0 || c.head_dim > kMaxHeadDim) {
    user_error("{}: head_dim: expected an even number up to {} (rotary pairs), found {}", where, kMaxHeadDim,
               c.head_dim);
  }
  c.max_positions = keys.integer("max_position_embeddings", 1, kMaxPositions, family->default_positions);
  c.norm_eps = keys.number("rms_norm_eps", 0.0, 1.0, 1e-6);
  c.tied = keys.boolean("tie_word_embeddings", false);
  const bool attention_bias = family->attention_bias && keys.boolean("attention_bias", false);
  c.qkv_bias = family->qkv_bias || attention_bias;
  c.out_bias = attention_bias;
  c.mlp_bias = family->mlp_bias && keys.boolean("mlp_bias", false);
  c.qk_norm = family->qk_norm;
  read_rope(keys, c);
  read_windows(keys, *family, c);
  read_heads(keys, c);
  c.bos_id = keys.token("bos_token_id", family->default_bos_eos ? std::optional<int64_t>(1) : std::nullopt);
  c.eos_ids = read_eos(keys, family->default_bos_eos ? std::vector<int64_t>{2} : std::vector<int64_t>{});
  c.pad_id = keys.token("pad_token_id", std::nullopt);
  // Sizes are bounded above, so the product is exact in a double's range even where it would not be in 64
  // bits.
  const double per_layer = double(c.hidden) * double(c.head_dim) * double(2 * c.heads + 2 * c.kv_heads) +
                           3.0 * double(c.hidden) * double(c.intermediate);
  if (double(c.layers) * per_layer + 2.0 * double(c.vocab) * double(c.hidden) > double(kMaxParameters)) {
    user_error("{}: these shapes give more than {} parameters; is a size wrong?", where, kMaxParameters);
  }
  return c;
}

Json ModelConfig::to_json() const {
  const Family* known = find_family(family);
  if (known == nullptr) bug("model family \"{}\" is not in the table", family);
  Json j;
  write_heads(*this, *known, j);
  j["model_type"] = family;
  j["vocab_size"] = vocab;
  j["hidden_size"] = hidden;
  j["intermediate_size"] = intermediate;
  j["num_hidden_layers"] = layers;
  j["num_attention_heads"] = heads;
  j["num_key_value_heads"] = kv_heads;
  j["head_dim"] = head_dim;
  j["hidden_act"] = "silu";
  j["max_position_embeddings"] = max_positions;
  j["initializer_range"] = 0.02;
  j["rms_norm_eps"] = norm_eps;
  j["use_cache"] = true;
  j["tie_word_embeddings"] = tied;
  j["attention_dropout"] = 0.0;
  if (known->attention_bias) j["attention_bias"] = out_bias;
  if (known->mlp_bias) j["mlp_bias"] = mlp_bias;
  // The older spelling: every version of transformers, vLLM and llama.cpp reads it.
  j["rope_theta"] = rope_theta;
  if (rope.type == "default") {
    j["rope_scaling"] = nullptr;
  } else {
    Json scaling = {{"rope_type", rope.type}, {"factor", rope.factor}};
    if (rope.type == "llama3") {
      scaling["low_freq_factor"] = rope.low_freq_factor;
      scaling["high_freq_factor"] = rope.high_freq_factor;
      scaling["original_max_position_embeddings"] = rope.original_max_positions;
    }
    j["rope_scaling"] = scaling;
  }
  if (known->window == Family::kAlways) {
    j["sliding_window"] = sliding_window > 0 ? Json(sliding_window) : Json(nullptr);
  } else if (known->window == Family::kSwitched) {
    j["use_sliding_window"] = sliding_window > 0;
    j["sliding_window"] = sliding_window > 0 ? Json(sliding_window) : Json(nullptr);
    Json types = Json::array();
    int64_t first = layers;
    for (int64_t i = layers - 1; i >= 0; --i) first = window(i) > 0 ? i : first;
    for (int64_t i = 0; i < layers; ++i)
      types.push_back(window(i) > 0 ? "sliding_attention" : "full_attention");
    j["max_window_layers"] = first;
    j["layer_types"] = types;
  }
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
    int64_t product = 1;
    for (const int64_t dim : shape) product *= dim;
    count += product;
  }
  return count;
}

int64_t ModelConfig::window(int64_t layer) const {
  if (sliding_window == 0) return 0;
  return layer_uses_window.empty() || layer_uses_window.at(static_cast<size_t>(layer)) ? sliding_window : 0;
}

}  // namespace temper
