#include "reward/text/words.h"

#include <utf8proc.h>

#include <algorithm>
#include <iterator>

#include "text/tokenizer_unicode.h"

namespace temper {
namespace {

// Unicode's Case_Ignorable: some categories, and what may stand inside a word beside them.
bool is_case_ignorable(char32_t c) {
  constexpr char32_t kInsideWords[] = {0x27,   0x2E,   0x3A,   0xB7,   0x387,  0x55F,  0x5F4,  0x2018, 0x2019,
                                       0x2024, 0x2027, 0xFE13, 0xFE52, 0xFE55, 0xFF07, 0xFF0E, 0xFF1A};
  switch (utf8proc_category(static_cast<utf8proc_int32_t>(c))) {
    case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_ME:
    case UTF8PROC_CATEGORY_CF:
    case UTF8PROC_CATEGORY_LM:
    case UTF8PROC_CATEGORY_SK:
      return true;
    default:
      return std::find(std::begin(kInsideWords), std::end(kInsideWords), c) != std::end(kInsideWords);
  }
}

// Unicode's Cased, of characters that are not Case_Ignorable: letters with a case, ordinals, Roman numerals,
// and letters in circles and squares.
bool is_cased(char32_t c) {
  const auto category = utf8proc_category(static_cast<utf8proc_int32_t>(c));
  return (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LT) || c == 0xAA || c == 0xBA ||
         (c >= 0x2160 && c <= 0x217F) || (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
         (c >= 0x1F150 && c <= 0x1F169) || (c >= 0x1F170 && c <= 0x1F189);
}

}  // namespace

bool is_python_space(char32_t c) {
  return is_white_space(c) || (c >= 0x1C && c <= 0x1F);
}

std::vector<std::string> split_at_space(std::string_view text) {
  std::vector<std::string> words;
  size_t begin = 0;
  const auto end_word = [&](size_t end) {
    if (end > begin) words.emplace_back(text.substr(begin, end - begin));
  };
  for (size_t at = 0; at < text.size();) {
    const size_t here = at;
    if (!is_python_space(next_char(text, at))) continue;
    end_word(here);
    begin = at;
  }
  end_word(text.size());
  return words;
}

std::string_view without_trailing_space(std::string_view text) {
  size_t end = 0;
  for (size_t at = 0; at < text.size();) {
    if (!is_python_space(next_char(text, at))) end = at;
  }
  return text.substr(0, end);
}

std::string python_lower(std::string_view text) {
  constexpr std::string_view kSigma = "\u03a3";
  std::string out = lowercase_unicode(text);
  if (text.find(kSigma) == std::string_view::npos) return out;
  // Unicode's Final_Sigma: a cased letter before it and none behind it, characters that do not count left
  // out. Every small form but that of U+0130, two characters instead of one, stands at the place of its
  // capital.
  std::u32string capitals;
  for (size_t at = 0; at < text.size();) capitals += next_char(text, at);
  std::vector<bool> cased_behind(capitals.size() + 1, false);
  for (size_t i = capitals.size(); i-- > 0;)
    cased_behind[i] = is_case_ignorable(capitals[i]) ? cased_behind[i + 1] : is_cased(capitals[i]);
  std::string with_finals;
  bool cased_before = false;
  size_t at = 0;
  for (size_t i = 0; i < capitals.size(); ++i) {
    const bool final = capitals[i] == 0x3A3 && cased_before && !cased_behind[i + 1];
    if (!is_case_ignorable(capitals[i])) cased_before = is_cased(capitals[i]);
    for (int n = capitals[i] == 0x130 ? 2 : 1; n > 0; --n) {
      const char32_t small = next_char(out, at);
      append_utf8(with_finals, final ? 0x3C2 : small);
    }
  }
  return with_finals;
}

std::vector<uint32_t> WordNumbers::operator()(const std::vector<std::string>& words) {
  std::vector<uint32_t> out;
  out.reserve(words.size());
  for (const std::string& word : words)
    out.push_back(numbers_.emplace(word, static_cast<uint32_t>(numbers_.size() + 1)).first->second);
  return out;
}

NgramCounts count_ngrams(const std::vector<uint32_t>& words, size_t n) {
  NgramCounts counts;
  for (size_t i = 0; i + n <= words.size(); ++i) {
    std::array<uint32_t, 4> key{};
    std::copy_n(words.begin() + static_cast<std::ptrdiff_t>(i), n, key.begin());
    ++counts[key];
  }
  return counts;
}

}  // namespace temper
