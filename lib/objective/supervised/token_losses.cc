// Supervised losses of one target token with probability p = exp(logp):
//   nll       -log p; with label smoothing e, -(1 - e) log p - e mean_v log p_v, as transformers and torch do
//   dft       -sg(p) log p: cross entropy without the weight 1/p that it puts on unlikely tokens.
//             arXiv 2508.05629
//   comp_sum  (1 - p^(tau - 1)) / (tau - 1): tau 1 is nll, between 1 and 2 generalised cross entropy, 2 the
//             mean absolute error, below 1 steeper than nll. Mao, Mohri & Zhong, arXiv 2304.07288
#include <cmath>

#include "objective/math.h"
#include "objective/supervised/kinds.h"

namespace temper::objective {
namespace {

struct Nll : SupervisedLoss {
  explicit Nll(double smoothing) : smoothing(smoothing) {}
  SupervisedNeeds needs() const override { return {.mean_logp = smoothing > 0}; }
  at::Tensor operator()(const SupervisedBatch& batch) const override {
    if (smoothing == 0) return -batch.logp;
    return -(1 - smoothing) * batch.logp - smoothing * batch.mean_logp;
  }
  double smoothing;
};

struct NllOptions : SupervisedOptions {
  double label_smoothing = 0;
  void fields(FieldVisitor& v) override {
    v.field("label_smoothing", label_smoothing,
            {.help = "share of the target that is spread evenly over the vocabulary", .min = 0, .max = 1});
  }
  std::unique_ptr<SupervisedLoss> make() const override { return std::make_unique<Nll>(label_smoothing); }
};

struct Dft : SupervisedLoss {
  at::Tensor operator()(const SupervisedBatch& batch) const override {
    return -batch.logp.detach().exp() * batch.logp;
  }
};

struct DftOptions : SupervisedOptions {
  void fields(FieldVisitor&) override {}
  std::unique_ptr<SupervisedLoss> make() const override { return std::make_unique<Dft>(); }
};

struct CompSum : SupervisedLoss {
  explicit CompSum(double tau) : power(tau - 1) {}
  at::Tensor operator()(const SupervisedBatch& batch) const override {
    if (std::abs(power) < 1e-9) return -batch.logp;
    return -at::expm1((power * batch.logp).clamp_max(kMaxLogRatio)) / power;
  }
  double power;
};

struct CompSumOptions : SupervisedOptions {
  double tau = 1.5;
  void fields(FieldVisitor& v) override {
    v.field("tau", tau,
            {.help = "1: cross entropy; up to 2: less weight on unlikely targets; 2: mean absolute error",
             .min = 0,
             .max = 2});
  }
  std::unique_ptr<SupervisedLoss> make() const override { return std::make_unique<CompSum>(tau); }
};

}  // namespace

std::unique_ptr<SupervisedOptions> nll() {
  return std::make_unique<NllOptions>();
}
std::unique_ptr<SupervisedOptions> dft() {
  return std::make_unique<DftOptions>();
}
std::unique_ptr<SupervisedOptions> comp_sum() {
  return std::make_unique<CompSumOptions>();
}

}  // namespace temper::objective
