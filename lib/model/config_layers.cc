#include "model/config_layers.h"

#include <algorithm>
#include <cmath>

namespace temper {
namespace {

// Which of layer_types are `kind`, where the others are full_attention; nothing where the key is not there.
std::optional<std::vector<bool>> layers_of_type(const ConfigKeys& keys, const char* kind, int64_t layers) {
  const Json* types = keys.get("layer_types");
  if (types == nullptr) return std::nullopt;
  if (!types->is_array() || types->size() != static_cast<size_t>(layers))
    keys.wrong("layer_types", fmt::format("an array of {} strings (num_hidden_layers)", layers), *types);
  std::vector<bool> out;
  for (const Json& type : *types) {
    if (type != kind && type != "full_attention")
      keys.wrong("layer_types", fmt::format("\"{}\" or \"full_attention\"", kind), type);
    out.push_back(type == kind);
  }
  return out;
}

// Sizes of a layer's heads.
struct HeadSizes {
  int64_t head_dim = 0, kv_heads = 0;
  bool operator==(const HeadSizes&) const = default;
};

// Those of per_layer_config, {"LAYER": {KEY: VALUE}}, as transformers writes what sets single layers apart.
std::vector<HeadSizes> sizes_by_layer(const ConfigKeys& keys, const Json& by_layer, const ModelConfig& c) {
  std::vector<HeadSizes> out(static_cast<size_t>(c.layers), HeadSizes{c.head_dim, c.kv_heads});
  if (!by_layer.is_object())
    keys.wrong("per_layer_config", "an object of objects, by the layer's number", by_layer);
  for (const auto& [number, sizes] : by_layer.items()) {
    const bool digits =
        !number.empty() && number.size() < 6 && number.find_first_not_of("0123456789") == std::string::npos;
    if (!digits || std::stoll(number) >= c.layers || !sizes.is_object())
      keys.wrong("per_layer_config", fmt::format("objects by numbers of layers from 0 to {}", c.layers - 1),
                 by_layer);
    for (const auto& [key, value] : sizes.items())
      if (key != "head_dim" && key != "num_key_value_heads")
        user_error("{}: per_layer_config: {}: {}: expected head_dim or num_key_value_heads", keys.where(),
                   number, key.substr(0, 60));
    const ConfigKeys of_layer(sizes, keys.where() + ": per_layer_config: " + number);
    HeadSizes& to = out[static_cast<size_t>(std::stoll(number))];
    to.head_dim = of_layer.integer("head_dim", 1, kMaxHeadDim, c.head_dim);
    to.kv_heads = of_layer.integer("num_key_value_heads", 1, kMaxHeads, c.kv_heads);
  }
  return out;
}

void check_sizes(const ConfigKeys& keys, const HeadSizes& sizes, int64_t heads) {
  if (sizes.head_dim % 2 != 0)
    user_error("{}: global_head_dim: expected an even number (rotary pairs), found {}", keys.where(),
               sizes.head_dim);
  if (heads % sizes.kv_heads != 0)
    user_error("{}: num_attention_heads ({}) is not a multiple of num_global_key_value_heads ({})",
               keys.where(), heads, sizes.kv_heads);
}

// The heads of layers with and without a window.
void read_head_sizes(const ConfigKeys& keys, ModelConfig& c) {
  HeadSizes windowed{c.head_dim, c.kv_heads}, full = windowed;
  if (const Json* by_layer = keys.get("per_layer_config")) {
    const std::vector<HeadSizes> all = sizes_by_layer(keys, *by_layer, c);
    for (int64_t l = c.layers - 1; l >= 0; --l)
      (c.window(l) > 0 ? windowed : full) = all[static_cast<size_t>(l)];
    for (int64_t l = 0; l < c.layers; ++l)
      if (!(all[static_cast<size_t>(l)] == (c.window(l) > 0 ? windowed : full)))
        user_error(
            "{}: per_layer_config: layer {} has other heads than those before it that have a window as it "
            "has",
            keys.where(), l);
  } else {
    full.head_dim = keys.integer("global_head_dim", 1, kMaxHeadDim, c.head_dim);
    if (c.unlike.keys_are_values)
      full.kv_heads = keys.integer("num_global_key_value_heads", 1, kMaxHeads, c.kv_heads);
  }
  check_sizes(keys, full, c.heads);
  check_sizes(keys, windowed, c.heads);
  const bool all_full = c.sliding_window == 0;
  c.head_dim = all_full ? full.head_dim : windowed.head_dim;
  c.kv_heads = all_full ? full.kv_heads : windowed.kv_heads;
  c.unlike.full_head_dim = full.head_dim != c.head_dim ? full.head_dim : 0;
  c.unlike.full_kv_heads = full.kv_heads != c.kv_heads ? full.kv_heads : 0;
}

}  // namespace

void read_latent(const ConfigKeys& keys, const Family& family, ModelConfig& c) {
  if (!reads_key(family, "kv_lora_rank")) return;
  Latent& l = c.latent;
  l.rank = keys.integer("kv_lora_rank", 1, kMaxWidth);
  l.query_rank = keys.get("q_lora_rank") == nullptr ? 0 : keys.integer("q_lora_rank", 1, kMaxWidth);
  l.unturned = keys.integer("qk_nope_head_dim", 1, kMaxHeadDim);
  l.turned = keys.integer("qk_rope_head_dim", 2, kMaxHeadDim);
  l.value = keys.integer("v_head_dim", 1, kMaxHeadDim);
  if (l.turned % 2 != 0)
    user_error("{}: qk_rope_head_dim: expected an even number (rotary pairs), found {}", keys.where(),
               l.turned);
  if (l.value > l.unturned + l.turned)
    user_error("{}: v_head_dim: expected at most the {} numbers of a head's keys, found {}", keys.where(),
               l.unturned + l.turned, l.value);
  if (!keys.boolean("rope_interleave", true))
    user_error("{}: rope_interleave: only true is supported", keys.where());
  if (c.kv_heads != c.heads)
    user_error("{}: num_key_value_heads: with latent attention expected the {} heads, found {}", keys.where(),
               c.heads, c.kv_heads);
  if (c.qkv_bias && l.query_rank == 0)
    user_error("{}: attention_bias: with q_lora_rank null only false is supported", keys.where());
  c.head_dim = l.unturned + l.turned;
}

void read_linear(const ConfigKeys& keys, const Family& family, ModelConfig& c) {
  if (!reads_key(family, "linear_num_key_heads")) return;
  LinearAttention& l = c.linear;
  l.key_heads = keys.integer("linear_num_key_heads", 1, kMaxHeads);
  l.value_heads = keys.integer("linear_num_value_heads", 1, kMaxHeads);
  l.key_dim = keys.integer("linear_key_head_dim", 1, kMaxHeadDim);
  l.value_dim = keys.integer("linear_value_head_dim", 1, kMaxHeadDim);
  l.kernel = keys.integer("linear_conv_kernel_dim", 2, 64);
  if (l.value_heads % l.key_heads != 0)
    user_error("{}: linear_num_value_heads ({}) is not a multiple of linear_num_key_heads ({})", keys.where(),
               l.value_heads, l.key_heads);
  const int64_t interval = keys.integer("full_attention_interval", 1, kMaxLayers, 4);
  for (int64_t i = 0; i < c.layers; ++i) l.layers.push_back((i + 1) % interval != 0);
  if (const auto given = layers_of_type(keys, "linear_attention", c.layers)) l.layers = *given;
}

void read_short_conv(const ConfigKeys& keys, const Family& family, ModelConfig& c) {
  if (!reads_key(family, "conv_L_cache")) return;
  ShortConv& s = c.short_conv;
  s.kernel = keys.integer("conv_L_cache", 2, 64);
  s.biases = keys.boolean("conv_bias", false);
  s.layers.assign(static_cast<size_t>(c.layers), false);
  if (const Json* full = keys.get("full_attn_idxs")) {
    if (!full->is_array()) keys.wrong("full_attn_idxs", "an array of layers", *full);
    for (int64_t l = 0; l < c.layers; ++l)
      s.layers[static_cast<size_t>(l)] = std::find(full->begin(), full->end(), Json(l)) == full->end();
  }
  if (const auto given = layers_of_type(keys, "conv", c.layers)) s.layers = *given;
  if (std::find(s.layers.begin(), s.layers.end(), true) == s.layers.end()) s = {};
}

void read_unlike(const ConfigKeys& keys, const Family& family, ModelConfig& c) {
  if (!reads_key(family, "num_kv_shared_layers")) return;
  UnlikeLayers& u = c.unlike;
  u.keys_are_values = keys.boolean("attention_k_eq_v", false);
  read_head_sizes(keys, c);
  u.borrowers = keys.integer("num_kv_shared_layers", 0, c.layers - 1, 0);
  for (int64_t l = 0; l < c.layers; ++l)
    if (c.lender(l) < 0)
      user_error(
          "{}: num_kv_shared_layers: layer {} shares keys and values, but no layer of its type has any",
          keys.where(), l);
  u.wide_borrowers = keys.boolean("use_double_wide_mlp", false);
  u.own_embedding_width = keys.integer("hidden_size_per_layer_input", 0, kMaxWidth, 0);
  if (u.own_embedding_width == 0) return;
  const int64_t rows = keys.integer("vocab_size_per_layer_input", 1, kMaxTokenId, c.vocab);
  if (rows != c.vocab)
    user_error("{}: vocab_size_per_layer_input: expected the vocab_size {}, found {}", keys.where(), c.vocab,
               rows);
}

}  // namespace temper
