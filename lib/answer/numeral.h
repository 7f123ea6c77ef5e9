// A number where it stands in a text.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

#include "answer/number.h"

namespace temper {

// The number with sign, currency, percent sign and scale word at `at` of a text of plain_math(); moves `at`
// behind it. nullopt: no number there, or one that cannot be held. Groups of three digits are joined by a
// comma or a thin space, and by a blank where spaces_group.
std::optional<Number> numeral_at(std::string_view text, size_t& at, bool spaces_group = false);

}  // namespace temper
