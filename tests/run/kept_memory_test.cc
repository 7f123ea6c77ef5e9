#include "run/kept_memory.h"

#include "test.h"

using namespace temper;

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

TEST_CASE("without jemalloc nothing is kept, and nothing happens") {
  KeptMemory memory;
  CHECK(!memory.keeps());
  memory.end_step();
}
