#include "migrate/migration.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "base/fields.h"
#include "base/file.h"
#include "base/hub.h"

namespace temper {
namespace {

std::string shown(const Json& value) {
  const std::string text = dump_line(value);
  return text.size() <= 60 ? text : text.substr(0, 57) + "...";
}

// Values that ask for nothing, whatever the key: not given, switched off, none, empty.
bool asks_nothing(const Json& value) {
  return value.is_null() || value == false || value == 0 || value == "" || value == "none" || value == "no" ||
         ((value.is_array() || value.is_object()) && value.empty());
}

bool has_word(const std::string& words, const std::string& word) {
  return (" " + words + " ").find(" " + word + " ") != std::string::npos;
}

}  // namespace

bool Migrated::whole() const {
  return std::none_of(keys.begin(), keys.end(), [](const KeyReport& k) {
    return k.fate == KeyReport::kLost || k.fate == KeyReport::kUnknown;
  });
}

Migration::Migration(Json source, std::vector<std::span<const ForeignKey>> tables, std::string where,
                     std::string folder, std::string trainer)
    : source_(std::move(source)),
      tables_(std::move(tables)),
      where_(std::move(where)),
      folder_(std::move(folder)),
      trainer_(std::move(trainer)) {}

const ForeignKey* Migration::find(const std::string& key) const {
  for (const auto& table : tables_)
    for (const ForeignKey& row : table)
      if (key == row.name) return &row;
  return nullptr;
}

bool Migration::given(const std::string& key) const {
  return find(key) != nullptr && source_.contains(key) && !source_[key].is_null();
}

void Migration::wrong(const std::string& key, const std::string& expected) const {
  user_error("{}: {}: expected {}, found {}", where_, key, expected, shown(source_[key]));
}

Json Migration::value(const std::string& key) {
  if (!given(key)) return {};
  read_.insert(key);
  return source_[key];
}

double Migration::number(const std::string& key, double fallback) {
  const Json json = value(key);
  if (json.is_null()) return fallback;
  if (!json.is_number()) wrong(key, "a number");
  return json.get<double>();
}

int64_t Migration::integer(const std::string& key, int64_t fallback) {
  const Json json = value(key);
  if (json.is_null()) return fallback;
  if (!json.is_number_integer()) wrong(key, "a whole number");
  return json.get<int64_t>();
}

bool Migration::flag(const std::string& key, bool fallback) {
  const Json json = value(key);
  if (json.is_null()) return fallback;
  if (!json.is_boolean()) wrong(key, "true or false");
  return json.get<bool>();
}

std::string Migration::text(const std::string& key, const std::string& fallback) {
  const Json json = value(key);
  if (json.is_null()) return fallback;
  if (!json.is_string()) wrong(key, "a text");
  return json.get<std::string>();
}

std::vector<std::string> Migration::texts(const std::string& key) {
  const Json json = value(key);
  if (json.is_null()) return {};
  if (json.is_string()) return {json.get<std::string>()};
  const auto is_text = [](const Json& item) { return item.is_string(); };
  if (!json.is_array() || !std::all_of(json.begin(), json.end(), is_text)) wrong(key, "texts");
  return json.get<std::vector<std::string>>();
}

void Migration::set(const std::string& field, Json value) {
  Json* at = &config_;
  size_t begin = 0;
  for (size_t dot; (dot = field.find('.', begin)) != std::string::npos; begin = dot + 1)
    at = &(*at)[field.substr(begin, dot - begin)];
  // Numbers that are whole are written so: 16, not 16.0.
  if (const double* x = value.get_ptr<const double*>();
      x != nullptr && std::abs(*x) < 1e15 && std::floor(*x) == *x)
    value = static_cast<int64_t>(*x);
  (*at)[field.substr(begin)] = std::move(value);
}

Json Migration::get(const std::string& field) const {
  const Json* at = &config_;
  size_t begin = 0;
  while (true) {
    const size_t dot = field.find('.', begin);
    const std::string name = field.substr(begin, dot == std::string::npos ? dot : dot - begin);
    if (!at->is_object() || !at->contains(name)) return nullptr;
    at = &(*at)[name];
    if (dot == std::string::npos) return *at;
    begin = dot + 1;
  }
}

bool Migration::has(const std::string& field) const {
  return !get(field).is_null();
}

void Migration::lose(const std::string& key, const std::string& why) {
  read_.insert(key);
  told_.push_back({key, given(key) ? shown(source_[key]) : "", KeyReport::kLost, why});
}

void Migration::lose_part(const std::string& key, const Json& value, const std::string& why) {
  told_.push_back({key, shown(value), KeyReport::kLost, why});
}

void Migration::no_sense(const std::string& key, const std::string& why) {
  read_.insert(key);
  if (source_.contains(key)) told_.push_back({key, shown(source_[key]), KeyReport::kNoSense, why});
}

void Migration::carried(const std::string& key, const std::string& into) {
  read_.insert(key);
  if (source_.contains(key)) told_.push_back({key, shown(source_[key]), KeyReport::kCarried, into});
}

void Migration::remark(const std::string& text) {
  remarks_.push_back(text);
}

namespace {

// A file's name by its ending, whether it is there or not.
bool is_file_name(const std::string& name) {
  for (const char* end : {".json", ".jsonl", ".csv", ".tsv", ".txt", ".parquet", ".arrow", ".gz", ".zst"})
    if (name.ends_with(end)) return true;
  return false;
}

}  // namespace

std::string Migration::path(const std::string& path) const {
  const fs::path given(path);
  if (path.empty() || given.is_absolute()) return path;
  return fs::absolute(given).lexically_proximate(fs::absolute(folder_)).generic_string();
}

void Migration::data_file(const std::string& field, const std::string& key, const std::string& name) {
  std::vector<std::string> files;
  if (has(field)) files = get(field).get<std::vector<std::string>>();
  const bool hub = is_hub_name(name) && !is_file_name(name);
  files.push_back(hub ? name : path(name));
  set(field, files);
  std::error_code error;
  if (hub) {
    lose_part(
        key, name,
        fmt::format("a data set of the hub, which is not read here. `hf download {0} --repo-type dataset "
                    "--local-dir data/{1}` (huggingface-cli download in older versions), then name its "
                    "JSONL files in {2}",
                    name, name.substr(name.find('/') + 1), field));
  } else if (fs::is_directory(name, error)) {
    lose_part(key, name, fmt::format("a folder; {} takes the files in it one by one", field));
  }
}

std::string Migration::model(const std::string& field, const std::string& name) {
  if (!is_hub_name(name)) return path(name);
  remark(fmt::format(
      "{}: \"{}\" is taken from the hub's cache where it is there; else `hf download {} --local-dir "
      "models/{}` and name that folder",
      field, name, name, name.substr(name.find('/') + 1)));
  return name;
}

void Migration::model_path(const std::string& field, const std::string& key) {
  if (const std::string name = text(key, ""); !name.empty()) set(field, model(field, name));
}

Migrated Migration::finish(const std::string& source) {
  Migrated out{source, Json::object(), {}, remarks_};
  std::vector<std::string> known;
  for (const auto& table : tables_)
    for (const ForeignKey& row : table)
      if (*row.only == 0 || trainer_.empty() || has_word(row.only, trainer_)) known.emplace_back(row.name);
  for (const auto& [key, value] : source_.items()) {
    // What the source's function said of the key or of its parts stands before the table.
    bool told = false, whole = false;
    for (const KeyReport& report : told_) {
      if (report.key != key && !report.key.starts_with(key + ".")) continue;
      told = true;
      whole |= report.key == key;
    }
    const auto say_told = [&] {
      for (const KeyReport& report : told_)
        if (report.key == key || report.key.starts_with(key + ".")) out.keys.push_back(report);
    };
    if (whole) {
      say_told();
      continue;
    }
    const ForeignKey* row = find(key);
    const auto add = [&](KeyReport::Fate fate, const std::string& text) {
      out.keys.push_back({key, shown(value), fate, text});
    };
    if (row == nullptr) {
      const std::string near = nearest_name(key, known);
      add(KeyReport::kUnknown,
          "no such key" + (near.empty() ? std::string() : fmt::format("; did you mean \"{}\"?", near)));
    } else if (*row->only != 0 && !trainer_.empty() && !has_word(row->only, trainer_)) {
      add(asks_nothing(value) ? KeyReport::kNoSense : KeyReport::kLost,
          fmt::format("is of {}, and this is taken for {}", row->only, trainer_));
    } else if (value.is_null()) {
      add(KeyReport::kNoSense, "asks for nothing");
    } else if (row->fate == ForeignKey::kField) {
      set(row->text, value);
      add(KeyReport::kCarried, row->text);
    } else if (row->fate == ForeignKey::kPart) {
      if (read_.count(key))
        add(KeyReport::kCarried, row->text);
      else if (asks_nothing(value))
        add(KeyReport::kNoSense, "asks for nothing");
      else
        add(KeyReport::kLost, "nothing else in the file makes use of it");
    } else if (row->fate == ForeignKey::kNoSense) {
      add(KeyReport::kNoSense, row->text);
    } else {
      const bool off = asks_nothing(value) || (*row->off != 0 && value == Json::parse(row->off));
      add(off ? KeyReport::kNoSense : KeyReport::kLost, off ? "asks for nothing" : row->text);
    }
    if (told) say_told();
  }
  // Told of what is not in the file: defaults of the source that cannot be carried.
  for (const KeyReport& report : told_)
    if (!source_.contains(report.key.substr(0, report.key.find('.'))))
      out.remarks.push_back(fmt::format("{}: {}", report.key, report.text));
  // In the order of people's configs.
  for (const char* section :
       {"task", "seed", "device", "model", "adapter", "data", "inputs", "rollout", "rewards", "loss",
        "algorithm", "reference", "optimizer", "schedule", "train", "eval"})
    if (config_.contains(section)) out.config[section] = config_[section];
  for (const auto& [section, value] : config_.items())
    if (!out.config.contains(section)) out.config[section] = value;
  return out;
}

std::string migration_report(const Migrated& migrated) {
  const std::pair<KeyReport::Fate, const char*> groups[] = {{KeyReport::kCarried, "carried"},
                                                            {KeyReport::kNoSense, "has no meaning here"},
                                                            {KeyReport::kLost, "not carried"},
                                                            {KeyReport::kUnknown, "unknown"}};
  std::string out = fmt::format("taken for a config of {}\n", migrated.source);
  for (const auto& [fate, title] : groups) {
    bool any = false;
    for (const KeyReport& k : migrated.keys) {
      if (k.fate != fate) continue;
      if (!any) out += fmt::format("{}:\n", title);
      any = true;
      out +=
          fmt::format("  {}: {}{}{}\n", k.key, k.value, fate == KeyReport::kCarried ? " -> " : ": ", k.text);
    }
  }
  if (!migrated.remarks.empty()) out += "to know:\n";
  for (const std::string& remark : migrated.remarks) out += "  " + remark + "\n";
  return out;
}

}  // namespace temper
