// Files that gzip or zstd made smaller.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <string>
#include <string_view>

namespace temper {

// A small file must not fill the memory: it may become this many times as large, or kUnpackedAlways bytes,
// and none more than kUnpackedMost.
constexpr uint64_t kUnpackedRatio = 200;
constexpr uint64_t kUnpackedAlways = 64ULL << 20;
constexpr uint64_t kUnpackedMost = 4ULL << 30;

// The bound for a file of so many bytes.
uint64_t most_unpacked(uint64_t packed_bytes);

// Whether a file that begins so is one of the two.
bool is_compressed(std::string_view begin);

// What a gzip or zstd file holds, all of its members or frames; nullopt: it begins like neither. Throws
// UserError, naming `where`, for one that is cut short or damaged, for bytes behind its end, and for more
// than the bounds above.
std::optional<std::string> decompressed(std::string_view bytes, const std::string& where);
// The same, piece by piece; false: it begins like neither.
bool decompress(std::string_view bytes, const std::string& where,
                const std::function<void(std::string_view)>& take);

}  // namespace temper
