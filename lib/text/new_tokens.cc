#include "text/new_tokens.h"

#include <functional>
#include <set>

#include "base/error.h"
#include "text/tokenizer_folder.h"

namespace temper {
namespace {

// Files keep the order of their keys.
using Ordered = nlohmann::ordered_json;

std::string shown(const Json& value) {
  return dump_line(value).substr(0, 60);
}

Ordered described(const NewToken& token) {
  return {{"content", token.text}, {"lstrip", false},      {"normalized", !token.special},
          {"rstrip", false},       {"single_word", false}, {"special", token.special}};
}

void change(TokenizerFolder& folder, const std::string& file, const std::function<void(Ordered&)>& to) {
  // The folder was read from these texts: they are JSON.
  Ordered json = folder.has(file) ? Ordered::parse(folder.files.at(file)) : Ordered::object();
  to(json);
  folder.files[file] = json.dump(2, ' ', false, Ordered::error_handler_t::replace) + "\n";
}

// tokenizer.json lists all added tokens by id.
void add_to_list(Ordered& root, const std::vector<NewToken>& added, int64_t id) {
  if (!root.contains("added_tokens")) root["added_tokens"] = Ordered::array();
  for (const NewToken& token : added) {
    Ordered entry{{"id", id++}};
    entry.update(described(token));
    root["added_tokens"].push_back(entry);
  }
}

}  // namespace

std::vector<NewToken> new_tokens(const Json& list, const std::string& where) {
  std::vector<NewToken> out;
  std::set<std::string> texts;
  if (!list.is_array()) user_error("{}: expected a list, found {}", where, shown(list));
  for (const Json& item : list) {
    NewToken token;
    if (item.is_string()) {
      token.text = item;
    } else if (item.is_object() && item.contains("token") && item["token"].is_string()) {
      token.text = item["token"];
      for (const auto& [key, value] : item.items()) {
        const bool known = key == "token" || (key == "special" && value.is_boolean()) ||
                           (key == "like" && value.is_string());
        if (!known)
          user_error("{}: \"{}\": expected \"special\": true or false and \"like\": a text, found \"{}\": {}",
                     where, token.text, key, shown(value));
      }
      token.special = item.value("special", false);
      token.like = item.value("like", "");
    } else {
      user_error(
          "{}: expected texts, or objects such as {{\"token\": \"<plan>\", \"like\": \"a plan\"}}, found {}",
          where, shown(item));
    }
    if (token.text.empty()) user_error("{}: a token cannot be empty", where);
    if (!texts.insert(token.text).second) user_error("{}: \"{}\" stands there twice", where, token.text);
    out.push_back(std::move(token));
  }
  return out;
}

std::unique_ptr<Tokenizer> load_with_tokens(const std::string& path, const std::vector<NewToken>& added) {
  TokenizerFolder folder = read_tokenizer_folder(path);
  if (added.empty()) return load_tokenizer(std::move(folder));
  const auto before = load_tokenizer(folder);
  for (const NewToken& token : added) {
    if (const auto id = before->id(token.text))
      user_error("\"{}\" is a token of {} already, with the id {}; leave it out of the new ones", token.text,
                 path, *id);
  }
  const int64_t first = before->vocab_size();
  if (folder.has("tokenizer.json"))
    change(folder, "tokenizer.json", [&](Ordered& root) { add_to_list(root, added, first); });
  // Where the config keeps a table of added tokens it must have these, too; a SentencePiece file has no other
  // place for them.
  const bool table = folder.config.contains("added_tokens_decoder") || !folder.has("tokenizer.json");
  change(folder, "tokenizer_config.json", [&](Ordered& config) {
    if (!table) return;
    Ordered& decoder = config["added_tokens_decoder"];
    if (decoder.is_null()) {
      decoder = Ordered::object();
      for (const AddedToken& old : folder.added)
        decoder[std::to_string(old.id)] = described({old.content, old.special});
    }
    int64_t id = first;
    for (const NewToken& token : added) decoder[std::to_string(id++)] = described(token);
  });
  return load_tokenizer(with_files(std::move(folder)));
}

}  // namespace temper
