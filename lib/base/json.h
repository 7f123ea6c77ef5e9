// JSON values with key order kept. Include this only where values are built or read; headers use json_fwd.h.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>

#include "base/json_fwd.h"

namespace temper {

// Parses text; // and /* */ comments are allowed. Throws UserError that names `where`, the line and the
// column. Nesting deeper than 512 levels, duplicate keys and invalid UTF-8 are errors.
Json parse_json(const std::string& text, const std::string& where);
Json read_json_file(const std::string& path);

// One line, no spaces, invalid UTF-8 replaced by U+FFFD; doubles round-trip.
std::string dump_line(const Json& value);

Json number_or_null(const std::optional<double>& x);

}  // namespace temper
