// What runs a GGUF file in Ollama.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "base/file.h"
#include "model/generation.h"
#include "model/model.h"
#include "text/ollama.h"

namespace temper {

inline std::string modelfile_of(const std::string& gguf) {
  return (fs::path(gguf).parent_path() / "Modelfile").string();
}

// Beside the file that was made of the folder.
inline void write_modelfile(const std::string& gguf, const std::string& folder) {
  const auto tokenizer = Tokenizer::load(folder);
  std::optional<ChatTemplate> chat;
  if (!tokenizer->chat_template().empty()) chat.emplace(tokenizer->chat_template());
  std::vector<std::string> stops;
  std::vector<int64_t> ends = stored_end_ids(folder);
  if (ends.empty()) ends = model_config(folder, {}).eos_ids;
  for (const int64_t id : ends)
    if (id < tokenizer->vocab_size()) stops.push_back(tokenizer->piece(id));
  write_file_atomic(modelfile_of(gguf), ollama_modelfile(fs::path(gguf).filename().string(),
                                                         chat ? &*chat : nullptr, *tokenizer, stops));
}

}  // namespace temper
