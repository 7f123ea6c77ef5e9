// Text made comparable.
#pragma once

#include <string>
#include <string_view>

namespace temper {

// Bytes that are not UTF-8 become U+FFFD.
std::string valid_utf8(std::string_view text);

// Every `from` in the text becomes `to`.
void replace_all(std::string& text, std::string_view from, std::string_view to);

struct Normalisation {
  bool ignore_case = false;         // Unicode case folding
  bool ignore_punctuation = false;  // drops the categories P*
  std::string whitespace =
      "keep";  // "keep", "trim", "collapse" (runs become one space, ends trimmed), "remove"
};

// NFC, then what `how` says.
std::string normalised(std::string_view text, const Normalisation& how);

}  // namespace temper
