// A tokenizer as GGUF's metadata holds it, and its way from and to Hugging Face's files.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "base/json_fwd.h"
#include "tensor/gguf.h"

namespace temper {

struct GgufVocabulary {
  enum Type : int32_t { kNormal = 1, kUnknown = 2, kControl = 3, kUserDefined = 4, kUnused = 5, kByte = 6 };
  std::string model;                // "gpt2": byte-level BPE; "llama": SentencePiece BPE with byte fallback
  std::string pre;                  // gpt2: the name of the pre-tokenizer, one of pre_tokenizer_names()
  std::vector<std::string> tokens;  // by id
  std::vector<int32_t> types;       // by id
  std::vector<float> scores;        // by id; llama only
  std::vector<std::string> merges;  // "left right", best first; gpt2 only
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

// From tokenizer.json, tokenizer_config.json and chat_template.jinja. Throws UserError when GGUF has no name
// for it.
GgufVocabulary vocabulary_from_folder(const std::string& folder);
// The named tokens, switches and template of tokenizer_config.json and chat_template.jinja; the tokens must
// be there.
void read_tokenizer_config(const std::string& folder, GgufVocabulary& vocabulary);

// The pre-tokenizers of byte-level BPE that llama.cpp knows by name.
struct PreTokenizer {
  const char* name;
  const char* regex;  // of the split before the byte level; null: GPT-2's own
  bool digits;        // each digit alone
  bool nfc, ignore_merges, adds_bos;
};
const PreTokenizer* find_pre_tokenizer(const std::string& name);  // aliases too; null when unknown
const std::vector<PreTokenizer>& pre_tokenizers();

}  // namespace temper
