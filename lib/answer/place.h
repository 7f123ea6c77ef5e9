// Where in a completion the final answer stands.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "answer/answer.h"

namespace temper {

// "auto", "hash" (behind the last ####), "boxed" (the last \boxed{}), "tag" (the last <answer>...</answer>),
// "last" (the last number).
const std::vector<std::string>& answer_places();

// The text of the final answer at `place`; nullopt when there is none there. For "auto" the last of the marks
// that stand in the text wins: ####, \boxed{}, <answer>, "answer is", "Answer:", or a line that begins with
// "A:". Only what follows the last </think> is looked at, and thoughts that never end hold no answer.
std::optional<std::string> find_answer(std::string_view text, const std::string& place);

// What kinds an answer is looked for of: with kNumbers, a sentence without a number in it is passed over, and
// where there is no mark the last number of the text counts; with kAny, words, a formula in the sentence, the
// last formula of the text, or the whole text where it is short.
enum class Looking { kNumbers, kAny };

// The answer that a completion gives. "auto" falls back on the text when there is no mark, unless `strict`;
// `strict` also wants nothing but the answer and its unit at the mark. Several boxes with only "and", "or" or
// a comma between them are a list. nullopt: none, or no number with kNumbers.
std::optional<FinalAnswer> read_answer(std::string_view text, const std::string& place, bool strict,
                                       Looking looking);

// The answer of a reference: a bare one, or a whole solution with a mark in it ("... #### 72"). nullopt: it
// is blank.
std::optional<FinalAnswer> read_reference(std::string_view text);

}  // namespace temper
