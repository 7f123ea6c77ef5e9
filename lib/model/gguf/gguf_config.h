// A model's shape between GGUF's metadata and config.json.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <string>

#include "base/json.h"
#include "model/config.h"
#include "model/families.h"
#include "tensor/gguf.h"
#include "tensor/safetensors.h"

namespace temper {

// What a file says, or one that is about to be written.
struct GgufContents {
  std::string where;  // for errors
  Json metadata;      // by GgufKey::name
  int64_t vocab = 0;  // rows of the embedding
  std::function<bool(const std::string& tensor)> has;
  std::function<at::Tensor(const std::string& tensor)> read;  // of the few numbers that rotary factors are
};

GgufContents contents_of(const GgufFile& file, const Family& family);

ModelConfig config_of(const Family& family, const GgufContents& contents);

// The rotary factors that a model's file holds as tensors.
NamedTensors gguf_rope_tensors(const ModelConfig& config);

}  // namespace temper
