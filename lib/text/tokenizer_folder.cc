#include "text/tokenizer_folder.h"

#include <algorithm>

#include "base/error.h"
#include "base/file.h"

namespace temper {
namespace {

constexpr uint64_t kMaxFileBytes = 512ULL << 20;
constexpr const char* kFiles[] = {"tokenizer.json",          "tokenizer.model",   "tokenizer_config.json",
                                  "special_tokens_map.json", "added_tokens.json", "chat_template.jinja",
                                  "chat_template.json",      "vocab.json",        "merges.txt"};
constexpr const char* kNamed[] = {"bos_token", "eos_token", "unk_token", "sep_token",
                                  "pad_token", "cls_token", "mask_token"};

Json read_object(const TokenizerFolder& folder, const std::string& file) {
  if (!folder.has(file)) return Json::object();
  // The reader of tokenizer.json serves here for its bounds on hostile files.
  return read_tokenizer_json(folder.files.at(file), folder.where(file)).parts;
}

// A token is written as its content or as an object with its flags.
std::string token_content(const Json& value, const std::string& where) {
  if (value.is_string()) return value.get<std::string>();
  if (value.is_object() && value.contains("content") && value["content"].is_string()) {
    return value["content"].get<std::string>();
  }
  user_error("{}: expected a token (a string, or an object with \"content\"), found {}", where,
             value.type_name());
}

void read_named(TokenizerFolder& folder, const Json& source, const std::string& file) {
  const auto name_token = [&](const std::string& name, const Json& value) {
    if (value.is_null() || folder.named.contains(name)) return;
    const std::string content = token_content(value, folder.where(file) + ": " + name);
    if (!content.empty()) folder.named[name] = content;
  };
  for (const char* name : kNamed) {
    if (source.contains(name)) name_token(name, source[name]);
  }
  // Tokens that a family names itself: "image_token" and its like.
  for (const auto& [name, value] : source.items()) {
    const bool token = value.is_string() || (value.is_object() && value.contains("content"));
    if (name.ends_with("_token") && token) name_token(name, value);
  }
  for (const char* name : {"additional_special_tokens", "extra_special_tokens"}) {
    if (!source.contains(name)) continue;
    const Json& list = source[name];
    if (!list.is_array() && !list.is_object()) continue;  // null
    for (const auto& [key, item] : list.items()) {
      folder.special.push_back(token_content(item, folder.where(file) + ": " + name));
      if (list.is_object()) name_token(key, item);
    }
  }
}

void read_added_tokens(TokenizerFolder& folder) {
  const std::string where = folder.where("tokenizer_config.json");
  if (folder.config.contains("added_tokens_decoder")) {
    const JsonPart decoder = JsonPart(folder.config, where).part("added_tokens_decoder");
    for (const auto& [key, value] : decoder.json().items()) {
      AddedToken token = read_added_token(JsonPart(value, decoder.where() + "." + key));
      const bool number =
          !key.empty() && key.size() <= 9 && key.find_first_not_of("0123456789") == std::string::npos;
      if (!number)
        user_error("{}: the id \"{}\" is not a whole number below 1000000000", decoder.where(), key);
      token.id = std::stoll(key);
      folder.added.push_back(token);
    }
  } else {
    const Json extra = read_object(folder, "added_tokens.json");
    const JsonPart part(extra, folder.where("added_tokens.json"));
    for (const auto& [content, value] : extra.items()) {
      AddedToken token;
      token.content = content;
      token.id = part.integer(content.c_str());
      folder.added.push_back(token);
    }
  }
  std::stable_sort(folder.added.begin(), folder.added.end(),
                   [](const AddedToken& a, const AddedToken& b) { return a.id < b.id; });
}

// A string, or a list of named templates of which "default" is meant.
void read_chat_template(TokenizerFolder& folder) {
  if (folder.has("chat_template.jinja")) {
    folder.chat_template = folder.files.at("chat_template.jinja");
    return;
  }
  const Json separate = read_object(folder, "chat_template.json");
  const bool in_config = folder.config.contains("chat_template") && !folder.config["chat_template"].is_null();
  const Json& source = in_config ? folder.config : separate;
  if (!source.contains("chat_template") || source["chat_template"].is_null()) return;
  const Json& value = source["chat_template"];
  const std::string where =
      folder.where(in_config ? "tokenizer_config.json" : "chat_template.json") + ": chat_template";
  if (value.is_string()) {
    folder.chat_template = value.get<std::string>();
    return;
  }
  if (!value.is_array()) user_error("{}: expected a string or a list of named templates", where);
  for (const Json& item : value) {
    const JsonPart part(item, where);
    if (part.string("name") == "default") folder.chat_template = part.string("template");
  }
}

}  // namespace

AddedToken read_added_token(const JsonPart& part) {
  AddedToken token;
  token.content = part.string("content");
  token.single_word = part.boolean_or("single_word", false);
  token.lstrip = part.boolean_or("lstrip", false);
  token.rstrip = part.boolean_or("rstrip", false);
  token.special = part.boolean_or("special", false);
  token.normalized = part.boolean_or("normalized", !token.special);
  return token;
}

TokenizerFolder read_tokenizer_folder(const std::string& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) {
    user_error("{}: no such folder; expected one with tokenizer.json or tokenizer.model", path);
  }
  TokenizerFolder folder;
  folder.path = path;
  while (folder.path.size() > 1 && folder.path.ends_with('/')) folder.path.pop_back();
  for (const char* file : kFiles) {
    if (fs::exists(folder.where(file), error))
      folder.files[file] = read_file(folder.where(file), kMaxFileBytes);
  }
  return with_files(std::move(folder));
}

TokenizerFolder with_files(TokenizerFolder folder) {
  folder.named.clear(), folder.special.clear(), folder.added.clear(), folder.chat_template.clear();
  folder.config = read_object(folder, "tokenizer_config.json");
  // As in transformers: where the config has no table of added tokens, the older file names them first.
  const bool newer = folder.config.contains("added_tokens_decoder");
  if (newer) read_named(folder, folder.config, "tokenizer_config.json");
  read_named(folder, read_object(folder, "special_tokens_map.json"), "special_tokens_map.json");
  if (!newer) read_named(folder, folder.config, "tokenizer_config.json");
  for (const auto& [name, content] : folder.named) folder.special.push_back(content);
  read_added_tokens(folder);
  read_chat_template(folder);
  return folder;
}

void TokenizerFolder::save(const std::string& folder) const {
  std::error_code error;
  fs::create_directories(folder, error);
  if (error) user_error("{}: cannot create the folder: {}", folder, error.message());
  for (const auto& [name, content] : files) write_file_atomic((fs::path(folder) / name).string(), content);
}

}  // namespace temper
