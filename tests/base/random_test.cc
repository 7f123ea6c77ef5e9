#include "base/random.h"

#include <algorithm>
#include <cmath>
#include <set>
#include <vector>

#include "test.h"

using temper::RandomStream;

TEST_CASE("random: the name fixes the draws") {
  RandomStream a(1, "rollout", 2, 3), b(1, "rollout", 2, 3);
  for (int i = 0; i < 100; ++i) CHECK(a.next() == b.next());
}

TEST_CASE("random: each part of the name counts") {
  std::set<uint64_t> seen;
  for (const uint64_t seed : {0, 1, 2}) {
    for (const char* purpose : {"rollout", "shuffle", ""}) {
      for (const uint64_t step : {0, 1, 2}) {
        for (const uint64_t index : {0, 1, 2}) seen.insert(RandomStream(seed, purpose, step, index).next());
      }
    }
  }
  CHECK(seen.size() == 81);
}

TEST_CASE("random: the draws of a stream stay what they are") {
  // Resuming a run with a newer build must give the run's own numbers: these are frozen.
  RandomStream s(1, "rollout", 0, 0);
  const uint64_t first = s.next();
  CHECK(first == 6500922888231476475ULL);
  RandomStream t(1, "rollout", 0, 0);
  CHECK(t.uniform() == static_cast<double>(first >> 11) * 0x1.0p-53);
  CHECK(RandomStream(42, "shuffle", 7, 9).permutation(6) == std::vector<int64_t>{0, 4, 1, 5, 3, 2});
}

TEST_CASE("random: moments of uniform and normal") {
  RandomStream s(3, "test");
  double sum = 0, squares = 0, low = 1, high = 0;
  const int n = 200000;
  for (int i = 0; i < n; ++i) {
    const double u = s.uniform();
    low = std::min(low, u);
    high = std::max(high, u);
    sum += u;
    squares += u * u;
  }
  CHECK(low >= 0.0);
  CHECK(high < 1.0);
  CHECK(std::abs(sum / n - 0.5) < 5 * std::sqrt(1.0 / 12 / n));
  CHECK(std::abs(squares / n - 1.0 / 3) < 5 * std::sqrt(4.0 / 45 / n));
  sum = squares = 0;
  double fourth = 0;
  for (int i = 0; i < n; ++i) {
    const double x = s.normal();
    sum += x;
    squares += x * x;
    fourth += x * x * x * x;
  }
  CHECK(std::abs(sum / n) < 5 / std::sqrt(n));
  CHECK(std::abs(squares / n - 1) < 5 * std::sqrt(2.0 / n));
  CHECK(std::abs(fourth / n - 3) < 5 * std::sqrt(96.0 / n));
}

TEST_CASE("random: below is uniform and in range for any bound") {
  RandomStream s(4, "test");
  std::vector<int> counts(7, 0);
  const int n = 70000;
  for (int i = 0; i < n; ++i) ++counts[s.below(7)];
  double chi = 0;
  for (const int c : counts) chi += (c - n / 7.0) * (c - n / 7.0) / (n / 7.0);
  CHECK(chi < 27.9);  // chi-square, 6 degrees of freedom, p = 1e-4
  CHECK(s.below(1) == 0);
  const uint64_t huge = (uint64_t{1} << 63) + 1;
  for (int i = 0; i < 100; ++i) CHECK(s.below(huge) < huge);
}

TEST_CASE("random: a permutation holds every number once, and every order comes") {
  std::set<std::vector<int64_t>> orders;
  for (uint64_t i = 0; i < 400; ++i) {
    auto p = RandomStream(5, "shuffle", i).permutation(4);
    orders.insert(p);
    std::sort(p.begin(), p.end());
    CHECK(p == std::vector<int64_t>{0, 1, 2, 3});
  }
  CHECK(orders.size() == 24);
  CHECK(RandomStream(5, "x").permutation(0).empty());
}
