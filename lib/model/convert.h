// Copies of Hugging Face folders.
#pragma once

#include <c10/core/ScalarType.h>

#include <optional>
#include <string>

#include "base/json_fwd.h"

namespace temper {

// "f32", "bf16" or "f16". Throws UserError.
at::ScalarType weight_dtype(const std::string& name);

// A folder with the same tensors, floating-point ones in `dtype` when given, and the same config with it. One
// tensor is held at a time. Throws UserError.
void cast_folder(const std::string& from, const std::string& to, std::optional<at::ScalarType> dtype);

// ExPO (arXiv 2404.16792): a folder of `from`'s weights moved on from `other`'s, W = W_from + alpha (W_from -
// W_other), in fp32 and rounded once to the dtype (default: from's own). The two must be of one shape. Config
// and side files are from's. Throws UserError.
void extrapolate_folder(const std::string& from, const std::string& other, double alpha,
                        const std::string& to, std::optional<at::ScalarType> dtype);

// The folder's config.json as it is, with the dtype set when given.
Json config_with_dtype(const std::string& folder, std::optional<at::ScalarType> dtype);

// Everything but weights and config.json: tokenizer, templates, generation_config.json, licence ...
void copy_side_files(const std::string& from, const std::string& to);

}  // namespace temper
