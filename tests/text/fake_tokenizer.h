// A tokenizer whose tokens can be told by eye: each byte is its own id, digrams given to it are one id, and
// the special tokens given to it come behind those.
#pragma once

#include <algorithm>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/error.h"
#include "text/tokenizer.h"

namespace temper {

class FakeTokenizer : public Tokenizer {
 public:
  explicit FakeTokenizer(std::vector<std::string> special, std::vector<std::string> merged = {})
      : special_(std::move(special)), merged_(std::move(merged)) {}

  std::vector<int64_t> encode(std::string_view text, const EncodeOptions& options) const override {
    std::vector<int64_t> out;
    for (size_t at = 0; at < text.size();) {
      const size_t begin = at;
      for (size_t i = 0; i < special_.size() && options.parse_special && at == begin; ++i) {
        const size_t end = begin + special_[i].size();
        const bool plain = std::any_of(options.plain.begin(), options.plain.end(), [&](const auto& span) {
          return span.first < end && begin < span.second;
        });
        if (plain || text.substr(begin, special_[i].size()) != special_[i]) continue;
        out.push_back(static_cast<int64_t>(256 + merged_.size() + i));
        at = end;
      }
      for (size_t i = 0; i < merged_.size() && at == begin; ++i) {
        if (text.substr(begin, merged_[i].size()) != merged_[i]) continue;
        out.push_back(static_cast<int64_t>(256 + i));
        at += merged_[i].size();
      }
      if (at == begin) out.push_back(static_cast<unsigned char>(text[at++]));
    }
    if (options.add_special && eos_ >= 0) out.push_back(eos_);
    return out;
  }

  std::string decode(const std::vector<int64_t>& ids, bool special = true) const override {
    std::string out;
    for (const int64_t id : ids) out += special || !is_special(id) ? piece(id) : "";
    return out;
  }

  class Stream : public TextStream {
   public:
    explicit Stream(const FakeTokenizer& tokenizer) : tokenizer_(tokenizer) {}
    // Whole characters only, as the real streams.
    std::string push(int64_t id) override {
      held_ += tokenizer_.piece(id);
      size_t start = held_.size();
      while (start > 0 && (static_cast<unsigned char>(held_[start - 1]) & 0xC0) == 0x80) --start;
      if (start > 0) --start;
      const auto lead = static_cast<unsigned char>(held_[start]);
      const size_t length = lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
      const size_t whole = held_.size() - start >= length ? held_.size() : start;
      std::string out = held_.substr(0, whole);
      held_.erase(0, whole);
      return out;
    }
    std::string finish() override { return std::exchange(held_, ""); }

   private:
    const FakeTokenizer& tokenizer_;
    std::string held_;
  };
  std::unique_ptr<TextStream> stream(bool) const override {
    if (!streams_) return Tokenizer::stream(true);
    return std::make_unique<Stream>(*this);
  }

  int64_t vocab_size() const override { return static_cast<int64_t>(256 + merged_.size() + special_.size()); }
  std::string piece(int64_t id) const override {
    if (id < 0 || id >= vocab_size()) user_error("no token {}", id);
    const auto i = static_cast<size_t>(id);
    if (i < 256) return std::string(1, static_cast<char>(i));
    return i < 256 + merged_.size() ? merged_[i - 256] : special_[i - 256 - merged_.size()];
  }
  std::optional<int64_t> id(std::string_view piece) const override {
    for (int64_t i = 0; i < vocab_size(); ++i) {
      if (this->piece(i) == piece) return i;
    }
    return std::nullopt;
  }
  bool is_special(int64_t id) const override { return id >= static_cast<int64_t>(256 + merged_.size()); }

  std::optional<int64_t> bos() const override { return known(bos_); }
  std::optional<int64_t> eos() const override { return known(eos_); }
  std::optional<int64_t> pad() const override { return std::nullopt; }
  std::map<std::string, std::string> named_tokens() const override {
    std::map<std::string, std::string> out;
    if (bos()) out["bos_token"] = piece(*bos());
    if (eos()) out["eos_token"] = piece(*eos());
    return out;
  }
  std::string chat_template() const override { return template_; }
  void save(const std::string&) const override {}

  int64_t bos_ = -1, eos_ = -1;
  std::string template_;
  bool streams_ = true;  // false: the text comes all at the end, so that places must be found by prefixes

 private:
  static std::optional<int64_t> known(int64_t id) {
    return id < 0 ? std::nullopt : std::optional<int64_t>(id);
  }
  std::vector<std::string> special_, merged_;
};

}  // namespace temper
