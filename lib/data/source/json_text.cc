#include "data/source/json_text.h"

#include <algorithm>

#include "base/error.h"
#include "base/json_end.h"

namespace temper {
namespace {

constexpr const char* kSpace = " \t\r\n";

// An object that is spread over lines looks like this in its first.
void refuse_spread_object(std::string_view row, const std::string& where) {
  const size_t begin = row.find_first_not_of(" \t"), last = row.find_last_not_of(" \t\r");
  if (row[begin] == '{' && begin == last)
    user_error("{}: an object over several lines, expected JSONL: one object a line (jq -c . makes it)",
               where);
}

const char* kind_of(char first) {
  if (first == '[') return "a list";
  if (first == '"') return "a string";
  if (first == 't' || first == 'f') return "true or false";
  if (first == 'n') return "null";
  return "a number, or no JSON";
}

// An array's elements one after the other, with the lines they stand on.
class ArrayText {
 public:
  ArrayText(std::string_view text, const std::string& file) : text_(text), file_(file) {}

  void each(const TakeRecord& take) {
    size_t count = 0;
    skip_space();
    if (text_[at_] != '[') bug("{}: no array", file_);
    step();
    skip_space();
    bool more = at_ >= text_.size() || text_[at_] != ']';
    while (more) {
      skip_space();
      take(element(++count));
      skip_space();
      if (at_ >= text_.size() || (text_[at_] != ',' && text_[at_] != ']')) no_end(count);
      more = text_[at_] == ',';
      if (more) step();
    }
    step();
    skip_space();
    if (at_ < text_.size())
      user_error("{}:{}: text behind the end of the JSON array that the file begins with", file_, line_);
  }

 private:
  void step() {
    if (at_ < text_.size() && text_[at_] == '\n') ++line_;
    ++at_;
  }
  void skip_space() {
    while (at_ < text_.size() && std::string_view(kSpace).find(text_[at_]) != std::string_view::npos) step();
  }

  [[noreturn]] void no_end(size_t elements) const {
    if (at_ >= text_.size()) {
      user_error("{}:{}: the JSON array does not end behind its element {}: the file is cut short", file_,
                 line_, elements);
    }
    user_error("{}:{}: expected a comma or ] behind element {} of the JSON array, found \"{}\"", file_, line_,
               elements, text_[at_]);
  }

  Record element(size_t number) {
    const std::string where = fmt::format("{}:{}: element {} of the JSON array", file_, line_, number);
    if (at_ >= text_.size() || text_[at_] == ']') {
      user_error("{} is missing behind a comma{}", where,
                 at_ >= text_.size() ? ": the file is cut short" : "; take the last comma out");
    }
    if (text_[at_] != '{')
      user_error("{} is {}, expected an object such as {{\"prompt\": ..., \"completion\": ...}}", where,
                 kind_of(text_[at_]));
    const std::optional<size_t> end = json_end(text_, at_);
    if (!end) user_error("{} does not end: the file is cut short, or a quote or bracket is missing", where);
    Record out{parse(std::string(text_.substr(at_, *end - at_)), where), file_, line_};
    line_ += std::count(text_.begin() + static_cast<std::ptrdiff_t>(at_),
                        text_.begin() + static_cast<std::ptrdiff_t>(*end), '\n');
    at_ = *end;
    return out;
  }

  Json parse(const std::string& object, const std::string& where) const {
    try {
      return parse_json(object, where);
    } catch (const UserError&) {
      if (object.find('\n') == std::string::npos) throw;
      // Once more behind as many line ends, so that the complaint has the file's lines.
      return parse_json(std::string(static_cast<size_t>(line_) - 1, '\n') + object, file_);
    }
  }

  std::string_view text_;
  const std::string& file_;
  size_t at_ = 0;
  int64_t line_ = 1;
};

}  // namespace

bool blank_line(std::string_view row) {
  return row.find_first_not_of(" \t\r") == std::string_view::npos;
}

Record jsonl_record(std::string_view row, const std::string& file, int64_t line, bool first) {
  const std::string where = fmt::format("{}:{}", file, line);
  if (first) refuse_spread_object(row, where);
  Json json = parse_json(std::string(row), where);
  if (!json.is_object()) {
    user_error("{}: expected an object such as {{\"prompt\": ..., \"completion\": ...}}, found {}", where,
               json.type_name());
  }
  return {std::move(json), file, line};
}

void jsonl_records(std::string_view text, const std::string& file, const TakeRecord& take) {
  int64_t line = 0;
  bool first = true;
  for (size_t at = 0; at < text.size();) {
    const size_t end = std::min(text.find('\n', at), text.size());
    const std::string_view row = text.substr(at, end - at);
    ++line;
    at = end + 1;
    if (blank_line(row)) continue;
    take(jsonl_record(row, file, line, first));
    first = false;
  }
}

void json_array_records(std::string_view text, const std::string& file, const TakeRecord& take) {
  ArrayText(text, file).each(take);
}

}  // namespace temper
