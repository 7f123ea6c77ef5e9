// PEFT's adapter folders: adapter_model.safetensors and adapter_config.json.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <utility>
#include <vector>

#include "base/json.h"
#include "tensor/safetensors.h"

namespace temper {

inline constexpr const char* kPeftPrefix = "base_model.model.";

// The folder's tensors. Throws UserError when there is no adapter_model.safetensors.
SafetensorsFile open_adapter_tensors(const std::string& folder);

// Copies a file's tensors into those of these names; every name must be there in its shape, and nothing else.
// Throws UserError.
void fill_adapter_tensors(const SafetensorsFile& file, const std::string& path, const NamedTensors& tensors);

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
