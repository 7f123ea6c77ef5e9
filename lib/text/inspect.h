// What `temper-inspect tokenize` prints.
#pragma once

#include <string_view>

#include "base/json_fwd.h"
#include "text/tokenizer.h"

namespace temper {

// {"ids":[...],"pieces":[...],"decoded":"..."}; pieces as the vocabulary spells them.
Json inspect_tokenize(const Tokenizer& tokenizer, std::string_view text, const EncodeOptions& options);

}  // namespace temper
