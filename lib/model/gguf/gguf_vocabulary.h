// A tokenizer as GGUF's metadata holds it, and its way from and to Hugging Face's files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json_fwd.h"
#include "tensor/gguf.h"

namespace temper {

inline constexpr int64_t kMaxTokens = 1 << 24;  // of a vocabulary

struct GgufVocabulary {
  enum Type : int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };
  // "gpt2": byte-level BPE; "llama": SentencePiece BPE with byte fallback; "gemma4": the same by merges
  std::string model;
  std::string pre;                  // gpt2: the name of the pre-tokenizer, one of pre_tokenizer_names()
  std::vector<std::string> tokens;  // by id
  std::vector<int32_t> types;       // by id
  std::vector<float> scores;        // by id; of "llama", by which it merges
  std::vector<std::string> merges;  // "left right", best first; a "llama" of a folder has them, too
  std::optional<int64_t> bos, eos, eot, eom, unk, pad;  // eot, eom: further ends
  bool add_bos = false, add_eos = false, add_space_prefix = true;
  std::string chat_template;  // "" when there is none
};

std::string pre_tokenizer_names();  // "gpt-2, llama-bpe, ..."

// Throws UserError on kinds of tokenizer that are not known and on tables that do not fit each other.
GgufVocabulary read_gguf_vocabulary(const GgufFile& file);
void write_gguf_vocabulary(const GgufVocabulary& vocabulary, GgufWriter& writer);

// The text of tokenizer.json; `where` names the source in errors.
std::string tokenizer_json(const GgufVocabulary& vocabulary, const std::string& where);
Json tokenizer_config_json(const GgufVocabulary& vocabulary, int64_t context_length);

// The tables of tokenizer.json; the named tokens, the switches and the template are the caller's, who has the
// tokenizer loaded. Throws UserError when GGUF has no name for it.
GgufVocabulary vocabulary_from_folder(const std::string& folder);

// How byte-level BPE cuts text into words, by llama.cpp's names.
struct PreTokenizer {
  static constexpr const char* kDigit = "\\p{N}";    // each digit alone
  static constexpr const char* kDigits = "\\p{N}+";  // runs of digits
  static constexpr const char* kMarks = "marks";     // runs of punctuation
  std::string name;
  // Expressions that one after the other split what the one before left, at their matches and between; the
  // byte level comes last. The first form is written, the others are read, too.
  std::vector<std::vector<std::string>> forms;
  bool nfc, ignore_merges, adds_bos;
};
const std::vector<PreTokenizer>& pre_tokenizers();
const PreTokenizer* find_pre_tokenizer(const std::string& name);  // aliases too; null when unknown
// The one with these steps; of several, the one whose flags fit best.
const PreTokenizer* find_pre_tokenizer(const std::vector<std::string>& steps, bool nfc, bool ignore_merges);

}  // namespace temper
