#include "text/tokenizer_decoder.h"

#include "base/error.h"
#include "text/tokenizer_normalizer.h"
#include "text/tokenizer_pretokenizer.h"
#include "text/tokenizer_unicode.h"

namespace temper {
namespace {

// Steps that need the whole string before they can say anything.
class WholeStrings : public DecodeStep {
 public:
  void part(std::string_view text) override { string_ += text; }
  void end_string() override {
    std::string whole;
    whole.swap(string_);
    take(std::move(whole));
  }
  void finish() override { next->finish(); }

 protected:
  virtual void take(std::string string) = 0;
  void emit(std::string_view string) {
    next->part(string);
    next->end_string();
  }

 private:
  std::string string_;
};

class Replace : public WholeStrings {
 public:
  Replace(const TextPattern& pattern, const std::string& content) : pattern_(pattern), content_(content) {}
  void part(std::string_view text) override {
    if (pattern_.is_single_character()) {
      next->part(pattern_.replace_all(text, content_));
    } else {
      WholeStrings::part(text);
    }
  }
  void end_string() override {
    if (pattern_.is_single_character()) {
      next->end_string();
    } else {
      WholeStrings::end_string();
    }
  }

 protected:
  void take(std::string string) override { emit(pattern_.replace_all(string, content_)); }

 private:
  TextPattern pattern_;
  std::string content_;
};

// A run of byte tokens becomes one string when it is valid UTF-8 as a whole, else one U+FFFD for each byte.
class ByteFallback : public WholeStrings {
 public:
  void finish() override {
    flush();
    next->finish();
  }

 protected:
  void take(std::string string) override {
    const int byte = byte_of(string);
    if (byte >= 0) {
      bytes_ += static_cast<char>(byte);
      return;
    }
    flush();
    emit(string);
  }

 private:
  static int byte_of(std::string_view token) {
    if (token.size() != 6 || !token.starts_with("<0x") || token[5] != '>') return -1;
    int value = 0;
    for (const char c : token.substr(3, 2)) {
      const char low = static_cast<char>(c | 0x20);
      if (c >= '0' && c <= '9') {
        value = 16 * value + (c - '0');
      } else if (low >= 'a' && low <= 'f') {
        value = 16 * value + (low - 'a' + 10);
      } else {
        return -1;
      }
    }
    return value;
  }
  void flush() {
    if (bytes_.empty()) return;
    if (is_valid_utf8(bytes_)) {
      emit(bytes_);
    } else {
      for (size_t i = 0; i < bytes_.size(); ++i) emit("\uFFFD");
    }
    bytes_.clear();
  }
  std::string bytes_;
};

class Fuse : public DecodeStep {
 public:
  void part(std::string_view text) override { next->part(text); }
  void end_string() override {}
  void finish() override {
    next->end_string();
    next->finish();
  }
};

// Cuts up to `start` and `stop` copies of one character off each string's ends.
class Strip : public DecodeStep {
 public:
  Strip(char32_t content, int64_t start, int64_t stop) : start_(start), stop_(stop) {
    append_utf8(content_, content);
  }
  void part(std::string_view text) override {
    while (at_start_ && cut_ < start_ && text.starts_with(content_)) {
      text.remove_prefix(content_.size());
      ++cut_;
    }
    if (text.empty()) return;
    at_start_ = false;
    if (stop_ == 0) {
      next->part(text);
      return;
    }
    // Copies of the character at the end so far wait until it is known whether the string goes on.
    held_ += text;
    size_t copies = 0, keep = held_.size();
    while (copies < static_cast<size_t>(stop_) &&
           std::string_view(held_).substr(0, keep).ends_with(content_)) {
      keep -= content_.size();
      ++copies;
    }
    next->part(std::string_view(held_).substr(0, keep));
    held_.erase(0, keep);
  }
  void end_string() override {
    held_.clear();
    cut_ = 0;
    at_start_ = true;
    next->end_string();
  }
  void finish() override { next->finish(); }

 private:
  std::string content_, held_;
  int64_t start_, stop_, cut_ = 0;
  bool at_start_ = true;
};

// The mark becomes a space; in the first string, where one was put before the text, it goes.
class Metaspace : public DecodeStep {
 public:
  Metaspace(char32_t mark, bool prepended) : drop_(prepended) { append_utf8(mark_, mark); }
  void part(std::string_view text) override {
    std::string out;
    while (!text.empty()) {
      const size_t at = text.find(mark_);
      out += text.substr(0, at);
      if (at == std::string_view::npos) break;
      if (!drop_) out += ' ';
      text.remove_prefix(at + mark_.size());
    }
    next->part(out);
  }
  void end_string() override {
    drop_ = false;
    next->end_string();
  }
  void finish() override { next->finish(); }

 private:
  std::string mark_;
  bool drop_;
};

// Byte-level characters back to bytes, all strings into one. A string with any other character is text
// already.
class ByteLevel : public WholeStrings {
 public:
  void finish() override {
    next->part(assembler_.finish());
    next->end_string();
    next->finish();
  }

 protected:
  void take(std::string string) override {
    std::string bytes;
    for (size_t at = 0; at < string.size();) {
      const int byte = char_to_byte(next_char(string, at));
      if (byte < 0) {
        bytes = string;
        break;
      }
      bytes += static_cast<char>(byte);
    }
    next->part(assembler_.push(bytes));
  }

 private:
  Utf8Assembler assembler_;
};

// The end-of-word suffix becomes a space, except in the last string, where it goes: one string waits.
class BpeSuffix : public WholeStrings {
 public:
  explicit BpeSuffix(const std::string& suffix) : suffix_(suffix) {}
  void finish() override {
    if (waiting_) emit(replaced(""));
    next->finish();
  }

 protected:
  void take(std::string string) override {
    if (waiting_) emit(replaced(" "));
    waiting_ = true;
    held_ = std::move(string);
  }

 private:
  std::string replaced(const std::string& by) const {
    std::string out = held_;
    for (size_t at = out.find(suffix_); at != std::string::npos; at = out.find(suffix_, at + by.size())) {
      out.replace(at, suffix_.size(), by);
    }
    return out;
  }
  std::string suffix_, held_;
  bool waiting_ = false;
};

class JoinWithSpaces : public DecodeStep {
 public:
  void part(std::string_view text) override {
    if (between_) next->part(" ");
    between_ = false;
    next->part(text);
  }
  void end_string() override {
    if (between_) next->part(" ");  // an empty string has its space too
    between_ = true;
  }
  void finish() override { next->finish(); }

 private:
  bool between_ = false;
};

using StepMaker = std::function<std::unique_ptr<DecodeStep>()>;

void add_steps(const JsonPart& part, std::vector<StepMaker>& makers) {
  const std::string type = part.string("type");
  if (type == "Sequence") {
    for (const JsonPart& step : part.parts("decoders")) add_steps(step, makers);
  } else if (type == "ByteLevel") {
    makers.emplace_back([] { return std::make_unique<ByteLevel>(); });
  } else if (type == "ByteFallback") {
    makers.emplace_back([] { return std::make_unique<ByteFallback>(); });
  } else if (type == "Fuse") {
    makers.emplace_back([] { return std::make_unique<Fuse>(); });
  } else if (type == "Strip") {
    makers.emplace_back(
        [content = part.character("content"), start = part.integer("start"), stop = part.integer("stop")] {
          return std::make_unique<Strip>(content, start, stop);
        });
  } else if (type == "Replace") {
    makers.emplace_back([pattern = TextPattern(part), content = part.string("content")] {
      return std::make_unique<Replace>(pattern, content);
    });
  } else if (type == "Metaspace") {
    const bool prepended = read_prepend_scheme(part) != PrependScheme::kNever;
    makers.emplace_back([mark = part.character("replacement"), prepended] {
      return std::make_unique<Metaspace>(mark, prepended);
    });
  } else if (type == "BPEDecoder") {
    const std::string suffix = part.string_or("suffix", "</w>");
    if (suffix.empty()) user_error("{}.suffix: must not be empty", part.where());
    makers.emplace_back([suffix] { return std::make_unique<BpeSuffix>(suffix); });
  } else {
    user_error(
        "{}: the decoder type \"{}\" is not supported (ByteLevel, ByteFallback, Fuse, Strip, Replace, "
        "Metaspace, "
        "BPEDecoder, Sequence are)",
        part.where(), type);
  }
}

}  // namespace

Decoder make_decoder(const JsonPart* part) {
  std::vector<StepMaker> makers;
  if (part != nullptr) {
    add_steps(*part, makers);
  } else {
    makers.emplace_back([] { return std::make_unique<JoinWithSpaces>(); });
  }
  return [makers](DecodeStep& sink) {
    DecodeChain chain;
    for (const StepMaker& make : makers) {
      chain.steps.push_back(make());
      if (chain.steps.size() > 1) chain.steps[chain.steps.size() - 2]->next = chain.steps.back().get();
    }
    if (!chain.steps.empty()) chain.steps.back()->next = &sink;
    chain.first = chain.steps.empty() ? &sink : chain.steps.front().get();
    return chain;
  };
}

std::string Utf8Assembler::push(std::string_view bytes) {
  std::string whole;
  if (!tail_.empty()) {
    whole = tail_ + std::string(bytes);
    bytes = whole;
    tail_.clear();
  }
  std::string out;
  for (size_t at = 0; at < bytes.size();) {
    const Utf8Step step = step_utf8(bytes, at);
    if (step.incomplete) {
      tail_ = bytes.substr(at);
      break;
    }
    if (step.valid) {
      out += bytes.substr(at, step.bytes);
    } else {
      out += "\uFFFD";
    }
    at += step.bytes;
  }
  return out;
}

std::string Utf8Assembler::finish() {
  if (tail_.empty()) return "";
  tail_.clear();
  return "\uFFFD";
}

}  // namespace temper
