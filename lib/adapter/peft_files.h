// PEFT's adapter folders: adapter_model.safetensors and adapter_config.json.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "tensor/safetensors.h"

namespace temper {

inline constexpr const char* kPeftPrefix = "base_model.model.";
// Module paths of the two matrices with a row a token.
inline constexpr const char *kEmbedding = "model.embed_tokens", *kHead = "lm_head";

// The folder's tensors. Throws UserError when there is no adapter_model.safetensors.
SafetensorsFile open_adapter_tensors(const std::string& folder);

// Copies a file's tensors into those of these names; every name must be there in its shape, and nothing else
// but `done`. Throws UserError.
void fill_adapter_tensors(const SafetensorsFile& file, const std::string& path, const NamedTensors& tensors,
                          const std::set<std::string>& done = {});

// What a config says that is not read. `read`: keys that are, or that say nothing of what is computed, beside
// those of every kind; `missing`: features that are not there, with the value that means "not used"; null,
// false and empty values mean it too. Throws UserError naming a missing feature, warns of an unknown key.
void check_config_keys(const Json& config, const std::set<std::string>& read,
                       const std::map<std::string, Json>& missing, const std::string& where);

// Of kinds that adapt linears of the blocks and save no whole modules but a score head, as PEFT does for
// SEQ_CLS: throws UserError naming modules_to_save, or target_modules with the embedding or the head.
void check_plain_linears(const Json& config, const std::string& where);

// What the configs of all kinds have besides `own`.
Json peft_config(Json own, const std::string& base_model, bool causal);
// Writes both files, creating the folder. Throws UserError.
void save_adapter(const std::string& folder, const NamedTensors& tensors, const Json& config);

// A number of the config within [low, high], `fallback` where it is absent or null. Throws UserError.
double config_number(const Json& config, const char* key, double fallback, double low, double high,
                     const std::string& where);
std::vector<std::string> config_strings(const Json& config, const char* key, const std::string& where);
std::string shown_json(const Json& value);  // short enough for a message
Json whole_or_number(double value);         // 8 rather than 8.0

}  // namespace temper
