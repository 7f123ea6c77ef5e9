// Records as JSON text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "data/records.h"

namespace temper {

// JSONL: an object a line; blank lines are passed over. Throws UserError with file and line.
std::vector<Record> jsonl_records(std::string_view text, const std::string& file);

// A JSON array of objects, on one line or on many; a record's line is the one that it begins on. Throws
// UserError with file and line: an element that is no object, an array that does not end, text behind it.
std::vector<Record> json_array_records(std::string_view text, const std::string& file);

}  // namespace temper
