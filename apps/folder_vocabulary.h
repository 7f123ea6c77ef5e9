// A folder's tokenizer in GGUF's terms.
#pragma once

#include <algorithm>
#include <string>

#include "base/error.h"
#include "base/file.h"
#include "base/log.h"
#include "model/gguf/gguf_vocabulary.h"
#include "text/tokenizer.h"
#include "text/tokenizer_sentencepiece_model.h"

namespace temper {

inline GgufVocabulary sentencepiece_vocabulary(const std::string& path) {
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
  return v;
}

// Tokens that other files add, and which are special.
inline void take_tokens(const Tokenizer& tokenizer, GgufVocabulary& v) {
  for (int64_t id = 0; id < tokenizer.vocab_size(); ++id) {
    const auto at = static_cast<size_t>(id);
    const bool special = tokenizer.is_special(id);
    if (at >= v.tokens.size()) {
      std::string piece = fmt::format("[PAD{}]", id);
      GgufVocabulary::Type type = GgufVocabulary::kUserDefined;
      try {
        piece = tokenizer.piece(id);
      } catch (const UserError&) {  // the ids leave a hole here
        type = GgufVocabulary::kUnused;
      }
      v.tokens.push_back(piece);
      v.types.push_back(type);
      if (v.model == "llama") v.scores.push_back(0.0f);
    }
    if (special && v.types[at] != GgufVocabulary::kUnknown) v.types[at] = GgufVocabulary::kControl;
  }
}

// What the tokenizer puts around a text. llama.cpp can put its begin and end tokens there, one of each, so
// these become the ones that are put; more than that is told.
inline void take_borders(const Tokenizer& tokenizer, const std::string& folder, GgufVocabulary& v) {
  const auto bare = tokenizer.encode("a", {}), whole = tokenizer.encode("a", {.add_special = true});
  const auto inner = std::search(whole.begin(), whole.end(), bare.begin(), bare.end());
  const auto before = inner - whole.begin(), after = whole.end() - inner - std::ssize(bare);
  v.add_bos = before > 0;
  v.add_eos = inner != whole.end() && after > 0;
  if (v.add_bos) v.bos = *(inner - 1);
  if (v.add_eos) v.eos = whole.back();
  if (before > 1 || after > 1) {
    log_warning(
        "{}: the tokenizer puts {} tokens before a text and {} after it; llama.cpp puts one of each at most",
        folder, before, after);
  }
}

// tokenizer.json, else tokenizer.model; the named tokens, the template and what is put around a text are
// those of the tokenizer as it is loaded, whichever files they stand in.
inline GgufVocabulary vocabulary_of(const std::string& folder) {
  const bool json = fs::exists(folder + "/tokenizer.json");
  if (!json && !fs::exists(folder + "/tokenizer.model"))
    user_error("{}: GGUF needs a tokenizer, but there is no tokenizer.json or tokenizer.model", folder);
  const auto tokenizer = Tokenizer::load(folder);
  GgufVocabulary v =
      json ? vocabulary_from_folder(folder) : sentencepiece_vocabulary(folder + "/tokenizer.model");
  take_tokens(*tokenizer, v);
  v.bos = tokenizer->bos();
  v.eos = tokenizer->eos();
  v.pad = tokenizer->pad();
  const auto named = tokenizer->named_tokens();
  if (const auto unk = named.find("unk_token"); unk != named.end() && tokenizer->id(unk->second))
    v.unk = tokenizer->id(unk->second);
  v.chat_template = tokenizer->chat_template();
  take_borders(*tokenizer, folder, v);
  return v;
}

}  // namespace temper
