// Text to token ids and back, as the `tokenizers` package and SentencePiece do it.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace temper {

struct EncodeOptions {
  bool add_special = false;    // the begin and end tokens of the file's post-processor
  bool parse_special = false;  // special tokens written in the text become their ids; off: they are plain text
};

class Tokenizer {
 public:
  // A Hugging Face folder (tokenizer.json, else tokenizer.model; tokenizer_config.json and special_tokens_map.json for
  // the named special tokens). Throws UserError with file, place and reason.
  static std::unique_ptr<Tokenizer> load(const std::string& folder);
  virtual ~Tokenizer() = default;

  // Any bytes are accepted; invalid UTF-8 is read as U+FFFD, as Python's errors="replace" does.
  virtual std::vector<int64_t> encode(std::string_view text, const EncodeOptions& options = {}) const = 0;
  // special: whether special tokens appear in the text.
  virtual std::string decode(const std::vector<int64_t>& ids, bool special = true) const = 0;

  virtual int64_t vocab_size() const = 0;                                // added tokens included
  virtual std::string piece(int64_t id) const = 0;                       // as the file spells it; throws UserError out of range
  virtual std::optional<int64_t> id(std::string_view piece) const = 0;   // exact piece or added token
  virtual bool is_special(int64_t id) const = 0;

  // From tokenizer_config.json / special_tokens_map.json / the SentencePiece file.
  virtual std::optional<int64_t> bos() const = 0;
  virtual std::optional<int64_t> eos() const = 0;
  virtual std::optional<int64_t> pad() const = 0;
  virtual std::string chat_template() const = 0;  // "" when there is none (chat_template.jinja wins over the config's)

  // Writes the files it was loaded from into `folder`, byte for byte.
  virtual void save(const std::string& folder) const = 0;
};

// Emits text as ids arrive and never half a character: bytes that may still become one are held back.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, bool special = false);
  std::string push(int64_t id);  // the text that became certain; "" often
  std::string finish();          // what was held back, incomplete bytes as U+FFFD

 private:
  const Tokenizer& tokenizer_;
  bool special_;
  std::vector<int64_t> ids_;   // since the last certain point
  size_t prefix_ids_ = 0;      // of ids_, those whose text is out already
};

// Trains a SentencePiece BPE tokenizer (byte fallback, digits split) on the texts and writes a folder that
// Tokenizer::load reads: tokenizer.model, tokenizer_config.json (with special tokens and a ChatML-like template).
// Deterministic. Throws UserError when the texts are too few for the vocabulary.
void train_sentencepiece(const std::vector<std::string>& texts, int64_t vocab_size, const std::string& folder);

}  // namespace temper
