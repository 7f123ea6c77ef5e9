// Whether a model's file says all that the model computes.
#pragma once

#include <string>

#include "model/config.h"
#include "model/gguf/gguf_config.h"

namespace temper {

// Throws UserError, naming config.json's key, for a model that is not what will be read from its file, or not
// what llama.cpp computes of it.
void check_expressible(const ModelConfig& config, const GgufContents& contents, const std::string& folder);

}  // namespace temper
