// A tokenizer of letters, for models of 40 tokens.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "text/tokenizer.h"

namespace temper {

// Ids 1 ... 26 are letters, 27 a space, 28 and 29 the two bytes of an é; 0 is the special end token, the rest
// "?".
class Letters : public Tokenizer {
 public:
  std::vector<int64_t> encode(std::string_view text, const EncodeOptions&) const override {
    std::vector<int64_t> out;
    for (const char c : text) out.push_back(c == ' ' ? 27 : c - 'a' + 1);
    return out;
  }
  std::string decode(const std::vector<int64_t>& ids, bool special) const override {
    std::string out;
    for (const int64_t id : ids) {
      if (id != 0 || special) out += piece(id);
    }
    return out;
  }
  std::unique_ptr<TextStream> stream(bool special) const override {
    struct Stream : TextStream {
      Stream(const Letters& letters, bool special) : letters(letters), special(special) {}
      std::string push(int64_t id) override { return letters.decode({id}, special); }
      std::string finish() override { return ""; }
      const Letters& letters;
      bool special;
    };
    return std::make_unique<Stream>(*this, special);
  }
  int64_t vocab_size() const override { return 40; }
  std::string piece(int64_t id) const override {
    if (id == 0) return "<end>";
    if (id <= 26) return std::string(1, static_cast<char>('a' + id - 1));
    return id == 27 ? " " : "?";
  }
  std::optional<int64_t> id(std::string_view) const override { return std::nullopt; }
  bool is_special(int64_t id) const override { return id == 0; }
  std::optional<int64_t> bos() const override { return std::nullopt; }
  std::optional<int64_t> eos() const override { return 0; }
  std::optional<int64_t> pad() const override { return std::nullopt; }
  std::map<std::string, std::string> named_tokens() const override { return {}; }
  std::string chat_template() const override { return ""; }
  void save(const std::string&) const override {}
};

}  // namespace temper
