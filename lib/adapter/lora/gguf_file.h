// LoRA as llama.cpp reads it.
#pragma once

#include <string>

namespace temper {

// Writes a GGUF file with the updates of an adapter folder, for a GGUF file of its base model: what
// llama.cpp's convert_lora_to_gguf.py writes (general.type "adapter"; adapter.lora.alpha; <tensor>.lora_a [r,
// in] and .lora_b [out, r], fp32, in the order of the base's rows and columns there). The folder is one
// that combine_adapters() wrote: plain LoRA with its scale in B. Throws UserError, naming the module, for
// what such a file cannot hold: experts, embedding, head.
void adapter_to_gguf(const std::string& adapter, const std::string& base, const std::string& path);

}  // namespace temper
