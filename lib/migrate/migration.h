// What becomes of another program's config, key by key. A source has a table of all keys it knows; those that
// are carried together with others are read by the source's own function. Nothing is dropped in silence: what
// is in the file and neither carried nor asks for nothing is listed with the reason.
#pragma once

#include <set>
#include <span>
#include <string>
#include <vector>

#include "base/json.h"

namespace temper {

// A row of a source's table.
struct ForeignKey {
  enum Fate {
    kField,    // text: the field of Temper's config that takes the value as it is
    kPart,     // text: what it goes into, with others
    kNoSense,  // text: why it says nothing here
    kLost      // text: why it is not carried
  };
  const char* name;
  Fate fate;
  const char* text;
  const char* only = "";  // of these trainers alone, "dpo kto"; empty: all
  const char* off =
      "";  // kLost: JSON of the value that asks for nothing, beside null, false and what is empty
};

constexpr ForeignKey field_key(const char* name, const char* field, const char* only = "") {
  return {name, ForeignKey::kField, field, only};
}
constexpr ForeignKey part_key(const char* name, const char* into, const char* only = "") {
  return {name, ForeignKey::kPart, into, only};
}
constexpr ForeignKey no_sense_key(const char* name, const char* why, const char* only = "") {
  return {name, ForeignKey::kNoSense, why, only};
}
constexpr ForeignKey lost_key(const char* name, const char* why, const char* only = "",
                              const char* off = "") {
  return {name, ForeignKey::kLost, why, only, off};
}

// What the user is told of one key.
struct KeyReport {
  enum Fate { kCarried, kNoSense, kLost, kUnknown };
  std::string key;    // "datasets.0.split"
  std::string value;  // shortened; empty: of no key of the file
  Fate fate;
  std::string text;  // where it went, or why it did not
};

struct Migrated {
  std::string source;  // "TRL (dpo)"
  Json config;         // Temper's
  std::vector<KeyReport> keys;
  std::vector<std::string> remarks;  // what differs by itself
  bool whole() const;                // all was carried, or says nothing here
};

// Builds a Migrated while a source's function reads the keys.
class Migration {
 public:
  // table: spans of rows, such as those that two sources share. folder: of the new config, which its relative
  // paths are relative to; those of `source` are relative to the working folder.
  Migration(Json source, std::vector<std::span<const ForeignKey>> tables, std::string where,
            std::string folder, std::string trainer = "");

  const std::string& where() const { return where_; }
  bool given(const std::string& key) const;  // there and not null
  // The values of kPart keys; each call marks the key as read. Null, or the fallback: of a key that is not
  // given or that the source does not have. Throw UserError for a value of another type.
  Json value(const std::string& key);
  double number(const std::string& key, double fallback);
  int64_t integer(const std::string& key, int64_t fallback);
  bool flag(const std::string& key, bool fallback);
  std::string text(const std::string& key, const std::string& fallback);
  std::vector<std::string> texts(const std::string& key);  // a text is a list of one

  void set(const std::string& field, Json value);  // "train.batch_size"
  bool has(const std::string& field) const;
  Json get(const std::string& field) const;  // null: not there
  // A key whose value cannot be carried, in place of what the table says.
  void lose(const std::string& key, const std::string& why);
  // The same of a part of its value: key "datasets.0.split".
  void lose_part(const std::string& key, const Json& value, const std::string& why);
  // A key that says nothing beside the others of this file.
  void no_sense(const std::string& key, const std::string& why);
  void carried(const std::string& key, const std::string& into);  // another place than the table says
  void remark(const std::string& text);

  // As the new config has to spell a path of the source, and a model, whose name on the hub stays.
  std::string path(const std::string& path) const;
  std::string model(const std::string& field, const std::string& name);
  // data.train or data.eval from a path or a name of the hub, whose download is then said.
  void data_file(const std::string& field, const std::string& key, const std::string& path);
  // model.path and its like.
  void model_path(const std::string& field, const std::string& key);

  Migrated finish(const std::string& source);

 private:
  const ForeignKey* find(const std::string& key) const;
  [[noreturn]] void wrong(const std::string& key, const std::string& expected) const;
  Json source_, config_ = Json::object();
  std::vector<std::span<const ForeignKey>> tables_;
  std::string where_, folder_, trainer_;
  std::set<std::string> read_;
  std::vector<KeyReport> told_;  // in place of the table's
  std::vector<std::string> remarks_;
};

// One line a key, grouped, for people.
std::string migration_report(const Migrated& migrated);

}  // namespace temper
