// A JSON Schema, a zero byte, and a completion.
#include "reward/text/json_schema.h"

#include "fuzz.h"
#include "reward/text/json_reward.h"

using namespace temper;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view all = fuzz::text_of(data, size);
  const size_t zero = all.find('\0');
  const std::string text(zero == std::string_view::npos ? "So:\n```json\n{\"a\": [1, \"b\", null]}\n```\n"
                                                        : all.substr(zero + 1));
  fuzz::reads([&] {
    const JsonSchema schema(parse_json(std::string(all.substr(0, zero)), "schema"), "schema");
    for (const char* extract : {"all", "fenced", "first"}) {
      if (const auto value = find_json(text, extract)) schema.fits(*value);
    }
  });
  return 0;
}
