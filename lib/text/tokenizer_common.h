// What both kinds of tokenizer do alike.
#pragma once

#include <optional>
#include <string_view>

#include "text/tokenizer.h"
#include "text/tokenizer_folder.h"

namespace temper {

// The named tokens that generation and batching need.
struct NamedIds {
  std::optional<int64_t> bos, eos, pad;
};
// Throws UserError when one is named and the tokenizer has no such token.
NamedIds find_named_ids(const TokenizerFolder& folder, const Tokenizer& tokenizer);

// `options` for replace_invalid_utf8(text), whose places have moved.
EncodeOptions repaired_options(std::string_view text, const EncodeOptions& options);

}  // namespace temper
