#include "base/json_end.h"

#include <string>

#include "test.h"

using namespace temper;

TEST_CASE("JSON in other text ends with the bracket that closes it") {
  CHECK(json_end(R"({"a": [1, {}]} and more)", 0) == 14u);
  CHECK(json_end(R"(say ["]", "\"]"] now)", 4) == 16u);  // brackets in strings are words
  CHECK_FALSE(json_end("{\"a\": \"}", 0).has_value());
  CHECK_FALSE(json_end("[[1]", 0).has_value());
  const auto deep = [](size_t n) { return std::string(n, '[') + std::string(n, ']'); };
  CHECK(json_end(deep(512), 0) == 1024u);
  CHECK_FALSE(json_end(deep(513), 0).has_value());
}
