// A completion that a verifier looks for its answer in.
#include "fuzz.h"
#include "reward/answer.h"
#include "reward/normalise.h"

using namespace temper;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = fuzz::text_of(data, size);
  fuzz::reads([&] {
    for (const std::string& place : answer_places()) {
      find_answer(text, place);
      read_answer(text, place, false);
      read_answer(text, place, true);
    }
    const std::optional<Number> found[] = {read_reference(text), read_number(text), read_sentence(text),
                                           read_last(text)};
    for (const auto& a : found) {
      if (!a) continue;
      canonical(*a);
      a->value.to_string();
      fuzz::promise(same_number(*a, *a), "a number that is not itself");
      for (const auto& b : found)
        fuzz::promise(!b || same_number(*a, *b) == same_number(*b, *a), "equality that is not symmetric");
    }
    normalised(text, {.ignore_case = true, .ignore_punctuation = true, .whitespace = "collapse"});
  });
  return 0;
}
