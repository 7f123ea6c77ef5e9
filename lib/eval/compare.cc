#include "eval/compare.h"

#include <algorithm>
#include <cmath>

#include "base/error.h"
#include "eval/draws.h"
#include "eval/normal.h"

namespace temper {
namespace {

// A point of the model: two accuracies, and how much the models agree beyond them.
struct Point {
  double first = 0, second = 0, rho = 0;
  PairedTable cells;           // their probabilities
  double density_of_both = 0;  // d both / d rho
};

double log_beta(double a, double b) {
  int sign = 0;
  return ::lgamma_r(a, &sign) + ::lgamma_r(b, &sign) - ::lgamma_r(a + b, &sign);
}

double x_log_y(double x, double y) {
  return x == 0 ? 0.0 : x * std::log(std::max(y, 1e-300));
}

// Beta(4, 2), whose density is 20 u^3 (1 - u), is the fourth smallest of five uniform numbers.
double prior_rho(RandomStream& random) {
  double u[5];
  for (double& x : u) x = random.uniform();
  std::sort(u, u + 5);
  return 2 * u[3] - 1;
}
double prior_density(double rho) {
  const double u = (1 + rho) / 2;
  return 20 * u * u * u * (1 - u) / 2;
}

double beta_draw(RandomStream& random, double a, double b) {
  const double x = gamma_draw(random, a), y = gamma_draw(random, b);
  return x / (x + y);
}

// The counts, and the densities that are made of them.
class Table {
 public:
  explicit Table(const PairedTable& t) : t_(t) {
    const double a = t.both + t.first, b = t.both + t.second, n = t.prompts();
    log_first_ = log_beta(1 + a, 1 + n - a);
    log_second_ = log_beta(1 + b, 1 + n - b);
    int sign = 0;
    log_cells_ = -::lgamma_r(4 + n, &sign);
    for (const double count : {t.both, t.first, t.second, t.neither})
      log_cells_ += ::lgamma_r(1 + count, &sign);
  }

  Point from_margins(RandomStream& random) const {
    const double n = t_.prompts(), a = t_.both + t_.first, b = t_.both + t_.second;
    Point p;
    p.first = beta_draw(random, 1 + a, 1 + n - a);
    p.second = beta_draw(random, 1 + b, 1 + n - b);
    p.rho = prior_rho(random);
    const double x = normal_quantile(p.first), y = normal_quantile(p.second);
    p.cells.both = bivariate_normal_cdf(x, y, p.rho);
    p.cells.first = p.first - p.cells.both;
    p.cells.second = p.second - p.cells.both;
    p.cells.neither = 1 - p.first - p.second + p.cells.both;
    p.density_of_both = bivariate_normal_density(x, y, p.rho);
    return p;
  }

  Point from_cells(RandomStream& random) const {
    Point p;
    p.cells = {gamma_draw(random, 1 + t_.both), gamma_draw(random, 1 + t_.first),
               gamma_draw(random, 1 + t_.second), gamma_draw(random, 1 + t_.neither)};
    const double sum = p.cells.prompts();
    for (double* cell : {&p.cells.both, &p.cells.first, &p.cells.second, &p.cells.neither}) *cell /= sum;
    p.first = p.cells.both + p.cells.first;
    p.second = p.cells.both + p.cells.second;
    const double x = normal_quantile(p.first), y = normal_quantile(p.second);
    p.rho = correlation_of(x, y, p.cells.both);
    p.density_of_both = bivariate_normal_density(x, y, p.rho);
    return p;
  }

  // Prior times likelihood, over the mean of the two densities that points are drawn from; all in the
  // coordinates (first, second, rho), in which Dirichlet's density has the factor d both / d rho.
  double weight(const Point& p) const {
    const double log_likelihood = x_log_y(t_.both, p.cells.both) + x_log_y(t_.first, p.cells.first) +
                                  x_log_y(t_.second, p.cells.second) + x_log_y(t_.neither, p.cells.neither);
    const double n = t_.prompts(), a = t_.both + t_.first, b = t_.both + t_.second;
    const double log_margins = x_log_y(a, p.first) + x_log_y(n - a, 1 - p.first) - log_first_ +
                               x_log_y(b, p.second) + x_log_y(n - b, 1 - p.second) - log_second_;
    const double prior = prior_density(p.rho);
    // Over the likelihood's own integral under a flat prior, so that nothing under- or overflows.
    const double target = std::exp(log_likelihood - log_cells_) * prior;
    const double drawn =
        std::exp(log_margins) * prior + std::exp(log_likelihood - log_cells_) * p.density_of_both;
    return drawn > 0 && std::isfinite(target / drawn) ? target / drawn : 0.0;
  }

 private:
  PairedTable t_;
  double log_first_ = 0, log_second_ = 0, log_cells_ = 0;
};

Difference summed_up(double value, const std::vector<double>& differences, const std::vector<double>& weights,
                     double level) {
  double above = 0, all = 0;
  for (size_t i = 0; i < differences.size(); ++i) {
    const double w = weights.empty() ? 1.0 : weights[i];
    above += differences[i] > 0 ? w : differences[i] == 0 ? w / 2 : 0.0;
    all += w;
  }
  return {value, weighted_interval(differences, weights, level), above / all};
}

}  // namespace

Difference compare_paired(const PairedTable& table, double level, uint64_t seed, int64_t draws) {
  if (!(table.prompts() > 0)) bug("compare_paired: no prompts");
  const Table model(table);
  RandomStream random(seed, "paired comparison");
  std::vector<double> differences, weights;
  for (int64_t i = 0; i < draws; ++i) {
    const Point p = i % 2 == 0 ? model.from_margins(random) : model.from_cells(random);
    differences.push_back(p.cells.first - p.cells.second);
    weights.push_back(model.weight(p));
  }
  return summed_up((table.first - table.second) / table.prompts(), differences, weights, level);
}

Difference compare_unpaired(double first_right, double first_wrong, double second_right, double second_wrong,
                            double level, uint64_t seed, int64_t draws) {
  RandomStream random(seed, "unpaired comparison");
  std::vector<double> differences;
  for (int64_t i = 0; i < draws; ++i) {
    const double a = beta_draw(random, 1 + first_right, 1 + first_wrong);
    differences.push_back(a - beta_draw(random, 1 + second_right, 1 + second_wrong));
  }
  const auto share = [](double right, double wrong) {
    return right + wrong > 0 ? right / (right + wrong) : 0.5;
  };
  return summed_up(share(first_right, first_wrong) - share(second_right, second_wrong), differences, {},
                   level);
}

Difference compare_numbers(const std::vector<double>& values, double level, uint64_t seed, int64_t draws) {
  if (values.empty()) bug("compare_numbers: no prompts");
  std::vector<double> means;
  for (int64_t draw = 0; draw < draws; ++draw) {
    RandomStream random(seed, "bootstrap comparison", 0, static_cast<uint64_t>(draw));
    double sum = 0, all = 0;
    for (const double value : values) {
      const double weight = -std::log(1 - random.uniform());  // exponential: Gamma(1)
      sum += weight * value;
      all += weight;
    }
    means.push_back(sum / all);
  }
  return summed_up(mean(values), means, {}, level);
}

PairedTable paired_table(const std::vector<std::pair<double, double>>& shares, int64_t samples) {
  PairedTable out;
  double sum = 0, squares = 0;
  for (const auto& [a, b] : shares) {
    out.both += a * b;
    out.first += a * (1 - b);
    out.second += (1 - a) * b;
    out.neither += (1 - a) * (1 - b);
    sum += a - b;
    squares += (a - b) * (a - b);
  }
  const auto n = static_cast<double>(shares.size());
  if (n == 0) return out;
  const double of_one = (out.first + out.second) / n - (sum / n) * (sum / n);
  const double observed = squares / n - (sum / n) * (sum / n);
  // No spread at all tells nothing of how much several samples of a prompt have in common.
  const double times = observed > 1e-12 ? std::clamp(of_one / observed, 1.0,
                                                     static_cast<double>(std::max<int64_t>(samples, 1)))
                                        : 1.0;
  for (double* count : {&out.both, &out.first, &out.second, &out.neither}) *count *= times;
  return out;
}

}  // namespace temper
