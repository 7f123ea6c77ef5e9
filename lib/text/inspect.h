// What `temper-inspect tokenize` and `template` print.
#pragma once

#include <string_view>

#include "base/json_fwd.h"
#include "text/template.h"
#include "text/tokenizer.h"

namespace temper {

// {"ids":[...],"pieces":[...],"decoded":"..."}; pieces as the vocabulary spells them.
Json inspect_tokenize(const Tokenizer& tokenizer, std::string_view text, const EncodeOptions& options);

// Of each assistant's message that others follow: what a conversation reads behind the model's own words, as
// ChatTemplate::encode_behind gives it. [{"message": its place, "text", "ids"}], or "why" there is nothing.
Json inspect_behind(const Tokenizer& tokenizer, const ChatTemplate& chat, const Json& messages,
                    const Json& extra);

}  // namespace temper
