#include "eval/metrics.h"

#include <cmath>
#include <limits>

#include "base/json.h"
#include "base/random.h"
#include "test.h"

using namespace temper;

namespace {

const Json& metrics_golden() {
  static const Json json = read_json_file(test_file("eval/golden/metrics.json"));
  return json;
}

// Relative to the larger of both, with an absolute floor.
bool close(double a, double b, double tolerance) {
  return std::abs(a - b) <= tolerance * std::max({std::abs(a), std::abs(b), 1e-12});
}

std::vector<Vote> votes(const std::string& letters) {  // capital: correct; '.': no answer
  std::vector<Vote> out;
  for (const char c : letters) {
    if (c == '.')
      out.push_back({std::nullopt, false});
    else
      out.push_back({std::string(1, static_cast<char>(std::tolower(c))), std::isupper(c) != 0});
  }
  return out;
}

}  // namespace

TEST_CASE("metrics: pass@k and G-Pass@k equal exact counting") {
  for (const Json& row : metrics_golden()["pass"]) {
    CAPTURE(row.dump());
    CHECK(close(pass_at_k(row[0], row[1], row[2]), row[3], 1e-11));
    CHECK(close(g_pass_at_k(row[0], row[1], row[2], 0.0), row[3], 1e-9));  // tau -> 0 is pass@k
  }
  for (const Json& row : metrics_golden()["g_pass"]) {
    CAPTURE(row.dump());
    CHECK(close(g_pass_at_k(row[0], row[1], row[2], row[3]), row[4], 1e-9));
  }
  for (const Json& row : metrics_golden()["mg_pass"]) {
    CAPTURE(row.dump());
    CHECK(close(mg_pass_at_k(row[0], row[1], row[2]), row[3], 1e-9));
  }
  CHECK(pass_at_k(10, 3, 1) == doctest::Approx(0.3).epsilon(1e-15));
  CHECK(g_pass_at_k(10, 7, 10, 0.7) == doctest::Approx(1.0));  // 0.7 * 10 in doubles is above 7
  CHECK_THROWS_AS(pass_at_k(4, 2, 5), std::logic_error);
  CHECK_THROWS_AS(pass_at_k(4, 5, 2), std::logic_error);
  CHECK_THROWS_AS(g_pass_at_k(4, 2, 0, 0.5), std::logic_error);
}

TEST_CASE("metrics: majority votes") {
  CHECK(majority(votes("abb")) == "b");
  CHECK(majority(votes("ab")) == "a");  // the earlier one wins a tie
  CHECK(majority(votes("abba")) == "a");
  CHECK(majority(votes("..b")) == "b");  // who gives no answer has no vote
  CHECK_FALSE(majority(votes("..")).has_value());
  CHECK_FALSE(majority({}).has_value());
  CHECK(maj_at_k(votes("Abb"), 3) == 0.0);
  CHECK(maj_at_k(votes("AAb"), 3) == 1.0);
  CHECK(maj_at_k(votes("Ab"), 2) == 1.0);
  CHECK(maj_at_k(votes("bA"), 2) == 0.0);
  CHECK(maj_at_k(votes("..A"), 3) == 1.0);
  CHECK(maj_at_k(votes("..."), 3) == 0.0);
  CHECK(maj_at_k(votes("AbAbb"), 1) == doctest::Approx(0.4));
  CHECK(maj_at_k(votes("AbbAbbA"), 3) == 0.0);  // two blocks of three, the seventh is left over
  CHECK(maj_at_k(votes("AAbbbA"), 3) == 0.5);
  CHECK_THROWS_AS(maj_at_k(votes("ab"), 3), std::logic_error);
}

TEST_CASE("metrics: the incomplete beta function and its inverse equal scipy's") {
  for (const Json& row : metrics_golden()["incomplete_beta"]) {
    CAPTURE(row.dump());
    CHECK(close(incomplete_beta(row[0], row[1], row[2]), row[3], 1e-9));
  }
  RandomStream random(1, "beta");
  for (int i = 0; i < 200; ++i) {
    const double a = std::exp(6 * random.uniform() - 1), b = std::exp(6 * random.uniform() - 1),
                 p = random.uniform();
    const double x = incomplete_beta_inverse(a, b, p);
    CHECK(std::abs(incomplete_beta(a, b, x) - p) < 1e-9);
  }
  CHECK(incomplete_beta_inverse(2, 3, 0) == 0);
  CHECK(incomplete_beta_inverse(2, 3, 1) == 1);
  CHECK(incomplete_beta_inverse(0.01, 1, 1e-6) >= 0);
}

TEST_CASE("metrics: Beta intervals equal scipy's") {
  for (const Json& row : metrics_golden()["beta"]) {
    CAPTURE(row.dump());
    const Interval i = beta_interval(row[0], row[1], row[2]);
    CHECK(close(i.low, row[3], 1e-8));
    CHECK(close(i.high, row[4], 1e-8));
  }
}

TEST_CASE("metrics: t intervals equal scipy's") {
  for (const Json& row : metrics_golden()["t"]) {
    CAPTURE(row.dump());
    const Interval i = mean_interval(row[0].get<std::vector<double>>());
    CHECK(close(i.low, row[1], 1e-8));
    CHECK(close(i.high, row[2], 1e-8));
  }
  CHECK(mean_interval({1.0}).high == std::numeric_limits<double>::infinity());
}

TEST_CASE("metrics: the interval of shares") {
  // One sample a prompt: the Beta interval itself.
  std::vector<double> shares(100, 0.0);
  for (int i = 0; i < 30; ++i) shares[static_cast<size_t>(i)] = 1.0;
  const Interval one = share_interval(shares), beta = beta_interval(30, 70);
  CHECK(one.low == doctest::Approx(beta.low).epsilon(1e-12));
  CHECK(one.high == doctest::Approx(beta.high).epsilon(1e-12));
  // Samples of one prompt that always agree say no more than one sample does.
  CHECK(share_interval(shares, 16).low == doctest::Approx(beta.low).epsilon(1e-12));
  // Prompts that are all alike: every sample counts.
  const std::vector<double> alike(100, 0.25);
  const Interval all = share_interval(alike, 8), pooled = beta_interval(200, 600);
  CHECK(all.low == doctest::Approx(pooled.low).epsilon(1e-12));
  CHECK(all.high == doctest::Approx(pooled.high).epsilon(1e-12));
  // All right: no more certain than one sample a prompt.
  CHECK(share_interval(std::vector<double>(20, 1.0), 8).low ==
        doctest::Approx(beta_interval(20, 0).low).epsilon(1e-12));
  CHECK(share_interval({}).low == 0.0);
  CHECK(share_interval({}).high == 1.0);
}

TEST_CASE("metrics: the interval of shares covers as often as it says") {
  // Prompts of different difficulty, four samples each; the truth is the mean difficulty of their population.
  RandomStream random(7, "coverage");
  const int trials = 2000;
  int covered = 0;
  for (int t = 0; t < trials; ++t) {
    std::vector<double> shares;
    for (int prompt = 0; prompt < 40; ++prompt) {
      const double difficulty = random.uniform() < 0.3 ? 0.9 : 0.2;
      int right = 0;
      for (int s = 0; s < 4; ++s) right += random.uniform() < difficulty ? 1 : 0;
      shares.push_back(right / 4.0);
    }
    const Interval i = share_interval(shares, 4);
    covered += i.low <= 0.41 && 0.41 <= i.high ? 1 : 0;
  }
  CHECK(covered / static_cast<double>(trials) > 0.93);
  CHECK(covered / static_cast<double>(trials) < 0.975);
}
