#include "run/health.h"

#include <cmath>
#include <limits>

#include "base/error.h"
#include "base/json.h"
#include "base/random.h"
#include "run/not_finite.h"
#include "test.h"

using namespace temper;

namespace {

std::string stop_message(Health& health, int64_t step, double loss, double grad) {
  try {
    health.check(step, loss, grad);
  } catch (const UserError& e) {
    return e.what();
  }
  return "";
}

}  // namespace

TEST_CASE("ordinary runs are left alone") {
  // A falling loss, a policy loss around zero with steps that have no signal, a gradient norm that doubles
  // and halves.
  for (int kind = 0; kind < 3; ++kind) {
    Health health{HealthOptions()};
    RandomStream random(1, "health", static_cast<uint64_t>(kind));
    for (int64_t step = 1; step <= 2000; ++step) {
      const auto t = static_cast<double>(step);
      double loss = kind == 0 ? 2 + 8 * std::exp(-t / 30) + 0.1 * random.normal() : 0.05 * random.normal();
      double grad = std::exp(0.7 * random.normal());
      if (kind == 2 && random.uniform() < 0.6) loss = grad = 0;
      INFO(kind << " step " << step);
      CHECK_FALSE(health.check(step, loss, grad));
    }
    CHECK(health.skipped() == 0);
  }
}

TEST_CASE("what is not a number is skipped, from the first step on") {
  Health health{HealthOptions()};
  CHECK(health.check(1, kNan, 1).value() == "the loss is nan");
  CHECK(health.check(2, -kInf, 1).value() == "the loss is -inf");
  CHECK(health.check(3, 1, kInf).value() == "the gradient norm is inf");
  CHECK_FALSE(health.check(4, 1, 1));
  CHECK(health.skipped() == 3);
}

TEST_CASE("a spike is skipped and does not move the band") {
  Health health{HealthOptions()};
  RandomStream random(1, "spike");
  const auto calm = [&](int64_t from, int64_t to) {
    for (int64_t step = from; step <= to; ++step) {
      CHECK_FALSE(health.check(step, 2 + 0.1 * random.normal(), 1 + 0.1 * random.normal()));
    }
  };
  calm(1, 15);
  CHECK_FALSE(health.check(16, 50, 1));  // too early to tell
  calm(17, 40);
  CHECK(health.check(41, 12, 1).value().find("the loss 12 is far from its running median 2") == 0);
  CHECK(health.check(42, -8, 1));
  CHECK(health.check(43, 2, 40).value().find("the gradient norm 40 is far above its running median") == 0);
  CHECK_FALSE(health.check(44, 2, 0.01));
  calm(45, 60);
  CHECK(health.check(61, 12, 1));
  HealthOptions off;
  off.loss_band = off.grad_band = 0;
  Health lenient(off);
  for (int64_t step = 1; step <= 30; ++step) CHECK_FALSE(lenient.check(step, 1, 1));
  CHECK_FALSE(lenient.check(31, 1e9, 1e9));
}

TEST_CASE("too many in a row, or too large a share, stop the run") {
  Health health{HealthOptions()};
  for (int64_t step = 1; step <= 7; ++step) CHECK(health.check(step, kNan, 1));
  const std::string message = stop_message(health, 8, kNan, 1);
  CHECK(message.find("step 8: stopped after 8 bad steps in a row (health.max_bad_in_a_row)") == 0);
  CHECK(message.find("checkpoint is good") != std::string::npos);
  CHECK(message.find('\n') == std::string::npos);

  Health share{HealthOptions()};
  int64_t stopped = 0;
  for (int64_t step = 1; step <= 200 && stopped == 0; ++step) {
    if (step % 3 != 0) {
      CHECK_FALSE(share.check(step, 1, 1));
    } else if (const std::string why = stop_message(share, step, kNan, 1); !why.empty()) {
      CHECK(why.find("health.max_bad_share") != std::string::npos);
      stopped = step;
    }
  }
  CHECK(stopped == 66);  // the first bad step with 64 behind it

  Health rare{HealthOptions()};
  for (int64_t step = 1; step <= 500; ++step)
    CHECK(rare.check(step, step % 5 == 0 ? kNan : 1, 1).has_value() == (step % 5 == 0));
}

TEST_CASE("a restored state judges as the undisturbed one") {
  const auto loss_at = [](int64_t step) {
    RandomStream random(7, "resume", static_cast<uint64_t>(step));
    return random.uniform() < 0.1 ? kNan : random.uniform() < 0.1 ? 40.0 : 2 + 0.1 * random.normal();
  };
  Health whole{HealthOptions()};
  Health resumed{HealthOptions()};
  for (int64_t step = 1; step <= 150; ++step) {
    const auto row = MetricsRow{.step = step, .values = {{"truncated", 0.9}, {"reward", 0}, {"loss", 0}}};
    CHECK((whole.check(step, loss_at(step), 1.0) == resumed.check(step, loss_at(step), 1.0)));
    CHECK(whole.advise(row) == resumed.advise(row));
    Health next{HealthOptions()};
    next.restore(parse_json(dump_line(resumed.state()), "test"), "test");
    CHECK(dump_line(next.state()) == dump_line(whole.state()));
    resumed = next;
  }
  CHECK(whole.skipped() > 10);
  for (const char* bad :
       {"{}", "[]", R"({"losses":[null],"grads":[],"bad":[],"bad_in_a_row":0,"skipped":0,"said":{}})",
        R"({"losses":3,"grads":[],"bad":[],"bad_in_a_row":0,"skipped":0,"said":{}})"}) {
    Health health{HealthOptions()};
    CHECK_THROWS_AS(health.restore(parse_json(bad, "test"), "test"), UserError);
  }
}

TEST_CASE("advice comes once or seldom") {
  Health health{HealthOptions()};
  const auto advise = [&](int64_t step, NamedValues values, const std::vector<Advice>& of_task = {}) {
    return health.advise({.step = step, .values = std::move(values)}, of_task);
  };
  CHECK(advise(1, {}, {{"loss", true, "as it should be"}}) == std::vector<std::string>{"as it should be"});
  CHECK(advise(500, {}, {{"loss", true, "as it should be"}}).empty());
  CHECK(advise(2, {{"truncated", 0.5}, {"groups_kept", 0.1}, {"rollout_gap", 0.001}}).empty());
  const auto lines = advise(3, {{"truncated", 0.75}, {"groups_kept", 0}});
  REQUIRE(lines.size() == 2);
  CHECK(lines[0].find("75 %") == 0);
  CHECK(advise(52, {{"truncated", 0.75}}).empty());
  CHECK(advise(53, {{"truncated", 0.75}}).size() == 1);
  CHECK(advise(54, {{"rollout_gap", 0.2}}).size() == 1);
  // Null rewards are named before what would be said of rewards that are all equal.
  Health nulls{HealthOptions()};
  const auto said = nulls.advise({.step = 1, .values = {{"groups_kept", 0}, {"null_rewards", 0.25}}});
  REQUIRE(said.size() == 1);
  CHECK(said[0].find("25 % of the rewards are null") == 0);
  CHECK(nulls.advise({.step = 60, .values = {{"groups_kept", 1}, {"null_rewards", 0.25}}}).empty());
  CHECK(nulls.advise({.step = 61, .values = {{"groups_kept", 1}, {"null_rewards", 0.5}}}).size() == 1);
  CHECK(health.advise({.step = 200, .split = "eval", .values = {{"truncated", 1}}}).empty());
  CHECK(health.advise({.step = 200, .split = "eval"}, {{"task", false, "said"}}).empty());
}

TEST_CASE("options: described, and contradictions named") {
  HealthOptions options;
  CHECK(dump_fields(options).size() == 6);
  CHECK_THROWS_AS(read_fields(options, parse_json(R"({"window": 10, "warmup": 20})", "t"), "health", "."),
                  UserError);
}
