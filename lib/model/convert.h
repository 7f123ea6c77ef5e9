// Copies of Hugging Face folders.
#pragma once

#include <c10/core/ScalarType.h>

#include <optional>
#include <string>

#include "base/json_fwd.h"
#include "model/config.h"

namespace temper {

// "f32", "bf16" or "f16". Throws UserError.
at::ScalarType weight_dtype(const std::string& name);

// A folder with the same tensors, floating-point ones in `dtype` when given, and the same config with it. One
// tensor is held at a time. Throws UserError.
void cast_folder(const std::string& from, const std::string& to, std::optional<at::ScalarType> dtype);

// The config of a folder that holds all of its weights. Throws UserError for one that does not.
ModelConfig complete_model_config(const std::string& folder);

// The folder's config.json as it is, with the dtype set when given.
Json config_with_dtype(const std::string& folder, std::optional<at::ScalarType> dtype);

// Everything but weights and config.json: tokenizer, templates, generation_config.json, licence ...
void copy_side_files(const std::string& from, const std::string& to);

}  // namespace temper
