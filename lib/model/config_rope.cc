#include "model/config_rope.h"

#include <algorithm>
#include <cmath>

namespace temper {
namespace {

// What all ropes of a config share.
struct RopeDefaults {
  double theta = 10000.0, partial = 1.0;
  std::optional<int64_t> original;  // stands outside (phi3), and then counts
  int64_t max_positions = 0, head_dim = 0;
};

// Attention factor of YaRN.
double growth_of(double factor, double by) {
  return factor <= 1 ? 1.0 : 0.1 * by * std::log(factor) + 1.0;
}

void read_yarn(const ConfigKeys& keys, Rope& rope) {
  rope.beta_fast = keys.number("beta_fast", 0.0, 1e6, 32.0);
  rope.beta_slow = keys.number("beta_slow", 0.0, 1e6, 1.0);
  if (rope.beta_fast == 0) rope.beta_fast = 32.0;  // as in transformers
  if (rope.beta_slow == 0) rope.beta_slow = 1.0;
  rope.truncate = keys.boolean("truncate", true);
  const double mscale = keys.number("mscale", 0.0, 1e3, 0.0),
               all = keys.number("mscale_all_dim", 0.0, 1e3, 0.0);
  const double usual = mscale != 0 && all != 0 ? growth_of(rope.factor, mscale) / growth_of(rope.factor, all)
                                               : growth_of(rope.factor, 1.0);
  rope.amplitude = keys.number("attention_factor", 1e-6, 1e6, usual);
}

void read_longrope(const ConfigKeys& keys, int64_t pairs, Rope& rope) {
  rope.short_factors = keys.numbers("short_factor", static_cast<size_t>(pairs), 1e-6, 1e9);
  rope.long_factors = keys.numbers("long_factor", static_cast<size_t>(pairs), 1e-6, 1e9);
  const double usual =
      rope.factor <= 1
          ? 1.0
          : std::sqrt(1 + std::log(rope.factor) / std::log(static_cast<double>(rope.original_max_positions)));
  rope.amplitude = keys.number("attention_factor", 1e-6, 1e6, usual);
}

// dict: an object, or null: no scaling.
Rope read_one(const Json* dict, const std::string& where, const RopeDefaults& usual) {
  static const Json kNothing = Json::object();
  const ConfigKeys keys(dict == nullptr || dict->is_null() ? kNothing : *dict, where);
  Rope rope;
  rope.type = keys.string("rope_type").value_or(keys.string("type").value_or("default"));
  rope.theta = keys.number("rope_theta", 1.0, 1e12, usual.theta);
  rope.partial = keys.number("partial_rotary_factor", 0.0, 1.0, usual.partial);
  const auto turning = static_cast<int64_t>(static_cast<double>(usual.head_dim) * rope.partial);
  if (turning % 2 != 0 || turning == 0)
    user_error("{}: partial_rotary_factor: {} of a head of {} numbers is {}; expected an even number of them",
               where, rope.partial, usual.head_dim, turning);
  // Phi-3's old names of longrope.
  if (keys.get("short_factor") != nullptr && (rope.type == "su" || rope.type == "yarn"))
    rope.type = "longrope";
  if (rope.type == "default") return rope;
  const std::vector<std::string> known = {"linear", "dynamic", "llama3", "yarn", "longrope", "proportional"};
  if (std::find(known.begin(), known.end(), rope.type) == known.end())
    user_error(
        "{}: rope_type: expected default, linear, dynamic, llama3, yarn, longrope or proportional, found "
        "\"{}\"",
        where, rope.type.substr(0, 40));
  const bool has_original = rope.type == "llama3" || rope.type == "yarn" || rope.type == "longrope";
  rope.original_max_positions = usual.max_positions;
  if (has_original)
    rope.original_max_positions = usual.original.value_or(
        keys.integer("original_max_position_embeddings", 1, kMaxPositions, usual.max_positions));
  std::optional<double> factor;
  if (rope.type == "yarn" || rope.type == "longrope")
    factor = static_cast<double>(usual.max_positions) / static_cast<double>(rope.original_max_positions);
  if (rope.type == "proportional") factor = 1.0;
  rope.factor = keys.number("factor", 1e-3, 1e6, factor);
  if (rope.type == "yarn") read_yarn(keys, rope);
  if (rope.type == "longrope") read_longrope(keys, turning / 2, rope);
  if (rope.type == "llama3") {
    rope.low_freq_factor = keys.number("low_freq_factor", 1e-6, 1e6);
    rope.high_freq_factor = keys.number("high_freq_factor", 1e-6, 1e6);
    if (rope.high_freq_factor <= rope.low_freq_factor) {
      user_error("{}: high_freq_factor: expected more than low_freq_factor ({}), found {}", where,
                 rope.low_freq_factor, rope.high_freq_factor);
    }
  }
  return rope;
}

}  // namespace

// rope_parameters (transformers 5) holds theta and scaling, by kind of layer where they have their own;
// before it, rope_theta stood beside rope_scaling, and rope_local_base_freq beside them for layers with a
// window, which are not scaled.
void read_rope(const ConfigKeys& keys, const Family& family, ModelConfig& config) {
  const Json* inner = keys.get("rope_scaling");
  const char* name = "rope_scaling";
  if (inner == nullptr || inner->empty()) {
    inner = keys.get("rope_parameters");
    name = "rope_parameters";
  }
  if (inner != nullptr && !inner->is_object()) keys.wrong(name, "an object", *inner);
  RopeDefaults usual;
  usual.theta = keys.number("rope_theta", 1.0, 1e12, 10000.0);
  usual.partial = keys.number("partial_rotary_factor", 0.0, 1.0, 1.0);
  if (keys.get("original_max_position_embeddings") != nullptr)
    usual.original = keys.integer("original_max_position_embeddings", 1, kMaxPositions);
  usual.max_positions = config.max_positions;
  usual.head_dim = config.turning_dim();
  RopeDefaults local = usual;
  local.head_dim = config.window_turning_dim();
  local.theta = keys.number("rope_local_base_freq", 1.0, 1e12, usual.theta);
  const std::string where = keys.where() + ": " + name;
  const char *full = "full_attention", *sliding = "sliding_attention";
  const auto part = [&](const char* key) {
    const auto it = inner->find(key);
    return it == inner->end() ? nullptr : &*it;
  };
  if (inner != nullptr && (inner->contains(full) || inner->contains(sliding))) {
    config.rope = read_one(part(full), where + ": " + full, usual);
    config.window_rope = read_one(part(sliding), where + ": " + sliding, local);
  } else {
    config.rope = read_one(inner, where, usual);
    if (keys.get("rope_local_base_freq") != nullptr) config.window_rope = read_one(nullptr, where, local);
  }
  if (config.rope.partial != 1.0 && config.rope.type != "proportional" &&
      !reads_key(family, "partial_rotary_factor"))
    user_error("{}: partial_rotary_factor: only 1 is supported for {}, found {:g}", keys.where(), family.name,
               config.rope.partial);
  // DeepSeek's scores grow with the scaling, too.
  if (config.latent.rank > 0 && config.rope.type != "default" && inner != nullptr) {
    const double all = ConfigKeys(*inner, where).number("mscale_all_dim", 0.0, 1e3, 0.0);
    const double m = all == 0 ? 1.0 : growth_of(config.rope.factor, all);
    config.attention_scale = m * m / std::sqrt(static_cast<double>(config.head_dim));
  }
  const bool two_sizes = config.unlike.full_head_dim > 0;
  if (two_sizes && !config.window_rope) config.window_rope = config.rope;
  const bool alike = config.window_rope == config.rope && !two_sizes;
  if (config.sliding_window == 0 || alike) config.window_rope.reset();
  if (family.grows_queries && inner != nullptr)
    config.query_growth = ConfigKeys(*inner, where).number("llama_4_scaling_beta", 0.0, 1e3, 0.0);
}

void read_layers(const ConfigKeys& keys, ModelConfig& config) {
  const auto layers = static_cast<size_t>(config.layers);
  if (keys.has("no_rope_layers")) {  // 1: the layer turns
    const int64_t interval = keys.integer("no_rope_layer_interval", 1, kMaxPositions, 4);
    std::vector<bool> turns;
    for (size_t i = 0; i < layers; ++i) turns.push_back((static_cast<int64_t>(i) + 1) % interval != 0);
    if (keys.get("no_rope_layers") != nullptr) {
      const std::vector<double> given = keys.numbers("no_rope_layers", layers, 0, 1);
      for (size_t i = 0; i < layers; ++i) turns[i] = given[i] != 0;
    }
    if (std::find(turns.begin(), turns.end(), false) != turns.end()) config.layer_turns = turns;
  }
  const bool switched_off = keys.has("use_sliding_window") && !keys.boolean("use_sliding_window", false);
  if (switched_off || keys.get("sliding_window") == nullptr) return;
  config.sliding_window = keys.integer("sliding_window", 1, kMaxPositions);
  auto& uses = config.layer_uses_window;
  if (const Json* types = keys.get("layer_types")) {
    if (!types->is_array() || types->size() != layers)
      keys.wrong("layer_types", fmt::format("an array of {} strings (num_hidden_layers)", layers), *types);
    for (const Json& type : *types) {
      if (type != "sliding_attention" && type != "full_attention")
        keys.wrong("layer_types", "\"sliding_attention\" or \"full_attention\"", type);
      uses.push_back(type == "sliding_attention");
    }
  } else if (keys.has("max_window_layers")) {
    const int64_t first = keys.integer("max_window_layers", 0, kMaxPositions, 28);
    for (int64_t i = 0; i < config.layers; ++i) uses.push_back(i >= first);
  } else if (keys.has("sliding_window_pattern")) {  // every so many layers one sees all
    const int64_t pattern = keys.integer("sliding_window_pattern", 1, kMaxPositions, 1);
    for (int64_t i = 0; i < config.layers; ++i) uses.push_back((i + 1) % pattern != 0);
  } else if (keys.has("no_rope_layers")) {  // those that do not turn
    for (int64_t i = 0; i < config.layers; ++i) uses.push_back(!config.turns(i));
  }
  // Gemma 4's last layer sees all, whatever is said.
  if (keys.has("num_kv_shared_layers")) uses.back() = false;
  if (!uses.empty() && std::find(uses.begin(), uses.end(), true) == uses.end()) {
    config.sliding_window = 0;
    uses.clear();
  }
}

}  // namespace temper
