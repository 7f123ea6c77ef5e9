// A completion that answers a satisfiability problem.
#include "reward/ksat_answer.h"

#include "fuzz.h"

using namespace temper;

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  const std::string_view text = fuzz::text_of(data, size);
  fuzz::reads([&] {
    const auto answer = read_ksat_answer(text, {"x1", "x2", "Ana", "x10"}, {"comes", "stays away"});
    if (!answer) return;
    fuzz::promise(answer->values.size() == 4, "a value for each variable");
    bool any = false;
    for (const int8_t value : answer->values) any = any || value != 0;
    fuzz::promise(any != answer->unsatisfiable, "values or a claim, not both and not neither");
  });
  return 0;
}
