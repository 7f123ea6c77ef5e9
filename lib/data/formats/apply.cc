// Which format a file has, and its records made of it.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/log.h"
#include "data/formats/llamafactory.h"
#include "data/formats/parts.h"

namespace temper {

using namespace formats;

namespace {

// One file's records.
struct FileRecords {
  Record* begin;
  Record* end;
};

// What a record may lack, one of the file must have.
void check_columns(const FileRecords& file, const RecordFormat& format) {
  for (const auto& [name, column] : format.columns.given()) {
    if (name != "system" && name != "tools") continue;  // mapped() looks at each record
    const auto has = [&column = column](const Record& record) { return record.json.contains(column); };
    if (std::none_of(file.begin, file.end, has)) {
      user_error("{}: no record has the column \"{}\", which data.columns.{} names; the first has {}",
                 file.begin->file, column, name, keys_of(file.begin->json));
    }
  }
}

const DataFormat* named_format(const std::string& name) {
  for (const DataFormat& format : data_formats()) {
    if (format.name == name) return &format;
  }
  const std::vector<std::string> names = data_format_names();
  const std::string near = nearest_name(name, names);
  user_error("data.format: there is no \"{}\"{}; known are {}", name,
             near.empty() ? "" : ", did you mean \"" + near + "\"?", fmt::join(names, ", "));
}

void need_fit(const Record& record, const DataFormat& format) {
  if (format.fits(record.json)) return;
  user_error("{}: is not {}, which data.format says: expected {}; found {}", record.where(), format.name,
             format.keys, keys_of(record.json));
}

// Records of other tools do not stand beside records of another format.
void need_same(const Record& first, const DataFormat& of_first, const Record& record,
               const DataFormat& of_record) {
  if (&of_first == &of_record || (of_first.native && of_record.native)) return;
  user_error(
      "{}: this record is {} ({}), but {} is {} ({}); a file has one format: divide it, or give data.format",
      record.where(), of_record.name, of_record.keys, first.where(), of_first.name, of_first.keys);
}

// Converts the file's records in their places; those that are left out get a null.
ToldFormat apply_to_file(const FileRecords& file, const RecordFormat& format) {
  ToldFormat out;
  std::optional<ListedFile> listed;
  const bool free = format.columns.given().empty() && !format.tags.any();
  if (format.name == "llamafactory" || (format.name == "auto" && free))
    listed = find_listed(file.begin->file);
  if (format.name == "llamafactory" && !listed)
    user_error("{}: no dataset_info.json beside it, or in the folder above, has its \"file_name\"",
               file.begin->file);
  check_columns(file, format);

  const DataFormat* const named = listed                  ? &listed_format(*listed)
                                  : format.name == "auto" ? nullptr
                                                          : named_format(format.name);
  Record before = *file.begin;  // the first record as it was
  for (Record* record = file.begin; record != file.end; ++record) {
    record->json = listed ? as_listed(*record, *listed) : mapped(*record, format);
    const DataFormat& told = named != nullptr ? *named : told_format(record->json);
    if (record == file.begin) {
      out.format = &told;
      before.json = record->json;
    }
    if (named != nullptr)
      need_fit(*record, told);
    else
      need_same(before, *out.format, *record, told);
    std::optional<Json> made = told.convert(*record);
    if (!made) ++out.left_out;
    record->json = made ? *std::move(made) : Json();
  }
  out.why = listed             ? fmt::format("{} in {}", listed->name, listed->info)
            : named != nullptr ? "data.format"
                               : out.format->keys;
  if (out.left_out == static_cast<size_t>(file.end - file.begin))
    user_error("{}: nothing to learn: all of its {} records have {}", file.begin->file, out.left_out,
               out.format->leaves_out);
  return out;
}

}  // namespace

const DataFormat& told_format(const Json& record) {
  for (const DataFormat& format : data_formats()) {
    if (format.fits(record)) return format;
  }
  bug("no format fits a record");  // the last one fits all
}

std::map<std::string, ToldFormat> apply_format(std::vector<Record>& records, const RecordFormat& format) {
  std::map<std::string, ToldFormat> out;
  for (size_t begin = 0, end; begin < records.size(); begin = end) {
    for (end = begin + 1; end < records.size() && records[end].file == records[begin].file;) ++end;
    const std::string name = records[begin].file;
    out[name] = apply_to_file({&records[begin], &records[begin] + (end - begin)}, format);
  }
  std::erase_if(records, [](const Record& record) { return record.json.is_null(); });
  return out;
}

std::vector<Record> read_data(const std::vector<std::string>& files, const RecordFormat& format) {
  std::vector<Record> records = read_records(files);
  for (const auto& [file, told] : apply_format(records, format)) {
    if (!told.format->native) log_info("{}: read as {} ({})", file, told.format->name, told.why);
    if (told.left_out > 0)
      log_warning("{}: {} records are left out, as they have {}", file, told.left_out,
                  told.format->leaves_out);
  }
  return records;
}

}  // namespace temper
