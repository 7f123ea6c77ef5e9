// Strings of the template language: UTF-8 whose bytes remember where they came from, with Python's str
// operations.
#pragma once

#include <cstdint>
#include <functional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

namespace temper::jinja {

// What goes wrong inside a template; ChatTemplate turns it into a UserError with file and line.
class Error : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// What one rendering may use up, so that a hostile template ends in an error and not in a full memory or a
// long wait.
class Budget {
 public:
  void step();               // one evaluated node
  void work(size_t bytes);   // bytes read
  void alloc(size_t bytes);  // bytes made, as long as the rendering lasts

 private:
  size_t steps_ = 0, work_ = 0, bytes_ = 0;
};

// Where a byte came from: the template itself, a message, or another value handed in; plus a bit for {%
// generation %}.
using Tag = uint32_t;
constexpr Tag kLiteral = 0;
constexpr Tag kHandedIn = 1;
constexpr Tag kFirstMessage = 2;  // message i has kFirstMessage + i
constexpr Tag kGeneration = 1u << 31;

class Text {
 public:
  struct Run {
    size_t end;  // the run reaches from the previous run's end to here
    Tag tag;
  };

  Text() = default;
  explicit Text(std::string_view bytes, Tag tag = kLiteral) { append(bytes, tag); }

  const std::string& str() const { return bytes_; }
  size_t size() const { return bytes_.size(); }
  bool empty() const { return bytes_.empty(); }
  const std::vector<Run>& runs() const { return runs_; }
  // Markup: text that counts as escaped already (Jinja's Markup). Copies keep it, pieces and what is appended
  // do not.
  bool is_markup() const { return markup_; }
  Text& set_markup(bool markup = true) {
    markup_ = markup;
    return *this;
  }

  void append(std::string_view bytes, Tag tag = kLiteral);
  void append(const Text& other) { append(other, 0, other.size()); }
  void append(const Text& other, size_t begin, size_t end);  // bytes [begin, end) of other
  void add_flag(Tag flag);

  Text slice(size_t begin, size_t end) const;  // bytes
  Tag tag_at(size_t byte) const;               // byte < size()

 private:
  std::string bytes_;
  std::vector<Run> runs_;
  bool markup_ = false;
};

// Code points. Positions are counted in code points only where the name says so.
bool valid_utf8(std::string_view bytes);
char32_t decode_at(std::string_view bytes, size_t& at);  // moves `at` past the code point
void append_utf8(std::string& out, char32_t code_point);
size_t count_code_points(std::string_view bytes);
std::vector<size_t> code_point_starts(std::string_view bytes);  // byte offsets, and the size at the end
bool is_space(char32_t c);                                      // str.isspace()
bool is_letter(char32_t c);                                     // str.isalpha()
bool is_decimal(char32_t c);                                    // str.isdecimal()
bool is_digit(char32_t c);    // str.isdigit(): superscript and circled digits, too
bool is_numeric(char32_t c);  // str.isnumeric(), but for ideographs
bool is_upper(char32_t c);
bool is_lower(char32_t c);
std::string to_upper(char32_t c);
std::string to_lower(char32_t c);
std::string to_title(char32_t c);  // a word's first letter

// Python's str methods. `chars` null: white space.
Text strip(const Text& text, const std::string* chars, bool left, bool right);
// `separator` null: runs of white space. limit < 0: no limit.
std::vector<Text> split(const Text& text, const std::string* separator, int64_t limit, bool from_right,
                        Budget& budget);
std::vector<Text> split_lines(const Text& text, bool keep_ends, Budget& budget);
Text replace(const Text& text, const std::string& old_part, const Text& new_part, int64_t limit,
             Budget& budget);
Text repeat(const Text& text, int64_t times, Budget& budget);
Text join(const Text& separator, const std::vector<Text>& parts, Budget& budget);
Text centered(const Text& text, int64_t width, const Text& fill, Budget& budget);
// Rewrites each code point; `change` sees it and whether the previous one was a letter (cased).
Text map_code_points(const Text& text, const std::function<std::string(char32_t, bool after_cased)>& change);
Text escaped(const Text& text);  // & < > ' " as HTML's entities; markup stays as it is. Gives markup.
// Byte offset or npos; linear time whatever the needle.
size_t find_first(std::string_view text, std::string_view part, size_t from = 0);
size_t find_last(std::string_view text, std::string_view part);

}  // namespace temper::jinja
