// A folder's tokenizer in GGUF's terms.
#pragma once

#include <string>

#include "base/file.h"
#include "model/gguf_vocabulary.h"
#include "text/tokenizer.h"
#include "text/tokenizer_sentencepiece_model.h"

namespace temper {

// tokenizer.json, else tokenizer.model with the tokens that the folder adds to it.
inline GgufVocabulary vocabulary_of(const std::string& folder) {
  if (fs::exists(folder + "/tokenizer.json")) return vocabulary_from_folder(folder);
  const std::string path = folder + "/tokenizer.model";
  if (!fs::exists(path))
    user_error("{}: GGUF needs a tokenizer, but there is no tokenizer.json or tokenizer.model", folder);
  const SentencePieceModel model = parse_sentencepiece(read_file(path), path);
  if (!model.bpe)
    user_error("{}: llama.cpp reads SentencePiece BPE models; this one is of another kind", path);
  GgufVocabulary v;
  v.model = "llama";
  v.add_space_prefix = model.add_dummy_prefix;
  for (const auto& piece : model.pieces) {
    if (piece.type == SentencePieceModel::kUnknown) v.unk = static_cast<int64_t>(v.tokens.size());
    v.tokens.push_back(piece.text);
    v.scores.push_back(piece.score);
    v.types.push_back(piece.type);
  }
  const auto tokenizer = Tokenizer::load(folder);
  for (int64_t id = 0; id < tokenizer->vocab_size(); ++id) {
    const auto at = static_cast<size_t>(id);
    if (at >= v.tokens.size()) {
      v.tokens.push_back(tokenizer->piece(id));
      v.scores.push_back(0.0f);
      v.types.push_back(GgufVocabulary::kUserDefined);
    }
    if (tokenizer->is_special(id) && v.types[at] != GgufVocabulary::kUnknown)
      v.types[at] = GgufVocabulary::kControl;
  }
  v.add_bos = tokenizer->bos().has_value();
  read_tokenizer_config(folder, v);
  return v;
}

}  // namespace temper
