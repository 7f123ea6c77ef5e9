#include "base/error.h"
#include "base/file.h"
#include "base/formats.h"
#include "data/records.h"

namespace temper {
namespace {

// JSON that is spread over lines looks like this in its first.
void refuse_whole_json(std::string_view row, const std::string& where) {
  const size_t begin = row.find_first_not_of(" \t"), last = row.find_last_not_of(" \t\r");
  const bool array = row[begin] == '[', object = row[begin] == '{';
  if (array && (begin == last || row.find('{', begin) != std::string_view::npos)) {
    user_error(
        "{}: a JSON array, expected JSONL: one object a line, without the brackets and commas around them "
        "(jq -c '.[]' makes it)",
        where);
  }
  if (object && begin == last)
    user_error("{}: an object over several lines, expected JSONL: one object a line (jq -c . makes it)",
               where);
}

}  // namespace

std::vector<Record> read_jsonl(const std::vector<std::string>& files) {
  std::vector<Record> records;
  for (const std::string& file : files) {
    const MappedFile map(file);
    std::string_view text(reinterpret_cast<const char*>(map.data()), map.size());
    refuse_other_formats(text, file);
    if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // a byte order mark
    const size_t before = records.size();
    int64_t line = 0;
    for (size_t at = 0; at < text.size();) {
      const size_t end = std::min(text.find('\n', at), text.size());
      const std::string_view row = text.substr(at, end - at);
      ++line;
      at = end + 1;
      if (row.find_first_not_of(" \t\r") == std::string_view::npos) continue;
      const std::string where = fmt::format("{}:{}", file, line);
      if (records.size() == before) refuse_whole_json(row, where);
      Json json = parse_json(std::string(row), where);
      if (!json.is_object()) {
        user_error("{}: expected an object such as {{\"prompt\": ..., \"completion\": ...}}, found {}", where,
                   json.type_name());
      }
      records.push_back({std::move(json), file, line});
    }
    if (records.size() == before) user_error("{}: no records in this file", file);
  }
  return records;
}

}  // namespace temper
