#include "base/json.h"

#include <algorithm>
#include <set>
#include <vector>

#include "base/error.h"
#include "base/file.h"
#include "base/formats.h"

namespace temper {
namespace {

constexpr int kMaxDepth = 512;

// A line is named where there are several: of one line, the caller knows which it is.
std::string position(const std::string& text, size_t byte) {
  byte = std::min(byte, text.size());
  const auto line = std::count(text.begin(), text.begin() + static_cast<std::ptrdiff_t>(byte), '\n') + 1;
  const size_t start = byte == 0 ? std::string::npos : text.rfind('\n', byte - 1);
  const size_t column = start == std::string::npos ? byte + 1 : byte - start;
  if (text.find('\n') == std::string::npos) return fmt::format("column {}", column);
  return fmt::format("line {}, column {}", line, column);
}

}  // namespace

Json parse_json(const std::string& text, const std::string& where) {
  refuse_other_formats(text, where);
  std::vector<std::set<std::string>> keys;
  std::string duplicate;
  bool too_deep = false;
  auto check = [&](int depth, Json::parse_event_t event, Json& value) {
    if (depth > kMaxDepth) too_deep = true;
    if (too_deep) return false;
    if (event == Json::parse_event_t::object_start) {
      keys.emplace_back();
    } else if (event == Json::parse_event_t::object_end) {
      keys.pop_back();
    } else if (event == Json::parse_event_t::key) {
      if (!keys.back().insert(value.get<std::string>()).second && duplicate.empty()) {
        duplicate = value.get<std::string>();
      }
    }
    return true;
  };
  try {
    Json value = Json::parse(text, check, /*allow_exceptions=*/true, /*ignore_comments=*/true);
    if (too_deep) user_error("{}: nested deeper than {} levels", where, kMaxDepth);
    if (!duplicate.empty()) user_error("{}: the key \"{}\" stands twice in one object", where, duplicate);
    return value;
  } catch (const Json::parse_error& e) {
    std::string what = e.what();
    const size_t colon = what.find("syntax error");
    if (colon != std::string::npos) what = what.substr(colon);
    std::replace(what.begin(), what.end(), '\n', ' ');
    user_error("{}: not valid JSON at {}: {}", where, position(text, e.byte > 0 ? e.byte - 1 : 0),
               what.substr(0, 200));
  } catch (const Json::out_of_range& e) {
    user_error("{}: not valid JSON: {}", where, std::string(e.what()).substr(0, 200));
  }
}

Json read_json_file(const std::string& path) {
  return parse_json(read_file(path), path);
}

std::string dump_line(const Json& value) {
  return value.dump(-1, ' ', false, Json::error_handler_t::replace);
}

Json number_or_null(const std::optional<double>& x) {
  return x ? Json(*x) : Json(nullptr);
}

}  // namespace temper
