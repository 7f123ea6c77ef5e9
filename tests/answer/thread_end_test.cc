#include "answer/thread_end.h"

#include <fstream>
#include <thread>

#include "answer/place.h"
#include "answer/same_answer.h"
#include "test.h"

using namespace temper;

namespace {

int64_t resident_kb() {
  int64_t size = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> size >> resident;
  return resident * 4;
}

void compare_on_a_thread() {
  std::thread([] {
    free_caches_at_thread_end();
    const auto half = read_reference("\\frac{\\sqrt{3}+\\pi}{2^{200}}"),
               same = read_reference("(\\pi+\\sqrt{3})/2^{200}");
    CHECK(same_answer(*half, *same, 0) == std::optional(true));
  }).join();
}

}  // namespace

TEST_CASE("threads that have compared answers leave nothing of FLINT's behind") {
  for (int i = 0; i < 20; ++i) compare_on_a_thread();
  const int64_t before = resident_kb();
  for (int i = 0; i < 200; ++i) compare_on_a_thread();
#ifndef __SANITIZE_ADDRESS__               // which holds on to what was freed
  CHECK(resident_kb() - before < 10'000);  // without it, 45 MB
#endif
}
