// Text to token ids and back, as the `tokenizers` package and SentencePiece do it.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

namespace temper {

struct EncodeOptions {
  bool add_special = false;  // the begin and end tokens of the file's post-processor
  bool parse_special =
      false;  // special tokens written in the text become their ids; off: they are plain text
  // With parse_special: sorted byte spans [begin, end) of the text no byte of which takes part in a special
  // token (what users wrote inside a chat template).
  std::vector<std::pair<size_t, size_t>> plain = {};
};

// The text of ids that come one by one: what became certain, never half a character.
class TextStream {
 public:
  virtual ~TextStream() = default;
  virtual std::string push(int64_t id) = 0;
  virtual std::string finish() = 0;  // what was held back
};

class Tokenizer {
 public:
  // A Hugging Face folder (tokenizer.json, else tokenizer.model; tokenizer_config.json and
  // special_tokens_map.json for the named special tokens). Throws UserError with file, place and reason.
  static std::unique_ptr<Tokenizer> load(const std::string& folder);
  virtual ~Tokenizer() = default;

  // Any bytes are accepted; invalid UTF-8 is read as U+FFFD, as Python's errors="replace" does.
  virtual std::vector<int64_t> encode(std::string_view text, const EncodeOptions& options = {}) const = 0;
  // special: whether special tokens appear in the text.
  // Ids that nothing belongs to give no text.
  virtual std::string decode(const std::vector<int64_t>& ids, bool special = true) const = 0;
  // All that it gives, put together, is decode() of all its ids. Lives no longer than the tokenizer. This one
  // gives everything at the end.
  virtual std::unique_ptr<TextStream> stream(bool special) const;

  virtual int64_t vocab_size() const = 0;           // one above the largest id, added tokens included
  virtual std::string piece(int64_t id) const = 0;  // as the file spells it; throws UserError out of range
  virtual std::optional<int64_t> id(std::string_view piece) const = 0;  // exact piece or added token
  virtual bool is_special(int64_t id) const = 0;

  // From tokenizer_config.json / special_tokens_map.json / the SentencePiece file.
  virtual std::optional<int64_t> bos() const = 0;
  virtual std::optional<int64_t> eos() const = 0;
  virtual std::optional<int64_t> pad() const = 0;
  // "bos_token" -> its text, and so on: all that the files name, a family's own (image_token) too.
  virtual std::map<std::string, std::string> named_tokens() const = 0;
  virtual std::string chat_template()
      const = 0;  // "" when there is none (chat_template.jinja wins over the config's)

  // Writes the files it was loaded from into `folder`, byte for byte.
  virtual void save(const std::string& folder) const = 0;
};

// Emits text as ids arrive and never half a character: bytes that may still become one are held back.
class StreamDecoder {
 public:
  explicit StreamDecoder(const Tokenizer& tokenizer, bool special = false)
      : stream_(tokenizer.stream(special)) {}
  std::string push(int64_t id) { return stream_->push(id); }  // the text that became certain; "" often
  std::string finish() { return stream_->finish(); }  // what was held back, incomplete bytes as U+FFFD

 private:
  std::unique_ptr<TextStream> stream_;
};

// Trains a SentencePiece BPE tokenizer (byte fallback, digits split) on the texts and writes a folder that
// Tokenizer::load reads: tokenizer.model, tokenizer_config.json (with special tokens and a ChatML-like
// template). Deterministic. Throws UserError when the texts are too few for the vocabulary.
void train_sentencepiece(const std::vector<std::string>& texts, int64_t vocab_size,
                         const std::string& folder);

}  // namespace temper
