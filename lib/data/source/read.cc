// Files of records, whatever holds them.
#include "base/error.h"
#include "base/file.h"
#include "base/formats.h"
#include "data/columns/columns.h"
#include "data/records.h"
#include "data/source/csv.h"
#include "data/source/decompress.h"
#include "data/source/json_text.h"

namespace temper {
namespace {

// ".csv" of "a.csv" and of "a.csv.gz".
std::string extension_inside(const std::string& file) {
  const fs::path path(file);
  const std::string end = path.extension().string();
  return end == ".gz" || end == ".zst" ? path.stem().extension().string() : end;
}

std::vector<Record> text_records(std::string_view text, const std::string& file) {
  refuse_other_formats(text, file);
  if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);  // a byte order mark
  const std::string extension = extension_inside(file);
  if (extension == ".csv" || extension == ".tsv")
    return csv_records(std::string(text), file, extension == ".csv" ? ',' : '\t');
  const size_t begin = text.find_first_not_of(" \t\r\n");
  if (begin != std::string_view::npos && text[begin] == '[') return json_array_records(text, file);
  return jsonl_records(text, file);
}

std::vector<Record> file_records(const std::string& file) {
  const MappedFile map(file);
  const std::string_view bytes(reinterpret_cast<const char*>(map.data()), map.size());
  if (columns_kind(bytes) == nullptr) {
    const std::optional<std::string> unpacked = decompressed(bytes, file);
    return text_records(unpacked ? std::string_view(*unpacked) : bytes, file);
  }
  std::vector<Record> out;
  read_columns(bytes, file, [&](Json row) {
    out.push_back({std::move(row), file, static_cast<int64_t>(out.size()) + 1});
  });
  return out;
}

}  // namespace

std::vector<Record> read_records(const std::vector<std::string>& paths) {
  std::vector<Record> records;
  for (const std::string& path : paths) {
    std::error_code none;
    for (const std::string& file : fs::is_directory(path, none) ? saved_files(path) : std::vector{path}) {
      std::vector<Record> read = file_records(file);
      if (read.empty()) user_error("{}: no records in this file", file);
      std::move(read.begin(), read.end(), std::back_inserter(records));
    }
  }
  return records;
}

}  // namespace temper
