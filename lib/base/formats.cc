#include "base/formats.h"

#include <utility>

#include "base/error.h"

namespace temper {

void refuse_other_formats(std::string_view text, const std::string& where) {
  using namespace std::string_view_literals;
  if (text.starts_with("\xFF\xFE"sv) || text.starts_with("\xFE\xFF"sv) ||
      (text.size() > 1 && (text[0] == '\0') != (text[1] == '\0'))) {
    user_error("{}: UTF-16, expected UTF-8: convert it with iconv -f UTF-16 -t UTF-8", where);
  }
  const std::pair<std::string_view, const char*> packed[] = {{"\x1f\x8b"sv, "gzip"},
                                                             {"\x28\xb5\x2f\xfd"sv, "zstd"},
                                                             {"\xfd"
                                                              "7zXZ"sv,
                                                              "xz"},
                                                             {"PK\x03\x04"sv, "a zip archive"}};
  for (const auto& [magic, name] : packed) {
    if (text.starts_with(magic)) user_error("{}: {}, expected text: unpack it first", where, name);
  }
  if (text.starts_with("PAR1")) user_error("{}: Parquet, expected text: write it as JSONL", where);
}

}  // namespace temper
