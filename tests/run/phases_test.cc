#include "run/phases.h"

#include <cmath>

#include "test.h"

using namespace temper;

namespace {

// A clock whose time passes when it is told to.
struct Hand {
  std::chrono::steady_clock::time_point now{};
  PhaseClock clock{[this] { return now; }};
  void pass(int seconds) { now += std::chrono::seconds(seconds); }
};

double sum(const NamedValues& times) {
  double out = 0;
  for (const auto& [name, value] : times) out += value;
  return out;
}

}  // namespace

TEST_CASE("phases: one inside another stops the other's clock, and all are the whole") {
  Hand h;
  h.pass(1);
  {
    const auto data = h.clock.in(Phase::kData);
    h.pass(2);
  }
  h.pass(4);
  h.clock.rest_is(Phase::kOther);
  h.pass(8);
  {
    const auto forward = h.clock.in(Phase::kForward);
    h.pass(16);
    {
      const auto head = h.clock.in(Phase::kHead);
      h.pass(32);
      const auto again = h.clock.in(Phase::kHead);
      h.pass(64);
    }
    h.pass(128);
  }
  h.pass(256);
  const NamedValues times = h.clock.take();
  CHECK(times == NamedValues{{"phase/start", 5},
                             {"phase/data", 2},
                             {"phase/forward", 144},
                             {"phase/head", 96},
                             {"phase/other", 264}});
  CHECK(sum(times) == 511);
  CHECK(h.clock.take().empty());
}

TEST_CASE("phases: what is entered within an evaluation or a checkpoint is part of it") {
  Hand h;
  h.clock.rest_is(Phase::kOther);
  {
    const auto evaluation = h.clock.in(Phase::kEvaluation);
    h.pass(1);
    {
      const auto generate = h.clock.in(Phase::kGenerate);
      h.pass(2);
      const auto saving = h.clock.in(Phase::kCheckpoint);
      h.pass(4);
    }
    h.pass(8);
  }
  h.pass(16);
  {
    const auto saving = h.clock.in(Phase::kCheckpoint);
    const auto data = h.clock.in(Phase::kData);
    h.pass(32);
  }
  CHECK(h.clock.take() ==
        NamedValues{{"phase/evaluation", 15}, {"phase/checkpoint", 32}, {"phase/other", 16}});
}

TEST_CASE("phases: a phase goes on over a row's end, and one that an exception leaves has ended") {
  Hand h;
  h.clock.rest_is(Phase::kOther);
  try {
    const auto generate = h.clock.in(Phase::kGenerate);
    h.pass(1);
    CHECK(h.clock.take() == NamedValues{{"phase/generate", 1}});
    h.pass(2);
    throw 1;
  } catch (int) {
  }
  h.pass(4);
  CHECK(h.clock.take() == NamedValues{{"phase/generate", 2}, {"phase/other", 4}});
}

TEST_CASE("phases: the real clock's sum is the time that passed") {
  const auto start = std::chrono::steady_clock::now();
  PhaseClock clock;
  const auto made = std::chrono::steady_clock::now();
  for (int i = 0; i < 1000; ++i) {
    const auto forward = clock.in(Phase::kForward);
    const auto head = clock.in(Phase::kHead);
  }
  const auto before = std::chrono::steady_clock::now();
  const double all = sum(clock.take());
  const auto end = std::chrono::steady_clock::now();
  CHECK(all >= std::chrono::duration<double>(before - made).count() - 1e-9);
  CHECK(all <= std::chrono::duration<double>(end - start).count() + 1e-9);
}

TEST_CASE("phases: rows add up, in the order of a step, and read as a line") {
  const std::vector<MetricsRow> rows = {
      {.step = 0, .split = "eval", .values = {}, .time = {{"phase/evaluation", 10}, {"phase/start", 20}}},
      {.step = 1,
       .values = {},
       .time = {{"seconds", 99}, {"phase/other", 1}, {"phase/generate", 30}, {"phase/x", 7}}},
      {.step = 2, .values = {}, .time = {{"phase/generate", 31}, {"phase/forward", std::nan("")}}}};
  const auto sums = phase_seconds(rows, {{"phase/checkpoint", 8}});
  REQUIRE(sums.size() == 5);
  CHECK(phase_line(sums) ==
        "time: start 20 %, generate 61 %, evaluation 10 %, checkpoint 8 %, other 1 % of 1m 40s");
  CHECK(phase_line({{Phase::kData, 0.004}, {Phase::kForward, 0.996}}) ==
        "time: data 0.4 %, forward 100 % of 1s");
  CHECK(phase_line({}).empty());
  CHECK(phase_seconds({}).empty());
}
