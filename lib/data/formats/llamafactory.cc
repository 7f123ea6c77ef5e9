#include "data/formats/llamafactory.h"

#include <algorithm>

#include "base/error.h"
#include "base/file.h"
#include "data/formats/parts.h"

namespace temper::formats {
namespace {

constexpr const char* kInfo = "dataset_info.json";

// What an entry may say; the others are of downloads, or change nothing of a file that is there.
const std::vector<std::string> kColumns = {"prompt", "query", "response", "history",  "messages",
                                           "system", "tools", "chosen",   "rejected", "kto_tag"};

std::string text_in(const Json& json, const std::string& key, const std::string& where) {
  if (!json[key].is_string())
    user_error("{}.{}: expected a string, found {}", where, key, json[key].type_name());
  return json[key];
}

void read_tags(const Json& json, const std::string& where, TagNames& tags) {
  const std::pair<const char*, std::string*> known[] = {
      {"role_tag", &tags.role},        {"content_tag", &tags.content},
      {"user_tag", &tags.user},        {"assistant_tag", &tags.assistant},
      {"system_tag", &tags.system},    {"observation_tag", &tags.observation},
      {"function_tag", &tags.function}};
  for (const auto& [key, value] : json.items()) {
    const auto tag = std::find_if(std::begin(known), std::end(known),
                                  [&key = key](const auto& entry) { return key == entry.first; });
    if (tag == std::end(known))
      user_error("{}.{}: no tag that is known (role_tag, content_tag, user_tag, assistant_tag, ...)", where,
                 key);
    *tag->second = text_in(json, key, where);
  }
}

void read_column_names(const Json& json, const std::string& where,
                       std::map<std::string, std::string>& columns) {
  for (const auto& [key, value] : json.items()) {
    if (std::find(kColumns.begin(), kColumns.end(), key) == kColumns.end()) {
      const std::string near = nearest_name(key, kColumns);
      user_error("{}.{}: no column that is read here{}", where, key,
                 near.empty() ? " (images, videos and audios are not)" : "; did you mean \"" + near + "\"?");
    }
    if (!value.is_null()) columns[key] = text_in(json, key, where);
  }
}

ListedFile read_entry(const std::string& name, const Json& entry, const std::string& info) {
  const std::string where = fmt::format("{}: {}", info, name);
  ListedFile out;
  out.name = name;
  out.info = info;
  if (has_column(entry, "formatting")) out.formatting = text_in(entry, "formatting", where);
  if (out.formatting != "alpaca" && out.formatting != "sharegpt" && out.formatting != "openai")
    user_error("{}.formatting: expected alpaca, sharegpt or openai, found \"{}\"", where, out.formatting);
  if (has_column(entry, "ranking")) {
    if (!entry["ranking"].is_boolean()) user_error("{}.ranking: expected true or false", where);
    out.ranking = entry["ranking"];
  }
  if (has_column(entry, "num_samples"))
    user_error("{}.num_samples: is not read here; take it out, or make a file of so many records", where);
  // The defaults are those of an entry that lists nothing.
  if (!has_column(entry, "columns")) {
    if (out.formatting == "alpaca")
      out.columns = {{"prompt", "instruction"}, {"query", "input"}, {"response", "output"}};
    else
      out.columns = {{"messages", "conversations"}};
  }
  for (const char* part : {"columns", "tags"}) {
    if (!has_column(entry, part)) continue;
    if (!entry[part].is_object())
      user_error("{}.{}: expected an object, found {}", where, part, entry[part].type_name());
  }
  if (has_column(entry, "columns")) read_column_names(entry["columns"], where + ".columns", out.columns);
  if (has_column(entry, "tags")) read_tags(entry["tags"], where + ".tags", out.tags);
  return out;
}

bool is_same_file(const fs::path& a, const fs::path& b) {
  std::error_code error;
  return fs::equivalent(a, b, error) && !error;
}

}  // namespace

std::optional<ListedFile> find_listed(const std::string& file) {
  const fs::path folder = fs::absolute(file).parent_path();
  for (const fs::path& at : {folder, folder.parent_path()}) {
    const std::string info = (at / kInfo).string();
    std::error_code none;
    if (!fs::is_regular_file(info, none)) continue;
    const Json json = read_json_file(info);
    if (!json.is_object())
      user_error("{}: expected an object of data sets, found {}", info, json.type_name());
    std::optional<ListedFile> found;
    for (const auto& [name, entry] : json.items()) {
      if (!entry.is_object() || !has_text(entry, "file_name")) continue;
      if (!is_same_file(at / entry["file_name"].get<std::string>(), file)) continue;
      if (found && json[found->name] != entry)
        user_error("{}: \"{}\" and \"{}\" both name {} and differ; take one of them out", info, found->name,
                   name, file);
      found = read_entry(name, entry, info);
    }
    if (found) return found;
  }
  return std::nullopt;
}

const DataFormat& listed_format(const ListedFile& listed) {
  const std::string name = listed.formatting == "alpaca" ? "alpaca" : "sharegpt";
  for (const DataFormat& format : data_formats()) {
    if (format.name == name) return format;
  }
  bug("the format {} is not listed", name);
}

Json as_listed(const Record& record, const ListedFile& listed) {
  const bool alpaca = listed.formatting == "alpaca";
  Json made = Json::object();
  const auto take = [&](const char* as, const char* column, bool needed) {
    const auto name = listed.columns.find(column);
    if (name == listed.columns.end()) return;
    if (has_column(record.json, name->second)) {
      made[as] = record.json[name->second];
    } else if (needed) {
      user_error("{}: has no column \"{}\", which {} gives for \"{}\" of {}; found {}", record.where(),
                 name->second, listed.info, column, listed.name, keys_of(record.json));
    }
  };
  if (alpaca) {
    made["instruction"] = "";
    take("instruction", "prompt", true);
    take("input", "query", false);
    take("output", "response", !listed.ranking);
    take("history", "history", false);
  } else {
    take("conversations", "messages", true);
  }
  take("system", "system", false);
  take("tools", "tools", false);
  if (listed.ranking) {
    take("chosen", "chosen", true);
    take("rejected", "rejected", true);
  }
  take("label", "kto_tag", true);
  // Of the columns that a format knows, only what is listed.
  Json out =
      with_columns(std::move(made), record.json,
                   {"instruction", "input", "output", "history", "conversations", "conversation", "messages",
                    "prompt", "completion", "system", "tools", "chosen", "rejected", "label"});
  Record tagged{std::move(out), record.file, record.line};
  for (const char* chat : {"conversations", "chosen", "rejected"}) {
    if (!alpaca && has_column(tagged.json, chat)) tagged.json[chat] = messages_of(tagged, chat, listed.tags);
  }
  return std::move(tagged.json);
}

}  // namespace temper::formats
