#include "run/kept_memory.h"

#include <sys/types.h>

#include <cstdlib>
#include <string>

#include "test.h"

using namespace temper;

extern "C" __attribute__((weak)) int mallctl(const char* name, void* old, size_t* old_size, void* value,
                                             size_t size);

TEST_CASE("kept memory is released when it has grown by a tenth of what a step needs") {
  ReleaseRule rule;
  CHECK(!rule.at_step_end(100));  // what a step needs
  CHECK(!rule.at_step_end(105));
  CHECK(!rule.at_step_end(110));
  CHECK(rule.at_step_end(111));
  CHECK(!rule.at_step_end(200));  // a longer step, which began with nothing kept
  CHECK(!rule.at_step_end(210));
  CHECK(rule.at_step_end(240));
}

TEST_CASE("while memory is kept, no arena gives any back, nor does one that a new thread gets") {
  ::unsetenv("MALLOC_CONF");
  if (mallctl == nullptr) {  // a sanitizer's build
    KeptMemory memory;
    CHECK(!memory.keeps());
    memory.end_step();
    return;
  }
  const auto number = [](const std::string& name) {
    ssize_t value = 0;
    size_t size = sizeof value;
    REQUIRE(mallctl(name.c_str(), &value, &size, nullptr, 0) == 0);
    return value;
  };
  const std::string mine = "arena.0.dirty_decay_ms", fresh = "arenas.dirty_decay_ms";
  {
    KeptMemory memory;
    REQUIRE(memory.keeps());
    CHECK(number(mine) == -1);
    CHECK(number(fresh) == -1);
    memory.end_step();
  }
  CHECK(number(mine) == 10000);
  CHECK(number(fresh) == 10000);
}
