// Files of records, whatever holds them.
#pragma once

#include <functional>
#include <string>
#include <string_view>

#include "data/records.h"

namespace temper {

// Calls with each record of a file in turn, which read_records() gives all at once. Throws as it does, also
// for a file without records.
// spill: a folder for what a large compressed file unpacks to, meanwhile; empty: it is in memory. With one,
// what was read does not stay in memory either.
void each_record(const std::string& file, const std::function<void(Record)>& take,
                 const std::string& spill = {});

// Of a file that begins so: whether it is plain JSONL, whose records can be read where they stand.
bool is_plain_jsonl(std::string_view begin, const std::string& file);

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

}  // namespace temper
