// Files in columns: Parquet, and Arrow as a stream or a file, as Hugging Face's datasets keeps them.
#pragma once

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <vector>

#include "base/json.h"

namespace temper {

// "Parquet" or "Arrow" by the first bytes; nullptr: neither.
const char* columns_kind(std::string_view bytes);

// Calls `row` with each row as an object: lists and structs as lists and objects, a struct's null fields left
// out (Arrow fills in what the structs of other rows have), times and decimals as text, a number that is not
// finite as null. Throws UserError, naming `where`, for a file that is cut short or damaged, for bytes that
// are no text, for more than decompress.h's bounds of values, and where this build has no reader.
void read_columns(std::string_view bytes, const std::string& where, const std::function<void(Json)>& row);

// The files of a folder that datasets' save_to_disk wrote, in order. Throws UserError for a folder of splits,
// naming them, and for any other folder.
std::vector<std::string> saved_files(const std::string& folder);

// What the module libtemper_columns.so has under this name: it alone is linked with Arrow, whose library
// brings an OpenSSL of its own into every program that it is linked with.
constexpr const char* kReadColumns = "temper_read_columns";
using ReadColumns = void(std::string_view bytes, const std::string& where, uint64_t most_bytes,
                         const std::function<void(Json)>& row);

}  // namespace temper
