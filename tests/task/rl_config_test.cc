#include "task/rl/config.h"
#include "test.h"

using namespace temper;

TEST_CASE("a loss of about 0 is explained where a policy is trained on rewards") {
  const RlTask task;
  CHECK(task.advise({.step = 1, .values = {{"loss", 1e-9}, {"reward", 0.1}}}).size() == 1);
  CHECK(task.advise({.step = 1, .values = {{"loss", 0.1}, {"reward", 0.1}}}).empty());
  CHECK(task.advise({.step = 1, .values = {{"loss", 1e-9}}}).empty());
}
