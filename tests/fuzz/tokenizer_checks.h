// What every tokenizer promises, whatever file it came from.
#pragma once

#include <algorithm>
#include <vector>

#include "fuzz.h"
#include "text/tokenizer.h"

namespace temper::fuzz {

// A stream gives decode()'s text.
inline void check_stream(const Tokenizer& t, const std::vector<int64_t>& ids, bool special) {
  StreamDecoder stream(t, special);
  std::string text;
  for (const int64_t id : ids) text += stream.push(id);
  text += stream.finish();
  const std::string whole = t.decode(ids, special);
  if (text != whole) finding("the stream gives \"" + text + "\", decode \"" + whole + "\"");
}

inline void check_text(const Tokenizer& t, std::string_view text, const EncodeOptions& options) {
  const auto ids = t.encode(text, options);
  for (const int64_t id : ids) promise(id >= 0 && id < t.vocab_size(), "an id outside the vocabulary");
  check_stream(t, ids, options.add_special);
}

inline void check_tokenizer(const Tokenizer& t) {
  static const std::string texts[] = {
      "",
      "Hello world! <s>  it's 1234 \xC3\xA9\xE6\x97\xA5 \xF0\x9F\x98\x80\n\n  x</s>",
      "\xFF\xFE\xC3 a\xE2\x81",
      "<|im_start|>user\n\tHi   there<|im_end|>",
      std::string(300, 'a') + " " + std::string(50, ' '),
      std::string("a\0b\xE2\x96\x81 c\xC2\xA0 d\xCC\x81", 14)};
  for (const std::string& text : texts) {
    for (const bool add : {false, true}) {
      for (const bool parse : {false, true})
        check_text(t, text, {.add_special = add, .parse_special = parse});
    }
  }
  const int64_t size = t.vocab_size();
  t.decode({-1, 0, size - 1, size, INT64_MAX, INT64_MIN}, true);
  for (int64_t id = 0; id < std::min<int64_t>(size, 400); ++id) {
    reads([&] { t.piece(id); });
    t.is_special(id);
  }
  reads([&] { t.chat_template(); });
}

}  // namespace temper::fuzz
