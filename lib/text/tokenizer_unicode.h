// UTF-8 and the Unicode rules that the `tokenizers` package follows.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace temper {

// One step through possibly invalid UTF-8.
struct Utf8Step {
  size_t bytes;     // how many bytes the character, or the maximal invalid part, takes (>= 1)
  bool valid;       // false: reads as one U+FFFD
  bool incomplete;  // the text ends inside a character that is well-formed so far
};
Utf8Step step_utf8(std::string_view text, size_t at);

bool is_valid_utf8(std::string_view text);
// Invalid parts replaced by U+FFFD, as Python's errors="replace" and Rust's from_utf8_lossy do.
std::string replace_invalid_utf8(std::string_view text);

// The character at `at` of valid UTF-8; moves `at` past it.
char32_t next_char(std::string_view text, size_t& at);
void append_utf8(std::string& text, char32_t c);
// Bytes of the character that starts with this byte of valid UTF-8.
inline size_t utf8_length(unsigned char lead) {
  return lead < 0x80 ? 1 : lead < 0xE0 ? 2 : lead < 0xF0 ? 3 : 4;
}

enum class NormalForm { kNfc, kNfd, kNfkc, kNfkd };
// Of valid UTF-8. Characters younger than the package's Unicode tables are inert, as they are there.
std::string normalize_unicode(std::string_view text, NormalForm form);
// NFC by the newest tables there are, of the text or of its case folding. Of valid UTF-8.
std::string compose_unicode(std::string_view text, bool fold_case);
std::string lowercase_unicode(std::string_view text);

bool is_white_space(char32_t c);  // Unicode White_Space
bool is_numeric(char32_t c);      // Nd, Nl, No
bool is_punctuation(char32_t c);  // ASCII punctuation and P*
bool is_word(char32_t c);         // what \w matches: alphabetic, marks, decimal digits, connectors, joiners

// Text of the same length in which letters, marks, digits and punctuation that are newer than an old regex
// engine's Unicode tables are replaced by old ones of their kind. Returns false, with `out` untouched, when
// there are none.
bool with_old_characters(std::string_view text, std::string& out);

// The 256 printable characters that stand for bytes in byte-level vocabularies (GPT-2).
char32_t byte_to_char(unsigned char byte);
int char_to_byte(char32_t c);  // -1: not one of them

}  // namespace temper
