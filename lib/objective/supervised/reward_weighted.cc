// Supervised losses that read a reward R of each record, or of each segment of it, larger is better. Korbak
// et al., arXiv 2302.08582 and the code tomekkorbak/pretraining-with-human-feedback, whose scores are -R and
// stand at each token:
//   unlikelihood  -log p where R is at least `threshold`, else -alpha log(1 - p). Welleck et al.,
//                 arXiv 1908.04319
//   rwr           -exp((R - shift) / beta) log p, the weight cut off at `weight_max`; shift 0 as in the code,
//                 or the step's largest reward
#include <ATen/ATen.h>
#include <fmt/format.h>

#include <cmath>

#include "objective/math.h"
#include "objective/supervised/kinds.h"

namespace temper::objective {
namespace {

struct UnlikelihoodOptions : SupervisedOptions {
  double threshold = 0.5, alpha = 1;
  void fields(FieldVisitor& v) override {
    v.field("threshold", threshold,
            {.help = "records with a lower reward are made unlikely; 0.5 lies between rewards of 0 and 1"});
    v.field("alpha", alpha, {.help = "weight of their loss", .min = 0});
  }
  std::unique_ptr<SupervisedLoss> make() const override;
};

struct Unlikelihood : SupervisedLoss {
  explicit Unlikelihood(const UnlikelihoodOptions& o) : options(o) {}
  SupervisedNeeds needs() const override { return {.reward = true}; }
  std::string warning(const at::Tensor& reward) const override {
    const double lowest = reward.min().item<double>(), highest = reward.max().item<double>();
    if (lowest < options.threshold && highest >= options.threshold) return "";
    return fmt::format(
        "unlikelihood: the rewards, {:g} to {:g}, all lie {} the threshold {:g}: every record is {}; "
        "see loss.threshold",
        lowest, highest, lowest < options.threshold ? "below" : "at or above", options.threshold,
        lowest < options.threshold ? "made unlikely" : "learnt");
  }
  at::Tensor operator()(const SupervisedBatch& batch) const override {
    const at::Tensor good = batch.token_reward.ge(options.threshold);
    // Each branch sees only its own numbers. 1 - p is at least 1e-6 (the code: 1e-20, finer than fp32 knows).
    const at::Tensor bad = at::where(good, at::full_like(batch.logp, -1.0), batch.logp);
    return at::where(good, -batch.logp, -options.alpha * log1mexp(bad));
  }
  UnlikelihoodOptions options;
};

std::unique_ptr<SupervisedLoss> UnlikelihoodOptions::make() const {
  return std::make_unique<Unlikelihood>(*this);
}

struct RwrOptions : SupervisedOptions {
  double beta = 1, weight_max = 1000;
  bool subtract_max = false;
  void fields(FieldVisitor& v) override {
    v.field("beta", beta, {.help = "rewards are divided by it; small: only the best records count"});
    v.field("weight_max", weight_max, {.help = "largest weight of a record", .min = 0});
    v.field("subtract_max", subtract_max,
            {.help = "take the step's largest reward off all, so that the best record weighs 1"});
  }
  void check(std::vector<std::string>& problems, const std::string& where) const override {
    if (!(beta > 0)) problems.push_back(where + ".beta: must be above 0");
    if (!(weight_max > 0)) problems.push_back(where + ".weight_max: must be above 0");
  }
  std::unique_ptr<SupervisedLoss> make() const override;
};

struct Rwr : SupervisedLoss {
  explicit Rwr(const RwrOptions& o) : options(o) {}
  SupervisedNeeds needs() const override { return {.reward = true}; }
  void prepare(const at::Tensor& reward) override {
    if (options.subtract_max) shift = reward.max().item<double>();
  }
  at::Tensor operator()(const SupervisedBatch& batch) const override {
    const at::Tensor log_weight =
        ((batch.token_reward - shift) / options.beta).clamp_max(std::log(options.weight_max));
    return -log_weight.exp() * batch.logp;
  }
  RwrOptions options;
  double shift = 0;
};

std::unique_ptr<SupervisedLoss> RwrOptions::make() const {
  return std::make_unique<Rwr>(*this);
}

}  // namespace

std::unique_ptr<SupervisedOptions> unlikelihood() {
  return std::make_unique<UnlikelihoodOptions>();
}
std::unique_ptr<SupervisedOptions> rwr() {
  return std::make_unique<RwrOptions>();
}

}  // namespace temper::objective
