// What ends a completion.
#pragma once

#include <cstdint>
#include <vector>

#include "model/model.h"
#include "text/template.h"
#include "text/tokenizer.h"

namespace temper {

// The tokenizer's end token, the chat template's end of turn (null: no template) and the ids of adapters'
// folders (model/generation.h), in front of the model's own, which are generation_config.json's eos_token_id,
// else config.json's.
std::vector<int64_t> end_ids(const Model& model, const Tokenizer& tokenizer, const ChatTemplate* chat,
                             const std::vector<int64_t>& adapters = {});

}  // namespace temper
