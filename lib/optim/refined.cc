#include "optim/refined.h"

#include <algorithm>
#include <cmath>
#include <sstream>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/log.h"
#include "optim/kinds.h"

namespace temper {
namespace {

// Running median of width 2 floor(floor(T/10) / 2) + 1. Beyond the start stands the first norm, beyond the
// end the run's end mirrored, as in facebookresearch/adaptive_scheduling.
std::vector<double> median_filtered(const std::vector<double>& x) {
  const auto size = static_cast<int64_t>(x.size()), half = size / 10 / 2;
  std::vector<double> out, window;
  for (int64_t t = 0; t < size; ++t) {
    window.clear();
    for (int64_t i = t - half; i <= t + half; ++i) {
      const int64_t inside = i < 0 ? 0 : i < size ? i : 2 * (size - 1) - i;
      window.push_back(x[static_cast<size_t>(inside)]);
    }
    std::nth_element(window.begin(), window.begin() + half, window.end());
    out.push_back(window[static_cast<size_t>(half)]);
  }
  return out;
}

}  // namespace

std::vector<double> refined_factors(const std::vector<double>& norms, RefinedWeights weights,
                                    const std::string& where) {
  if (norms.size() < 2) user_error("{}: at least 2 gradient norms expected, {} found", where, norms.size());
  std::vector<double> weight = median_filtered(norms);
  for (size_t t = 0; t < weight.size(); ++t) {
    if (!(weight[t] > 0) || !std::isfinite(weight[t])) {
      user_error("{}: the median of the gradient norms around the {}. of {} is {}, above 0 expected", where,
                 t + 1, weight.size(), weight[t]);
    }
    weight[t] = weights == RefinedWeights::kAdam ? 1 / weight[t] : 1 / (weight[t] * weight[t]);
  }
  std::vector<double> factors(weight.size());
  double rest = 0;
  for (size_t t = weight.size(); t-- > 0;) {
    factors[t] = weight[t] * rest;
    rest += weight[t];
  }
  const double peak = *std::max_element(factors.begin(), factors.end());
  for (double& factor : factors) factor /= peak;
  return factors;
}

std::vector<double> logged_gradient_norms(const std::string& run_folder) {
  const std::string file = run_folder + "/metrics.jsonl";
  std::istringstream lines(read_file(file));
  std::vector<double> norms;
  std::string line;
  for (int64_t number = 1; std::getline(lines, line); ++number) {
    if (lines.eof()) break;  // a line without its end was cut short
    const Json row = parse_json(line, fmt::format("{}:{}", file, number));
    const auto norm = row.find("grad_norm");
    if (row.value("split", "") == "train" && norm != row.end() && norm->is_number()) norms.push_back(*norm);
  }
  if (norms.empty()) user_error("{}: has no training step with a grad_norm", file);
  return norms;
}

void write_schedule_file(const std::string& path, const std::string& source, RefinedWeights weights,
                         const std::vector<double>& factors) {
  const Json content = {{"source", source},
                        {"weights", weights == RefinedWeights::kAdam ? "adam" : "sgd"},
                        {"factors", factors}};
  write_file_atomic(path, content.dump() + "\n");
}

std::vector<double> read_schedule_file(const std::string& path) {
  const Json content = read_json_file(path);
  const auto factors = content.is_object() ? content.find("factors") : content.end();
  bool good = content.is_object() && factors != content.end() && factors->is_array() && factors->size() >= 2;
  for (size_t i = 0; good && i < factors->size(); ++i) {
    const Json& factor = (*factors)[i];
    good = factor.is_number() && factor.get<double>() >= 0 && factor.get<double>() <= 1;
  }
  if (!good) user_error("{}: {{\"factors\": [two or more numbers within 0 and 1]}} expected", path);
  return factors->get<std::vector<double>>();
}

std::vector<double> resampled(const std::vector<double>& factors, int64_t total) {
  if (static_cast<int64_t>(factors.size()) == total) return factors;
  constexpr int64_t kMost = 100'000'000;
  if (total > kMost) user_error("schedule: refined keeps a number an update; {} are too many", total);
  std::vector<double> out;
  for (int64_t t = 0; t < total; ++t) {
    const double at = total == 1 ? 0
                                 : static_cast<double>(t) * static_cast<double>(factors.size() - 1) /
                                       static_cast<double>(total - 1);
    const auto before = std::min(static_cast<size_t>(at), factors.size() - 2);
    const double share = at - static_cast<double>(before);
    out.push_back((1 - share) * factors[before] + share * factors[before + 1]);
  }
  return out;
}

namespace {

struct Refined : ScheduleOptions {
  std::string from, weights = "adam";
  std::vector<double> factors;  // not a field: one an update of this run
  void fields(FieldVisitor& v) override {
    ScheduleOptions::fields(v);
    v.field("from", from,
            {.help = "an earlier run's folder, or a file that temper-inspect schedule --from wrote",
             .required = true,
             .path = true});
    v.field("weights", weights,
            {.help = "of a run folder's steps, by their gradient norm; adam: 1/norm, sgd: 1/norm^2",
             .choices = {"adam", "sgd"}});
  }
  void check(std::vector<std::string>& problems, const std::string& where) const override {
    if (warmup != 0)
      problems.push_back(where + ".warmup: 0 expected; a refined schedule has its warm-up from the norms");
  }
  void prepare(int64_t total) override {
    const std::vector<double> found =
        fs::is_directory(from)
            ? refined_factors(logged_gradient_norms(from),
                              weights == "adam" ? RefinedWeights::kAdam : RefinedWeights::kSgd, from)
            : read_schedule_file(from);
    if (static_cast<int64_t>(found.size()) != total)
      log_info("schedule: {} has {} steps, this run {} updates: stretched", from, found.size(), total);
    factors = resampled(found, total);
  }
  double shape(double step, double, double, double) const override {
    if (factors.empty()) bug("a refined schedule before prepare()");
    return factors[std::min(static_cast<size_t>(step), factors.size() - 1)];
  }
};

}  // namespace

std::unique_ptr<ScheduleOptions> refined_schedule() {
  return std::make_unique<Refined>();
}

}  // namespace temper
