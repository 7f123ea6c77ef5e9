// Where in a completion the final answer stands.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "reward/number.h"

namespace temper {

// "auto", "hash" (behind the last ####), "boxed" (the last \boxed{}), "tag" (the last <answer>...</answer>),
// "last" (the last number).
const std::vector<std::string>& answer_places();

// The text of the final answer at `place`; nullopt when there is none there. For "auto" the last of the marks
// that stand in the text wins: ####, \boxed{}, <answer>, "answer is", "Answer:", or a line that begins with
// "A:". Only what follows the last </think> is looked at, and thoughts that never end hold no answer.
std::optional<std::string> find_answer(std::string_view text, const std::string& place);

// The number that a completion gives as its answer. "auto" falls back on the last number in the text when
// there is no mark, unless `strict`; `strict` also wants nothing but the number and its unit at the mark.
std::optional<Number> read_answer(std::string_view text, const std::string& place, bool strict);

// The number of a reference: a bare one, or a whole solution with a mark in it ("... #### 72").
std::optional<Number> read_reference(std::string_view text);

}  // namespace temper
