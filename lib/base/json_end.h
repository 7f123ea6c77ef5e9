// Where JSON that stands in other text ends.
#pragma once

#include <cstddef>
#include <optional>
#include <string_view>

namespace temper {

// One past the object or list that begins with the bracket at `begin`, by its brackets and strings alone;
// none: it has no end, or is more than 512 deep.
std::optional<size_t> json_end(std::string_view text, size_t begin);

}  // namespace temper
