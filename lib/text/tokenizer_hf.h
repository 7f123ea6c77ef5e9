// The tokenizer of a folder with tokenizer.json.
#pragma once

#include <memory>

#include "text/tokenizer.h"
#include "text/tokenizer_folder.h"

namespace temper {

std::unique_ptr<Tokenizer> load_hf_tokenizer(TokenizerFolder folder);

}  // namespace temper
