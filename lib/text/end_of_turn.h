// What a chat template writes behind an assistant's words.
#pragma once

#include <cstdint>
#include <optional>

#include "text/template.h"
#include "text/tokenizer.h"

namespace temper {

// The special token that ends an assistant's turn ("<|im_end|>"). None where the template writes none there,
// or refuses a chat of a question and an answer.
std::optional<int64_t> end_of_turn(const ChatTemplate& chat, const Tokenizer& tokenizer);

}  // namespace temper
