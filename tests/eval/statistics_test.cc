// The later statistics against scipy, exact counting and simulated truth.
#include <algorithm>
#include <cmath>

#include "base/json.h"
#include "eval/compare.h"
#include "eval/draws.h"
#include "eval/metrics.h"
#include "eval/normal.h"
#include "eval/power_law.h"
#include "eval/weak_verifier.h"
#include "test.h"

using namespace temper;

namespace {

const Json& evaluation_golden() {
  static const Json json = read_json_file(test_file("eval/golden/evaluation.json"));
  return json;
}

bool holds(const Interval& interval, double value) {
  return interval.low <= value && value <= interval.high;
}

double beta_of(RandomStream& random, double a, double b) {  // shapes below 1 by Johnk's method
  while (true) {
    const double x = std::pow(random.uniform(), 1 / a), y = std::pow(random.uniform(), 1 / b);
    if (x + y <= 1 && x + y > 0) return x / (x + y);
  }
}

int64_t binomial(RandomStream& random, int64_t n, double p) {
  int64_t out = 0;
  for (int64_t i = 0; i < n; ++i) out += random.uniform() < p ? 1 : 0;
  return out;
}

}  // namespace

TEST_CASE("normal: two variables equal the integral of the definition") {
  for (const Json& row : evaluation_golden()["bivariate"]) {
    CAPTURE(row.dump());
    CHECK(std::abs(bivariate_normal_cdf(row[0], row[1], row[2]) - row[3].get<double>()) < 3e-14);
  }
  for (const Json& row : evaluation_golden()["quantile"]) {
    CAPTURE(row.dump());
    CHECK(normal_quantile(row[0]) == doctest::Approx(row[1].get<double>()).epsilon(1e-13));
  }
  CHECK(std::isinf(normal_quantile(0)));
  CHECK(normal_quantile(0.5) == 0.0);
}

TEST_CASE("normal: the correlation of a table is that it was made with") {
  for (const double rho : {-0.9999, -0.6, 0.0, 0.3, 0.95, 0.99999}) {
    for (const double x : {-1.5, 0.0, 0.7}) {
      const double p = bivariate_normal_cdf(x, -0.2, rho);
      CAPTURE(rho);
      CAPTURE(x);
      // Where the chance hardly depends on the correlation, it is the chance that must come back.
      CHECK(std::abs(bivariate_normal_cdf(x, -0.2, correlation_of(x, -0.2, p)) - p) < 1e-12);
    }
  }
  CHECK(correlation_of(0, 0, 0.25 + std::asin(0.5) / (2 * M_PI)) == doctest::Approx(0.5).epsilon(1e-9));
  CHECK(correlation_of(0, 0, 0.9) > 0.999999);  // out of reach
}

TEST_CASE("draws: gamma's quantiles") {
  for (const Json& row : evaluation_golden()["gamma"]) {
    RandomStream random(1, "test");
    std::vector<double> below(3);
    for (int i = 0; i < 20000; ++i) {
      const double x = gamma_draw(random, row[0]);
      for (size_t q = 0; q < 3; ++q) below[q] += x < row[q + 1].get<double>() ? 1.0 / 20000 : 0.0;
    }
    CHECK(below[0] == doctest::Approx(0.1).epsilon(0.07));
    CHECK(below[1] == doctest::Approx(0.5).epsilon(0.03));
    CHECK(below[2] == doctest::Approx(0.9).epsilon(0.02));
  }
  const Interval all = weighted_interval({3, 1, 2}, {}, 0.95);
  CHECK(all.low == 1);
  CHECK(all.high == 3);
  const Interval heavy = weighted_interval({3, 1, 2}, {0.01, 0.01, 1}, 0.9);
  CHECK(heavy.low == 2);
  CHECK(heavy.high == 2);
}

TEST_CASE("compare: paired accuracies equal draws from the paper's prior") {
  for (const Json& row : evaluation_golden()["paired"]) {
    CAPTURE(row.dump());
    const PairedTable table{row["table"][0], row["table"][1], row["table"][2], row["table"][3]};
    const Difference d = compare_paired(table, 0.95, 1, 60000);
    const double noise = 3 / std::sqrt(row["size"].get<double>());  // of the oracle's own draws
    const double width = row["high"].get<double>() - row["low"].get<double>();
    CHECK(std::abs(d.first_better - row["p"].get<double>()) < 0.006 + noise);
    CHECK(std::abs(d.interval.low - row["low"].get<double>()) < (0.03 + noise) * width);
    CHECK(std::abs(d.interval.high - row["high"].get<double>()) < (0.03 + noise) * width);
  }
  for (const Json& row : evaluation_golden()["unpaired"]) {
    CAPTURE(row.dump());
    const Difference d = compare_unpaired(row[0], row[1], row[2], row[3], 0.95, 1, 100000);
    CHECK(std::abs(d.first_better - row[4].get<double>()) < 0.006);
  }
}

TEST_CASE("compare: the same numbers again, turned round, and for equal files") {
  const PairedTable t{40, 9, 4, 17};
  const Difference once = compare_paired(t, 0.95, 7), again = compare_paired(t, 0.95, 7);
  CHECK(once.first_better == again.first_better);
  CHECK(once.interval.low == again.interval.low);
  CHECK(compare_paired(t, 0.95, 8).interval.low != once.interval.low);
  const Difference turned = compare_paired({40, 4, 9, 17}, 0.95, 7);
  CHECK(std::abs(turned.first_better + once.first_better - 1) < 0.02);
  for (const double n : {1.0, 50.0, 5000.0}) {
    const Difference same = compare_paired({n, 0, 0, n}, 0.95, 1);
    CHECK(std::abs(same.first_better - 0.5) < 0.03);
    CHECK(same.value == 0.0);
    CHECK(same.interval.high < 4 / n + 0.5);
    CHECK(holds(same.interval, 0));
  }
  CHECK(compare_numbers({0, 0, 0}, 0.95, 1).first_better == 0.5);
  CHECK(compare_numbers({0.5}, 0.95, 1).interval.low == 0.5);
  // What depends on few prompts: all the weight is theirs.
  CHECK(compare_numbers({1, 1, 2, 1.5}, 0.95, 1).first_better == 1.0);
}

TEST_CASE("compare: a table of shares") {
  const PairedTable one = paired_table({{1, 1}, {1, 0}, {0, 1}, {0, 0}, {1, 0}}, 1);
  CHECK(one.both == 1);
  CHECK(one.first == 2);
  CHECK(one.second == 1);
  CHECK(one.neither == 1);
  // Prompts that differ by nothing but the draws: many samples count as that many times the prompts, at most.
  const PairedTable alike = paired_table({{0.5, 0.25}, {0.75, 0.5}, {0.5, 0.5}, {0.25, 0.0}}, 4);
  CHECK(alike.prompts() == doctest::Approx(16));
  // Prompts that all samples agree on: no more than the prompts.
  CHECK(paired_table({{1, 0}, {0, 1}, {1, 1}, {0, 0}}, 8).prompts() == doctest::Approx(4));
  CHECK(paired_table({{0.5, 0.5}, {0.5, 0.5}}, 8).prompts() == doctest::Approx(2));  // no spread to judge by
  CHECK(paired_table({}, 1).prompts() == 0);
}

// Prompts of a difficulty that both models share; the truth is the difference of their chances over all
// prompts that there are.
TEST_CASE("compare: intervals hold the truth as often as they say") {
  constexpr int kTrials = 400;
  for (const auto& [prompts, samples] : {std::pair{20, 1}, {100, 1}, {40, 8}}) {
    int held = 0, held_numbers = 0;
    for (int trial = 0; trial < kTrials; ++trial) {
      RandomStream random(3, "coverage", static_cast<uint64_t>(prompts), static_cast<uint64_t>(trial));
      std::vector<std::pair<double, double>> shares;
      std::vector<double> differences;
      for (int p = 0; p < prompts; ++p) {
        const double hard = random.uniform();  // A solves with (1 + hard) / 2, B with hard: 0.25 apart
        shares.emplace_back(static_cast<double>(binomial(random, samples, (1 + hard) / 2)) / samples,
                            static_cast<double>(binomial(random, samples, hard)) / samples);
        differences.push_back(shares.back().first - shares.back().second);
      }
      held += holds(compare_paired(paired_table(shares, samples), 0.95, 1, 2000).interval, 0.25) ? 1 : 0;
      held_numbers += holds(compare_numbers(differences, 0.95, 1, 1000).interval, 0.25) ? 1 : 0;
    }
    MESSAGE(prompts << " prompts, " << samples << " samples: paired " << held << " of " << kTrials
                    << ", bootstrap " << held_numbers);
    CHECK(held >= 0.925 * kTrials);  // 95 % less two standard errors of 400 trials
    CHECK(held_numbers >= 0.86 * kTrials);
  }
}

TEST_CASE("power law: fits as scipy's curve_fit does") {
  for (const Json& row : evaluation_golden()["law"]) {
    const auto k = row["k"].get<std::vector<double>>();
    const auto law = fit_power_law(k, row["coverage"].get<std::vector<double>>());
    REQUIRE(law);
    CHECK(law->a == doctest::Approx(row["a"].get<double>()).epsilon(1e-6));
    CHECK(law->b == doctest::Approx(row["b"].get<double>()).epsilon(1e-6));
    const auto points = law_points(row["n"]);
    CHECK(std::vector<double>(points.begin(), points.end()) == k);
    const auto whole = extrapolate(row["n"], row["correct"].get<std::vector<int64_t>>(), {10000}, 0.95, 1);
    REQUIRE(whole);
    CHECK(whole->beyond[0].first == doctest::Approx(row["at_1e4"].get<double>()).epsilon(1e-6));
    CHECK(holds(whole->beyond[0].second, whole->beyond[0].first));
  }
  const auto exact =
      fit_power_law({1, 2, 4, 8}, {std::exp(-2.0), std::exp(-2 * std::pow(2, -0.4)),
                                   std::exp(-2 * std::pow(4, -0.4)), std::exp(-2 * std::pow(8, -0.4))});
  REQUIRE(exact);
  CHECK(exact->a == doctest::Approx(-2));
  CHECK(exact->b == doctest::Approx(-0.4));
  CHECK_FALSE(fit_power_law({1, 2, 4}, {0, 0, 0}));
  CHECK_FALSE(fit_power_law({1, 2, 4}, {1, 1, 1}));
  CHECK_FALSE(fit_power_law({1}, {0.5}));
  CHECK_FALSE(extrapolate(8, {}, {100}, 0.95, 1));
  CHECK_FALSE(extrapolate(8, {0, 0, 0}, {100}, 0.95, 1));
  CHECK(law_points(1) == std::vector<int64_t>{1});
}

// Chances of prompts as the paper finds them, with a heavy tail at 0: coverage follows a power law of k.
TEST_CASE("power law: what it says of ten times the samples") {
  constexpr int kTrials = 60, kPrompts = 100, kSamples = 100;
  const double a = 0.3, b = 3.0;
  // Mean pass@1000 of Beta(a, b): 1 - B(a, b + 1000) / B(a, b).
  const double truth =
      1 - std::exp(std::lgamma(b + 1000) + std::lgamma(a + b) - std::lgamma(a + b + 1000) - std::lgamma(b));
  int held = 0;
  double error = 0;
  for (int trial = 0; trial < kTrials; ++trial) {
    RandomStream random(5, "coverage", 0, static_cast<uint64_t>(trial));
    std::vector<int64_t> correct;
    for (int p = 0; p < kPrompts; ++p) correct.push_back(binomial(random, kSamples, beta_of(random, a, b)));
    const auto found = extrapolate(kSamples, correct, {1000}, 0.95, 1);
    REQUIRE(found);
    held += holds(found->beyond[0].second, truth) ? 1 : 0;
    error += (found->beyond[0].first - truth) / kTrials;
  }
  MESSAGE("pass@1000 of " << truth << ": held " << held << " of " << kTrials << ", mean error " << error);
  CHECK(held >= 0.85 * kTrials);
  CHECK(std::abs(error) < 0.05);
}

TEST_CASE("weak verifier: the first pass is counted as all orders count it") {
  for (const Json& row : evaluation_golden()["first_pass"]) {
    CAPTURE(row.dump());
    const int64_t n = row[0], right = row[1], wrong = row[2], k = row[3];
    const WeakVerifier worth = judge_verifier({{n, right, wrong, right}}, 2.0, 0.95);
    REQUIRE(static_cast<int64_t>(worth.curve.size()) == n);
    const VerifiedAttempts& a = worth.curve[static_cast<size_t>(k - 1)];
    CHECK(a.true_accept.value == doctest::Approx(row[4].get<double>()));
    CHECK(a.false_accept.value == doctest::Approx(row[5].get<double>()));
    CHECK(a.value == doctest::Approx(row[4].get<double>() - 2 * row[5].get<double>()));
  }
}

TEST_CASE("weak verifier: rates, and when to stop") {
  // One prompt is easy and verified well, in the other only wrong answers pass.
  const std::vector<VerifiedPrompt> prompts = {{4, 3, 0, 3}, {4, 0, 1, 0}};
  const WeakVerifier worth = judge_verifier(prompts, 3.0, 0.95);
  CHECK(worth.false_positive_rate.value == doctest::Approx(1.0 / 5));
  CHECK(worth.true_positive_rate.value == 1.0);
  CHECK(worth.correct_given_pass.value == doctest::Approx(3.0 / 4));
  CHECK(worth.false_positive_rate.prompts == 2);
  CHECK(worth.true_positive_rate.prompts == 1);
  // k = 1: (3/4 - 3/4) / 2 = 0; k = 2: (1 - 3/2) / 2 < 0: with so dear a mistake none is worth it.
  CHECK(worth.curve[0].value == doctest::Approx(0));
  CHECK(worth.best_k == 0);
  CHECK(worth.best_value == 0);
  const WeakVerifier cheap = judge_verifier(prompts, 0.5, 0.95);
  CHECK(cheap.best_k == 2);                             // k = 1: 0.3125; 2: 0.375; 3: 0.3125
  CHECK(judge_verifier(prompts, 0, 0.95).best_k == 2);  // the smallest of equal ones
  const WeakVerifier silent = judge_verifier({{2, 0, 0, 1}}, 1, 0.95);
  CHECK(silent.correct_given_pass.prompts == 0);
  CHECK(silent.best_k == 0);
  CHECK(judge_verifier({}, 1, 0.95).curve.empty());
}

TEST_CASE("weak verifier: intervals hold the truth as often as they say") {
  constexpr int kTrials = 400;
  for (const auto& [prompts, samples] : {std::pair{20, 4}, {60, 16}}) {
    int rate = 0, ceiling = 0, value = 0;
    for (int trial = 0; trial < kTrials; ++trial) {
      RandomStream random(4, "coverage", static_cast<uint64_t>(prompts), static_cast<uint64_t>(trial));
      std::vector<VerifiedPrompt> all;
      for (int p = 0; p < prompts; ++p) {
        const double chance = random.uniform();
        VerifiedPrompt v{samples};
        for (int s = 0; s < samples; ++s) {
          const bool right = random.uniform() < chance, passes = random.uniform() < (right ? 0.9 : 0.15);
          v.right += right ? 1 : 0;
          v.passes_right += right && passes ? 1 : 0;
          v.passes_wrong += !right && passes ? 1 : 0;
        }
        all.push_back(v);
      }
      const WeakVerifier w = judge_verifier(all, 1.0, 0.95);
      rate += holds(w.false_positive_rate.interval, 0.15) ? 1 : 0;
      ceiling += holds(w.correct_given_pass.interval, 0.9 / (0.9 + 0.15)) ? 1 : 0;  // half of all are right
      value += holds(w.curve[0].interval, (0.9 - 0.15) / 2) ? 1 : 0;
    }
    MESSAGE(prompts << " prompts, " << samples << " samples: rate " << rate << ", right given pass "
                    << ceiling << ", value " << value << " of " << kTrials);
    for (const int held : {rate, ceiling, value}) CHECK(held >= 0.92 * kTrials);
  }
  CHECK(holds(ratio_interval({}, {}, 0.95), 0.5));
  CHECK(ratio_interval({0, 0, 0}, {8, 8, 8}, 0.95).high == doctest::Approx(beta_interval(0, 3).high));
}
