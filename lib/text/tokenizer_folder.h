// The files of a tokenizer's folder beside tokenizer.json and tokenizer.model.
#pragma once

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "text/tokenizer.h"
#include "text/tokenizer_added.h"
#include "text/tokenizer_json.h"

namespace temper {

struct TokenizerFolder {
  std::string path;
  std::map<std::string, std::string> files;  // by name, every tokenizer file there is, byte for byte
  std::map<std::string, std::string> named;  // "bos_token", "image_token" ... -> its content, if it is set
  std::vector<std::string> special;          // contents of the named and the additional special tokens
  std::vector<AddedToken> added;  // added_tokens_decoder, and added_tokens.json where there is no other
  std::string chat_template;
  Json config = Json::object();  // tokenizer_config.json

  std::string where(const std::string& file) const { return path + "/" + file; }
  bool has(const std::string& file) const { return files.contains(file); }
  void save(const std::string& folder) const;
};

// Throws UserError when the path is no folder, and for malformed files.
TokenizerFolder read_tokenizer_folder(const std::string& path);
// The folder as its files are now.
TokenizerFolder with_files(TokenizerFolder folder);

std::unique_ptr<Tokenizer> load_tokenizer(TokenizerFolder folder);

// The fields of an added token; `id` apart.
AddedToken read_added_token(const JsonPart& part);

}  // namespace temper
