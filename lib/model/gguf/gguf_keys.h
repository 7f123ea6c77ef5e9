// The keys of GGUF's metadata beside those of config.json and of ModelConfig: those of all architectures, and
// what some have of their own, for the table of gguf_families.cc.
#pragma once

#include <string>
#include <vector>

#include "base/json.h"
#include "model/config.h"

namespace temper {

// A key of the metadata and the one of config.json that says the same.
struct GgufKey {
  // kByLayer: an integer, or one for each layer.
  enum Kind { kInteger, kIntegers, kByLayer, kNumber, kText, kFlag, kFlags };
  std::string name;    // behind the architecture and a dot
  std::string config;  // "a.b": b in the object a; "": none says it alone, gguf_config.cc reads it
  Kind kind = kInteger;
  Json (*value)(const ModelConfig& config) = nullptr;  // null, or a JSON null: it is not written
  bool needed = false;
};

// An array of value(layer).
template <class Value>
Json by_layer(const ModelConfig& c, Value value) {
  Json out = Json::array();
  for (int64_t l = 0; l < c.layers; ++l) out.push_back(value(l));
  return out;
}

std::vector<GgufKey> usual_keys();
std::vector<GgufKey> joined(std::vector<GgufKey> a, const std::vector<GgufKey>& b);

GgufKey window_key();
GgufKey window_flags_key();  // by layer
GgufKey final_softcap_key();
GgufKey log_multiplier_key();  // of yarn, where llama.cpp means the key's number itself
GgufKey further_key();         // of the block_count; these layers predict several tokens at once

// Of experts, whose key in config.json is `config`.
GgufKey experts_key(const char* config);
GgufKey chosen_key();
GgufKey expert_width_key(const char* config);
GgufKey gating_key();  // 1: softmax, 2: sigmoid
GgufKey shared_key();
GgufKey dense_key();
std::vector<GgufKey> group_keys();  // what a router of groups does with its weights

std::vector<GgufKey> latent_keys();  // deepseek2
std::vector<GgufKey> delta_keys();   // layers of linear attention (gated delta rule): qwen35, qwen35moe
std::vector<GgufKey> gemma4_keys();

}  // namespace temper
