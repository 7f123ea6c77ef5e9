// The formats in which other tools keep their data, and what their records become: pure functions of a
// record, which the readers of records.h then take for one of their own kinds.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fields.h"
#include "base/json.h"
#include "data/records.h"

namespace temper {

namespace formats {
struct ListedFile;
}

// One format. lib/data/formats/registry.cc lists them all.
struct DataFormat {
  std::string name, summary, source;
  std::string keys;     // that tell it, for people
  std::string becomes;  // the columns that its records have afterwards, for people
  bool (*fits)(const Json& record);
  // The record in columns that record_kind knows; further columns travel along. nullopt: nothing to learn,
  // see `leaves_out`. Throws UserError with the record's place for one that fits and is not whole.
  std::optional<Json> (*convert)(const Record& record);
  Json example;
  // The kinds of records.h as they are: they may stand side by side in a file.
  bool native = false;
  std::string leaves_out = {};  // what is wrong with records that are left out, for people
};
const std::vector<DataFormat>& data_formats();
std::vector<std::string> data_format_names();  // with "auto" in front and "llamafactory" behind

// What the columns of a file are called that records.h reads; empty: as there, or as the format has them.
struct ColumnNames : Fields {
  std::string prompt, completion, messages, chosen, rejected, label, system, tools;
  void fields(FieldVisitor& v) override;
  // {"prompt", its value} ... of those that are given.
  std::vector<std::pair<std::string, std::string>> given() const;
};

// How messages say who speaks and what; empty: as OpenAI or ShareGPT do (see message_of).
struct TagNames : Fields {
  std::string role, content, user, assistant, system, observation, function;
  void fields(FieldVisitor& v) override;
  bool any() const;
};

struct RecordFormat {
  std::string name = "auto";
  ColumnNames columns;
  TagNames tags;
};

// A record with its columns and messages called as records.h has them: each given column is copied to its
// name; messages are message_of(); "system" becomes the first message, before which a string prompt and its
// answers become a chat. A label in text (true, false, 1, 0) becomes one. A pure function. Throws UserError
// for a column that the record lacks, naming those it has; "system" and "tools" may be missing.
Json mapped(const Record& record, const RecordFormat& format);

// The format of a record by its content: the first of data_formats() that fits it, at last "trl".
const DataFormat& told_format(const Json& record);

// How the records of one file are read: settled by its first record.
class FileFormat {
 public:
  // first: as it stands in the file. Throws UserError as read() does, and where "llamafactory" finds no
  // entry.
  FileFormat(const Record& first, const RecordFormat& format);
  ~FileFormat();
  // What a record of the file becomes; nullopt: it is left out. A pure function. Throws UserError at the
  // record's place.
  std::optional<Json> read(const Record& record) const;
  const DataFormat& format() const { return *of_first_; }
  const std::string& why() const { return why_; }  // for people

 private:
  RecordFormat settings_;
  std::unique_ptr<formats::ListedFile> listed_;
  const DataFormat* named_ = nullptr;
  const DataFormat* of_first_ = nullptr;
  Record first_;  // mapped
  std::string why_;
};

// A fingerprint of all that decides how a file's records are read, beside its own content.
std::string format_key(const std::string& file, const RecordFormat& format);

// The columns that a record may lack and one of the file must have, as data.columns calls them:
// {"system", its column} ...
std::vector<std::pair<std::string, std::string>> some_have(const RecordFormat& format);
[[noreturn]] void no_record_has(const Record& first, const std::pair<std::string, std::string>& column);

// How a file was understood.
struct ToldFormat {
  const DataFormat* format = nullptr;  // of the first record
  std::string why;                     // for people
  size_t left_out = 0;
};

// Makes the records of each file, mapped(), what their format says. "auto": LLaMA-Factory's dataset_info.json
// beside a file that it names, else each record's own content. Returns how each file was understood. Throws
// UserError with file and line for records of two formats in one file, a record that is not of the format
// named, a column that no record has, and a file of which nothing is left.
std::map<std::string, ToldFormat> apply_format(std::vector<Record>& records, const RecordFormat& format);

[[noreturn]] void nothing_to_learn(const std::string& file, const ToldFormat& told);

// Says on the console what was told of a file of another format, and what was left out.
void tell_format(const std::string& file, const ToldFormat& told);

// The records of files (read_records) in the kinds of records.h; tell_format() of each file.
std::vector<Record> read_data(const std::vector<std::string>& files, const RecordFormat& format = {});

}  // namespace temper
