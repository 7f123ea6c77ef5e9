// Tokens that a run adds to those of a tokenizer.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "base/json.h"
#include "text/tokenizer.h"

namespace temper {

struct NewToken {
  std::string text;
  bool special = false;   // no text of a chat's words becomes it, and decoded text leaves it out
  std::string like = {};  // the text whose tokens' mean its first embedding is; "": of all tokens
};

// From a list of texts and of {"token", "special", "like"}; `where` names it. Throws UserError.
std::vector<NewToken> new_tokens(const Json& list, const std::string& where);

// The tokenizer of a folder with further tokens; their ids follow its own, in order, as those of
// transformers' add_tokens do, and save() writes files that have them. Throws UserError as Tokenizer::load,
// and for a text that is a token already.
std::unique_ptr<Tokenizer> load_with_tokens(const std::string& folder, const std::vector<NewToken>& added);

}  // namespace temper
