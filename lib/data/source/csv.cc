#include "data/source/csv.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "jinja/text.h"

namespace temper {
namespace {

// A list of messages, however their roles are called; nullopt: the cell is text.
std::optional<Json> chat_in(const std::string& cell) {
  const size_t begin = cell.find_first_not_of(" \t\r\n");
  if (begin == std::string::npos || cell[begin] != '[') return std::nullopt;
  Json list = Json::parse(cell, nullptr, /*allow_exceptions=*/false);
  const auto message = [](const Json& item) {
    return item.is_object() && (item.contains("role") || item.contains("from"));
  };
  if (!list.is_array() || list.empty() || !std::all_of(list.begin(), list.end(), message))
    return std::nullopt;
  return list;
}

Json value_of(std::string cell) {
  if (cell.empty()) return nullptr;
  if (auto chat = chat_in(cell)) return *std::move(chat);
  return cell;
}

// Calls with each row in turn.
template <class Take>
void each_row(std::string_view text, const std::string& where, char separator, const Take& take) {
  int64_t line = 1;
  size_t at = text.starts_with("\xEF\xBB\xBF") ? 3 : 0;  // a byte order mark
  while (at < text.size()) {
    CsvRow row{{}, line};
    bool more = true;  // of the row
    while (more) {
      std::string field;
      if (at < text.size() && text[at] == '"') {
        const int64_t opened = line;
        for (++at;; ++at) {
          if (at >= text.size()) user_error("{}:{}: a quote that does not close", where, opened);
          if (text[at] == '"' && (at + 1 >= text.size() || text[at + 1] != '"')) break;
          if (text[at] == '"') ++at;
          if (text[at] == '\n') ++line;
          field += text[at];
        }
        ++at;
      }
      while (at < text.size() && text[at] != separator && text[at] != '\n') field += text[at++];
      more = at < text.size() && text[at] == separator;
      if (!more && !field.empty() && field.back() == '\r') field.pop_back();
      row.fields.push_back(std::move(field));
      ++at;
    }
    ++line;
    if (row.fields.size() > 1 || !row.fields.front().empty()) take(std::move(row));
  }
}

}  // namespace

std::vector<CsvRow> read_csv(std::string_view text, const std::string& where, char separator) {
  std::vector<CsvRow> out;
  each_row(text, where, separator, [&](CsvRow row) { out.push_back(std::move(row)); });
  return out;
}

void csv_records(std::string_view text, const std::string& file, char separator,
                 const std::function<void(Record)>& take) {
  std::vector<std::string> names;
  each_row(text, file, separator, [&](CsvRow row) {
    if (names.empty()) {
      names = std::move(row.fields);
      for (size_t i = 0; i < names.size(); ++i) {
        if (!names[i].empty() && std::find(names.begin(), names.begin() + i, names[i]) != names.begin() + i)
          user_error("{}:1: the column \"{}\" stands twice", file, names[i]);
      }
      return;
    }
    const std::string where = fmt::format("{}:{}", file, row.line);
    if (row.fields.size() != names.size()) {
      user_error("{}: a row of {} cells, the first row names {} columns ({})", where, row.fields.size(),
                 names.size(), fmt::join(names, ", "));
    }
    Json json = Json::object();
    for (size_t i = 0; i < names.size(); ++i) {
      if (!jinja::valid_utf8(row.fields[i]))
        user_error("{}: invalid UTF-8 in the column \"{}\"", where, names[i]);
      if (!names[i].empty()) json[names[i]] = value_of(std::move(row.fields[i]));
    }
    take({std::move(json), file, row.line});
  });
}

}  // namespace temper
