// A completion that a verifier looks for its answer in.
#include "answer/number.h"
#include "answer/place.h"
#include "answer/same_answer.h"
#include "answer/vote.h"
#include "fuzz.h"

using namespace temper;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = fuzz::text_of(data, size);
  fuzz::reads([&] {
    for (const std::string& place : answer_places()) {
      find_answer(text, place);
      read_answer(text, place, false, Looking::kNumbers);
      read_answer(text, place, true, Looking::kAny);
    }
    const std::optional<Number> numbers[] = {read_number(text), read_sentence(text), read_last(text)};
    for (const auto& a : numbers) {
      if (!a) continue;
      canonical(*a);
      fuzz::promise(same_number(*a, *a), "a number that is not itself");
      for (const auto& b : numbers)
        fuzz::promise(!b || same_number(*a, *b) == same_number(*b, *a), "equality that is not symmetric");
    }
    // The two halves, so that different answers meet.
    const size_t middle = text.find('\n');
    const auto whole = read_reference(text), left = read_reference(text.substr(0, middle)),
               right = read_answer(middle == std::string_view::npos ? text : text.substr(middle + 1), "auto",
                                   false, Looking::kAny);
    for (const auto* a : {&whole, &left, &right}) {
      if (!*a) continue;
      to_string(**a);
      vote(**a);
      fuzz::promise(same_answer(**a, **a, 1e-6) != std::optional(false), "an answer that is not itself");
    }
    if (left && right) {
      same_answer(*left, *right, 1e-6);
      same_answer(*right, *left, 0);
    }
  });
  return 0;
}
