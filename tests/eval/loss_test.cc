#include "eval/loss.h"

#include <algorithm>
#include <cmath>

#include "base/random.h"
#include "test.h"

using namespace temper;

TEST_CASE("loss: the mean over tokens, not over records, and its interval over records") {
  // Five records; the last has no target and counts for nothing.
  const LossFigure figure = loss_figure({{2, 1}, {6, 4}, {3, 3}, {10, 4}, {0.5, 1}, {7, 0}});
  CHECK(figure.records == 5);
  CHECK(figure.tokens == 13);
  const double loss = 21.5 / 13;
  CHECK(figure.loss == doctest::Approx(loss).epsilon(1e-12));
  // sqrt(n / (n - 1) sum (nll - loss tokens)^2) / sum(tokens), and the t quantile of 4 degrees of freedom.
  double squares = 0;
  for (const auto& [nll, tokens] : {std::pair{2.0, 1.0}, {6, 4}, {3, 3}, {10, 4}, {0.5, 1}})
    squares += std::pow(nll - loss * tokens, 2);
  const double half = 2.7764451051978 * std::sqrt(5.0 / 4 * squares) / 13;
  CHECK(figure.loss_interval.low == doctest::Approx(loss - half).epsilon(1e-9));
  CHECK(figure.loss_interval.high == doctest::Approx(loss + half).epsilon(1e-9));
  CHECK(figure.perplexity == doctest::Approx(std::exp(loss)).epsilon(1e-12));
  CHECK(figure.perplexity_interval.high == doctest::Approx(std::exp(loss + half)).epsilon(1e-9));
}

TEST_CASE("loss: the interval is as wide as the bootstrap's") {
  RandomStream random(1, "records");
  std::vector<RecordLoss> records;
  for (int i = 0; i < 300; ++i) {
    const auto tokens = static_cast<int64_t>(1 + random.below(50));
    const double of_record = 2 + 0.7 * random.normal();  // tokens of one record are alike
    records.push_back({of_record * static_cast<double>(tokens), tokens});
  }
  std::vector<double> resampled;
  for (int b = 0; b < 2000; ++b) {
    double nll = 0, tokens = 0;
    for (size_t i = 0; i < records.size(); ++i) {
      const RecordLoss& r = records[random.below(records.size())];
      nll += r.nll;
      tokens += static_cast<double>(r.tokens);
    }
    resampled.push_back(nll / tokens);
  }
  std::sort(resampled.begin(), resampled.end());
  const Interval interval = loss_figure(records).loss_interval;
  const double width = resampled[1949] - resampled[50];
  CHECK(interval.high - interval.low == doctest::Approx(width).epsilon(0.1));
  CHECK(interval.low == doctest::Approx(resampled[50]).epsilon(0.02));
}

TEST_CASE("loss: one record has no interval, no target no loss") {
  const LossFigure one = loss_figure({{4, 2}});
  CHECK(one.loss == 2);
  CHECK(std::isinf(one.loss_interval.high));
  CHECK(one.perplexity_interval.low == 0);
  CHECK_THROWS_AS(loss_figure({{0, 0}}), std::logic_error);
}
