// The tokenizer of a folder that has tokenizer.model and no tokenizer.json.
#pragma once

#include <memory>

#include "text/tokenizer.h"
#include "text/tokenizer_folder.h"

namespace temper {

std::unique_ptr<Tokenizer> load_sentencepiece_tokenizer(TokenizerFolder folder);

}  // namespace temper
