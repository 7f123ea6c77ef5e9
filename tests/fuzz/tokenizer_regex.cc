// A tokenizer's expression, a zero byte, and the text that it splits.
#include "text/tokenizer_regex.h"

#include "spans.h"
#include "text/tokenizer_unicode.h"

using namespace temper;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view all = fuzz::text_of(data, size);
  const size_t zero = all.find('\0');
  const std::string pattern = replace_invalid_utf8(all.substr(0, zero));
  const std::string text = zero == std::string_view::npos ? "aaaaaaaaaaaaaaaaaaaaaaaab it's 12\n"
                                                          : replace_invalid_utf8(all.substr(zero + 1));
  fuzz::reads([&] {
    const Regex regex(pattern, "pattern");
    RegexScratch scratch;
    std::vector<std::pair<size_t, size_t>> matches;
    regex.find_all(text, matches, scratch);
    fuzz::check_spans(matches, text.size());
  });
  return 0;
}
