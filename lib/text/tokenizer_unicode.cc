#include "text/tokenizer_unicode.h"

#include <utf8proc.h>

#include <algorithm>
#include <array>
#include <cstdint>
#include <iterator>
#include <vector>

#include "text/tokenizer_unicode_tables.h"

namespace temper {
namespace {

template <class Range, size_t n>
const Range* find_range(const Range (&ranges)[n], char32_t c) {
  const Range* found =
      std::partition_point(std::begin(ranges), std::end(ranges), [c](const Range& r) { return r.last < c; });
  return found != std::end(ranges) && found->first <= c ? found : nullptr;
}

int category(char32_t c) {
  return utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->category;
}

int combining_class(char32_t c) {
  return utf8proc_get_property(static_cast<utf8proc_int32_t>(c))->combining_class;
}

// more: UTF8PROC_COMPAT, UTF8PROC_CASEFOLD or 0.
void append_decomposition(std::vector<utf8proc_int32_t>& out, char32_t c, int more) {
  utf8proc_int32_t buffer[32];
  int boundary = 0;
  const auto options = static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | more);
  const auto n = utf8proc_decompose_char(static_cast<utf8proc_int32_t>(c), buffer, std::size(buffer), options,
                                         &boundary);
  if (n < 0 || n > static_cast<utf8proc_ssize_t>(std::size(buffer))) {
    out.push_back(static_cast<utf8proc_int32_t>(c));
  } else {
    out.insert(out.end(), buffer, buffer + n);
  }
}

// Canonical order: each run of combining characters sorted by class, stably. The library's own sort takes
// time with the square of a run's length.
void reorder(std::vector<utf8proc_int32_t>& chars) {
  for (size_t i = 0; i < chars.size();) {
    if (combining_class(static_cast<char32_t>(chars[i])) == 0) {
      ++i;
      continue;
    }
    size_t end = i;
    while (end < chars.size() && combining_class(static_cast<char32_t>(chars[end])) != 0) ++end;
    std::stable_sort(
        chars.begin() + static_cast<std::ptrdiff_t>(i), chars.begin() + static_cast<std::ptrdiff_t>(end),
        [](utf8proc_int32_t a, utf8proc_int32_t b) {
          return combining_class(static_cast<char32_t>(a)) < combining_class(static_cast<char32_t>(b));
        });
    i = end;
  }
}

void flush(std::vector<utf8proc_int32_t>& chars, bool compose, std::string& out) {
  reorder(chars);
  auto n = static_cast<utf8proc_ssize_t>(chars.size());
  if (compose && n > 0) {
    n = utf8proc_normalize_utf32(chars.data(), n,
                                 static_cast<utf8proc_option_t>(UTF8PROC_STABLE | UTF8PROC_COMPOSE));
  }
  for (utf8proc_ssize_t i = 0; i < n; ++i)
    append_utf8(out, static_cast<char32_t>(chars[static_cast<size_t>(i)]));
  chars.clear();
}

struct ByteAlphabet {
  std::array<char32_t, 256> to_char{};
  std::array<int, 512> to_byte{};
  constexpr ByteAlphabet() {
    for (int& b : to_byte) b = -1;
    char32_t next = 256;
    for (int b = 0; b < 256; ++b) {
      const bool printable = (b >= 0x21 && b <= 0x7E) || (b >= 0xA1 && b <= 0xAC) || b >= 0xAE;
      to_char[static_cast<size_t>(b)] = printable ? static_cast<char32_t>(b) : next++;
      to_byte[to_char[static_cast<size_t>(b)]] = b;
    }
  }
};
constexpr ByteAlphabet kAlphabet;

}  // namespace

Utf8Step step_utf8(std::string_view text, size_t at) {
  const auto byte = [&](size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(at);
  if (lead < 0x80) return {1, true, false};
  if (lead < 0xC2 || lead > 0xF4) return {1, false, false};
  const size_t length = utf8_length(lead);
  // The second byte's range rules out overlong forms, surrogates and values beyond U+10FFFF.
  unsigned char low = 0x80, high = 0xBF;
  if (lead == 0xE0) low = 0xA0;
  if (lead == 0xED) high = 0x9F;
  if (lead == 0xF0) low = 0x90;
  if (lead == 0xF4) high = 0x8F;
  for (size_t i = 1; i < length; ++i) {
    if (at + i == text.size()) return {i, false, true};
    if (byte(at + i) < low || byte(at + i) > high) return {i, false, false};
    low = 0x80;
    high = 0xBF;
  }
  return {length, true, false};
}

bool is_valid_utf8(std::string_view text) {
  for (size_t at = 0; at < text.size();) {
    if (static_cast<unsigned char>(text[at]) < 0x80) {
      ++at;
      continue;
    }
    const Utf8Step step = step_utf8(text, at);
    if (!step.valid) return false;
    at += step.bytes;
  }
  return true;
}

std::string replace_invalid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const Utf8Step step = step_utf8(text, at);
    if (step.valid) {
      out.append(text.substr(at, step.bytes));
    } else {
      append_utf8(out, 0xFFFD);
    }
    at += step.bytes;
  }
  return out;
}

char32_t next_char(std::string_view text, size_t& at) {
  const auto lead = static_cast<unsigned char>(text[at]);
  const size_t length = utf8_length(lead);
  char32_t c = length == 1 ? lead : lead & (0x7F >> length);
  for (size_t i = 1; i < length; ++i) c = (c << 6) | (static_cast<unsigned char>(text[at + i]) & 0x3F);
  at += length;
  return c;
}

void append_utf8(std::string& text, char32_t c) {
  if (c < 0x80) {
    text += static_cast<char>(c);
    return;
  }
  const int length = c < 0x800 ? 2 : c < 0x10000 ? 3 : 4;
  static constexpr unsigned char kLead[] = {0, 0, 0xC0, 0xE0, 0xF0};
  text += static_cast<char>(kLead[length] | (c >> (6 * (length - 1))));
  for (int i = length - 2; i >= 0; --i) text += static_cast<char>(0x80 | ((c >> (6 * i)) & 0x3F));
}

std::string normalize_unicode(std::string_view text, NormalForm form) {
  const bool compose = form == NormalForm::kNfc || form == NormalForm::kNfkc;
  const int compatibility = form == NormalForm::kNfkc || form == NormalForm::kNfkd ? UTF8PROC_COMPAT : 0;
  // Characters below this bound are in the form already and never join with what follows unless that is above
  // it.
  const char32_t plain = form == NormalForm::kNfc ? 0x300 : 0x80;
  std::string out;
  out.reserve(text.size());
  std::vector<utf8proc_int32_t> chars;  // what may still change, after the last character that cannot
  size_t plain_begin = 0;
  for (size_t at = 0; at < text.size();) {
    const size_t begin = at;
    const char32_t c = next_char(text, at);
    if (c < plain) {
      // A plain character may be the starter of a composition: it begins a new stretch.
      if (!chars.empty()) {
        flush(chars, compose, out);
        plain_begin = begin;
      }
      continue;
    }
    if (chars.empty()) {
      size_t starter = begin;
      while (starter > plain_begin && (static_cast<unsigned char>(text[--starter]) & 0xC0) == 0x80) continue;
      out.append(text.substr(plain_begin, starter - plain_begin));
      if (starter < begin) {
        size_t step = starter;
        append_decomposition(chars, next_char(text, step), compatibility);
      }
    }
    if (find_range(kInertInNormalForms, c) != nullptr) {
      flush(chars, compose, out);
      append_utf8(out, c);
      plain_begin = at;
    } else {
      append_decomposition(chars, c, compatibility);
    }
  }
  if (chars.empty()) {
    out.append(text.substr(plain_begin));
  } else {
    flush(chars, compose, out);
  }
  return out;
}

std::string compose_unicode(std::string_view text, bool fold_case) {
  std::vector<utf8proc_int32_t> chars;
  chars.reserve(text.size());
  for (size_t at = 0; at < text.size();)
    append_decomposition(chars, next_char(text, at), fold_case ? UTF8PROC_CASEFOLD : 0);
  std::string out;
  out.reserve(text.size());
  flush(chars, true, out);
  return out;
}

std::string lowercase_unicode(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  for (size_t at = 0; at < text.size();) {
    const char32_t c = next_char(text, at);
    if (c == 0x130) {  // the one letter whose small form is two characters
      out += "i\u0307";
    } else if (const CodeShift* newer = find_range(kNewerLowercase, c)) {
      append_utf8(out, static_cast<char32_t>(static_cast<int>(c) + newer->delta));
    } else {
      append_utf8(out, static_cast<char32_t>(utf8proc_tolower(static_cast<utf8proc_int32_t>(c))));
    }
  }
  return out;
}

bool is_white_space(char32_t c) {
  return (c >= 0x9 && c <= 0xD) || c == 0x20 || c == 0x85 || c == 0xA0 || c == 0x1680 ||
         (c >= 0x2000 && c <= 0x200A) || c == 0x2028 || c == 0x2029 || c == 0x202F || c == 0x205F ||
         c == 0x3000;
}

bool is_numeric(char32_t c) {
  if (c < 0x80) return c >= '0' && c <= '9';
  const int kind = category(c);
  return kind == UTF8PROC_CATEGORY_ND || kind == UTF8PROC_CATEGORY_NL || kind == UTF8PROC_CATEGORY_NO ||
         find_range(kNewerNumeric, c) != nullptr;
}

bool is_punctuation(char32_t c) {
  if (c < 0x80)
    return c > 0x20 && c < 0x7F && !((c | 0x20) >= 'a' && (c | 0x20) <= 'z') && !(c >= '0' && c <= '9');
  if (c == 0x166D || c == 0x111C9) return true;  // were punctuation once, and are to the package
  const int kind = category(c);
  return kind >= UTF8PROC_CATEGORY_PC && kind <= UTF8PROC_CATEGORY_PO &&
         find_range(kNotYetPunctuation, c) == nullptr;
}

bool is_word(char32_t c) {
  if (c < 0x80) return ((c | 0x20) >= 'a' && (c | 0x20) <= 'z') || (c >= '0' && c <= '9') || c == '_';
  if (c == 0x200C || c == 0x200D) return true;
  if (const CodeStandIn* newer = find_range(kNewerCharacters, c)) c = newer->stand_in;
  const int kind = category(c);
  return (kind >= UTF8PROC_CATEGORY_LU && kind <= UTF8PROC_CATEGORY_ND) || kind == UTF8PROC_CATEGORY_NL ||
         kind == UTF8PROC_CATEGORY_PC || (c >= 0x24B6 && c <= 0x24E9) || (c >= 0x1F130 && c <= 0x1F149) ||
         (c >= 0x1F150 && c <= 0x1F169) ||
         (c >= 0x1F170 && c <= 0x1F189);  // circled letters are alphabetic too
}

bool with_old_characters(std::string_view text, std::string& out) {
  bool copied = false;
  for (size_t at = 0; at < text.size();) {
    const auto lead = static_cast<unsigned char>(text[at]);
    if (lead < 0xE0) {
      ++at;
      continue;
    }
    const size_t begin = at;
    const char32_t c = next_char(text, at);
    if (c >= 0x3200 && c < 0xA700) continue;  // most CJK text, none of it newer
    const CodeStandIn* newer = find_range(kNewerCharacters, c);
    if (newer == nullptr) continue;
    if (!copied) out.assign(text);
    copied = true;
    std::string stand_in;
    append_utf8(stand_in, newer->stand_in);
    out.replace(begin, at - begin, stand_in);
  }
  return copied;
}

char32_t byte_to_char(unsigned char byte) {
  return kAlphabet.to_char[byte];
}
int char_to_byte(char32_t c) {
  return c < kAlphabet.to_byte.size() ? kAlphabet.to_byte[c] : -1;
}

}  // namespace temper
