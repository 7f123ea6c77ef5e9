#include "model/gguf/gguf_mixture.h"

#include <algorithm>
#include <cstdlib>
#include <map>

#include "base/error.h"

namespace temper {
namespace {

struct Mixture {
  GgmlType type;
  uint32_t file_type;
  bool more_bits;  // the layers that more_bits() names get Q6_K for values and down projections
};

const std::map<std::string, Mixture>& mixtures() {
  static const std::map<std::string, Mixture> all = {{"q4_0", {GgmlType::kQ4_0, 2, false}},
                                                     {"q8_0", {GgmlType::kQ8_0, 7, false}},
                                                     {"q4_k_m", {GgmlType::kQ4_K, 15, true}},
                                                     {"q5_k_m", {GgmlType::kQ5_K, 17, true}},
                                                     {"q6_k", {GgmlType::kQ6_K, 18, false}}};
  return all;
}

const Mixture& mixture_of(const std::string& name) {
  const auto it = mixtures().find(name);
  if (it == mixtures().end()) bug("{} is no GGUF mixture", name);
  return it->second;
}

// The first and the last eighth of the layers, and of those between every third.
bool more_bits(int64_t layer, int64_t layers) {
  return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

bool has(const std::string& name, const char* part) {
  return name.find(part) != std::string::npos;
}

int64_t layer_of(const std::string& name) {
  return name.rfind("blk.", 0) == 0 ? std::strtoll(name.c_str() + 4, nullptr, 10) : 0;
}

bool is_value(const std::string& name) {
  return has(name, "attn_v.weight") || has(name, "attn_qkv.weight") || has(name, "attn_kv_b.weight");
}

// Where rows are no whole blocks.
GgmlType fitting(GgmlType type, int64_t row) {
  const auto whole = [&](GgmlType t) { return row % static_cast<int64_t>(ggml_block_elements(t)) == 0; };
  if (whole(type)) return type;
  if (type == GgmlType::kQ4_K) type = GgmlType::kQ5_0;
  if (type == GgmlType::kQ5_K) type = GgmlType::kQ5_1;
  if (type == GgmlType::kQ6_K) type = GgmlType::kQ8_0;
  return whole(type) ? type : GgmlType::kF16;
}

}  // namespace

const std::vector<std::string>& gguf_mixtures() {
  static const std::vector<std::string> names = {"q8_0", "q6_k", "q5_k_m", "q4_k_m", "q4_0"};
  return names;
}

uint32_t gguf_file_type(const std::string& mixture) {
  return mixture_of(mixture).file_type;
}

void choose_types(const std::string& name, const ModelConfig& config, const std::string& architecture,
                  std::vector<GgufTensor>& tensors) {
  const Mixture& mixture = mixture_of(name);
  const bool eight_experts = config.experts.count == 8;
  // What llama.cpp takes for a model of 70 billion weights, whose eight heads share their values.
  const bool shared_values =
      config.layers == 80 &&
      ((architecture == "llama" && config.heads != config.kv_heads) || architecture == "qwen2");
  std::vector<int64_t> value_layers;  // counted among those that have values at all
  for (const GgufTensor& t : tensors)
    if (is_value(t.name)) value_layers.push_back(layer_of(t.name));
  std::sort(value_layers.begin(), value_layers.end());
  for (GgufTensor& t : tensors) {
    if (t.type == GgmlType::kF32 || t.name == "per_layer_model_proj.weight") continue;
    GgmlType type = mixture.type;
    const bool is_head = t.name == "output.weight" || (config.tied && t.name == "token_embd.weight");
    if (is_head) {
      if (t.shape.back() % static_cast<int64_t>(ggml_block_elements(type)) != 0)
        type = GgmlType::kQ8_0;
      else if (type != GgmlType::kQ8_0)
        type = GgmlType::kQ6_K;
    } else if (is_value(t.name)) {
      const auto at = std::lower_bound(value_layers.begin(), value_layers.end(), layer_of(t.name));
      if (mixture.more_bits &&
          more_bits(at - value_layers.begin(), static_cast<int64_t>(value_layers.size())))
        type = GgmlType::kQ6_K;
      if (shared_values && type == GgmlType::kQ4_K) type = GgmlType::kQ5_K;
      if (eight_experts) type = GgmlType::kQ8_0;
    } else if (has(t.name, "attn_k.weight")) {
      if (eight_experts) type = GgmlType::kQ8_0;
    } else if (has(t.name, "ffn_down")) {
      if (mixture.more_bits && more_bits(layer_of(t.name), config.layers)) type = GgmlType::kQ6_K;
    } else if (has(t.name, "attn_output.weight")) {
      if (eight_experts && name == "q4_k_m") type = GgmlType::kQ5_K;
    }
    t.type = fitting(type, t.shape.back());
  }
}

}  // namespace temper
