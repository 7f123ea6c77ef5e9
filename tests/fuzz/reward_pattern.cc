// A reward's expression, a zero byte, and a completion.
#include "fuzz.h"
#include "reward/pattern.h"

using namespace temper;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view all = fuzz::text_of(data, size);
  const size_t zero = all.find('\0');
  const std::string text(zero == std::string_view::npos
                             ? "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaab <think>x</think> 12\n"
                             : all.substr(zero + 1));
  fuzz::reads([&] {
    const Pattern pattern(std::string(all.substr(0, zero)),
                          {.ignore_case = size % 2 == 0, .whole = size % 3 == 0}, "pattern");
    pattern.matches(text);
  });
  return 0;
}
