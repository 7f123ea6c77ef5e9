// Records as JSON text.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "data/records.h"

namespace temper {

using TakeRecord = std::function<void(Record)>;

// JSONL: an object a line; blank lines are passed over. Throws UserError with file and line.
void jsonl_records(std::string_view text, const std::string& file, const TakeRecord& take);

// One line of it. first: of the file's records. Throws UserError with file and line.
Record jsonl_record(std::string_view row, const std::string& file, int64_t line, bool first);
// Whether there is nothing but white space.
bool blank_line(std::string_view row);

// A JSON array of objects, on one line or on many; a record's line is the one that it begins on. Throws
// UserError with file and line: an element that is no object, an array that does not end, text behind it.
void json_array_records(std::string_view text, const std::string& file, const TakeRecord& take);

}  // namespace temper
