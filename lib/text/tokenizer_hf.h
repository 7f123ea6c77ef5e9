// The tokenizer of a folder with tokenizer.json.
#pragma once

#include <memory>

#include "text/tokenizer.h"
#include "text/tokenizer_folder.h"

namespace temper {

std::unique_ptr<Tokenizer> load_hf_tokenizer(TokenizerFolder folder);

// The named tokens that generation and batching need.
struct NamedIds {
  std::optional<int64_t> bos, eos, pad;
};
// Throws UserError when one is named and the tokenizer has no such token.
NamedIds find_named_ids(const TokenizerFolder& folder, const Tokenizer& tokenizer);

}  // namespace temper
