// Model files between GGUF and Hugging Face folders.
#pragma once

#include <c10/core/ScalarType.h>

#include <optional>
#include <string>

#include "model/config.h"
#include "model/gguf/gguf_vocabulary.h"
#include "tensor/gguf.h"

namespace temper {

// What the metadata says about the shape. Throws UserError on architectures that are not known (families.cc).
ModelConfig config_from_gguf(const GgufFile& file);

// Writes a folder that transformers and Model::load read: dequantised weights in `dtype` (default: the file's
// own, fp32 for quantised ones), configs, tokenizer. One tensor is held at a time. Throws UserError.
void gguf_to_folder(const std::string& path, const std::string& folder, std::optional<at::ScalarType> dtype);

// Writes a file that llama.cpp loads: matrices in `dtype` (default: the folder's own) or, with a mixture of
// gguf_mixture.h, in few bits; vectors in fp32. A
// sliding window that its architecture lacks becomes the context length, and a warning. Throws UserError,
// naming config.json's key, for a model that the architecture does not compute.
void folder_to_gguf(const std::string& folder, const std::string& path, std::optional<at::ScalarType> dtype,
                    const GgufVocabulary& vocabulary, const std::string& mixture = "");

}  // namespace temper
