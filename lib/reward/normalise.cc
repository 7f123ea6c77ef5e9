#include "reward/normalise.h"

#include <utf8proc.h>

#include "text/tokenizer_unicode.h"

namespace temper {
namespace {

void append(std::string& out, utf8proc_int32_t code) {
  utf8proc_uint8_t bytes[4];
  const auto n = utf8proc_encode_char(code, bytes);
  out.append(reinterpret_cast<const char*>(bytes), static_cast<size_t>(n));
}

// Calls f(code point) for each character; invalid bytes are U+FFFD each.
template <class F>
void each_character(std::string_view text, F f) {
  const auto* at = reinterpret_cast<const utf8proc_uint8_t*>(text.data());
  for (size_t i = 0; i < text.size();) {
    utf8proc_int32_t code = -1;
    const auto n = utf8proc_iterate(at + i, static_cast<utf8proc_ssize_t>(text.size() - i), &code);
    f(n > 0 ? code : 0xFFFD);
    i += n > 0 ? static_cast<size_t>(n) : 1;
  }
}

bool is_white(utf8proc_int32_t code) {
  const auto category = utf8proc_category(code);
  return (code >= 9 && code <= 13) || code == 0x85 || category == UTF8PROC_CATEGORY_ZS ||
         category == UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_ZP;
}

bool is_punctuation_code(utf8proc_int32_t code) {
  const auto category = utf8proc_category(code);
  return category >= UTF8PROC_CATEGORY_PC && category <= UTF8PROC_CATEGORY_PO;
}

}  // namespace

void replace_all(std::string& text, std::string_view from, std::string_view to) {
  std::string out;
  size_t begin = 0;
  for (size_t at; (at = text.find(from, begin)) != std::string::npos; begin = at + from.size())
    out.append(text, begin, at - begin).append(to);
  text = out.append(text, begin);
}

std::string valid_utf8(std::string_view text) {
  std::string out;
  out.reserve(text.size());
  each_character(text, [&](utf8proc_int32_t code) { append(out, code); });
  return out;
}

std::string normalised(std::string_view text, const Normalisation& how) {
  std::string out;
  std::string pending;  // white space that counts only if something follows
  each_character(compose_unicode(valid_utf8(text), how.ignore_case), [&](utf8proc_int32_t code) {
    if (how.ignore_punctuation && is_punctuation_code(code)) return;
    if (how.whitespace != "keep" && is_white(code)) {
      if (how.whitespace == "trim") append(pending, code);
      if (how.whitespace == "collapse") pending = " ";
      return;
    }
    if (!out.empty()) out += pending;
    pending.clear();
    append(out, code);
  });
  return out;
}

}  // namespace temper
