// Which format a file has, and its records made of it.
#include <fmt/format.h>

#include <algorithm>

#include "base/error.h"
#include "base/hash.h"
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
  for (const auto& column : some_have(format)) {
    const auto has = [&](const Record& record) { return record.json.contains(column.second); };
    if (std::none_of(file.begin, file.end, has)) no_record_has(*file.begin, column);
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

std::optional<ListedFile> listed_for(const std::string& file, const RecordFormat& format) {
  const bool free = format.columns.given().empty() && !format.tags.any();
  if (format.name == "llamafactory" || (format.name == "auto" && free)) return find_listed(file);
  return std::nullopt;
}

// Converts the file's records in their places; those that are left out get a null.
ToldFormat apply_to_file(const FileRecords& file, const RecordFormat& format) {
  const FileFormat how(*file.begin, format);
  check_columns(file, format);
  ToldFormat out{&how.format(), how.why(), 0};
  for (Record* record = file.begin; record != file.end; ++record) {
    std::optional<Json> made = how.read(*record);
    if (!made) ++out.left_out;
    record->json = made ? *std::move(made) : Json();
  }
  if (out.left_out == static_cast<size_t>(file.end - file.begin)) nothing_to_learn(file.begin->file, out);
  return out;
}

}  // namespace

FileFormat::FileFormat(const Record& first, const RecordFormat& format) : settings_(format), first_(first) {
  if (auto listed = listed_for(first.file, format))
    listed_ = std::make_unique<ListedFile>(*std::move(listed));
  else if (format.name == "llamafactory")
    user_error("{}: no dataset_info.json beside it, or in the folder above, has its \"file_name\"",
               first.file);
  if (listed_ != nullptr)
    named_ = &listed_format(*listed_);
  else if (format.name != "auto")
    named_ = named_format(format.name);
  first_.json = listed_ != nullptr ? as_listed(first, *listed_) : mapped(first, format);
  of_first_ = named_ != nullptr ? named_ : &told_format(first_.json);
  why_ = listed_ != nullptr  ? fmt::format("{} in {}", listed_->name, listed_->info)
         : named_ != nullptr ? "data.format"
                             : of_first_->keys;
}

FileFormat::~FileFormat() = default;

std::optional<Json> FileFormat::read(const Record& record) const {
  const Record out{listed_ != nullptr ? as_listed(record, *listed_) : mapped(record, settings_), record.file,
                   record.line, record.prefix};
  const DataFormat& told = named_ != nullptr ? *named_ : told_format(out.json);
  if (named_ != nullptr)
    need_fit(out, told);
  else
    need_same(first_, *of_first_, out, told);
  return told.convert(out);
}

std::string format_key(const std::string& file, const RecordFormat& format) {
  RecordFormat settings = format;
  Fingerprint out;
  out.add(format.name);
  out.add(dump_fields(settings.columns).dump()).add(dump_fields(settings.tags).dump());
  if (auto listed = listed_for(file, format)) {
    out.add(listed->name).add(listed->info).add(listed->formatting).add(listed->ranking ? 1 : 0);
    out.add(Json(listed->columns).dump()).add(dump_fields(listed->tags).dump());
  }
  return out.hex();
}

std::vector<std::pair<std::string, std::string>> some_have(const RecordFormat& format) {
  auto out = format.columns.given();  // of the others mapped() looks at each record
  std::erase_if(out, [](const auto& c) { return c.first != "system" && c.first != "tools"; });
  return out;
}

void no_record_has(const Record& first, const std::pair<std::string, std::string>& column) {
  user_error("{}: no record has the column \"{}\", which data.columns.{} names; the first has {}", first.file,
             column.second, column.first, keys_of(first.json));
}

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

void nothing_to_learn(const std::string& file, const ToldFormat& told) {
  user_error("{}: nothing to learn: all of its {} records have {}", file, told.left_out,
             told.format->leaves_out);
}

void tell_format(const std::string& file, const ToldFormat& told) {
  if (!told.format->native) log_info("{}: read as {} ({})", file, told.format->name, told.why);
  if (told.left_out > 0)
    log_warning("{}: {} records are left out, as they have {}", file, told.left_out, told.format->leaves_out);
}

std::vector<Record> read_data(const std::vector<std::string>& files, const RecordFormat& format) {
  std::vector<Record> records = read_records(files);
  for (const auto& [file, told] : apply_format(records, format)) tell_format(file, told);
  return records;
}

}  // namespace temper
