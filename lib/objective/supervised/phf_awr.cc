// Advantage-weighted regression as in pretraining with human feedback (Korbak et al., arXiv 2302.08582, the
// code's AWR): with a reward R of the record, or of the segment that the token is in, and a value head's V
// before each target,
//   loss = alpha min(exp((R - V) / beta), weight_max) (-log p) + (1 - alpha) (R - V)^2
// V is detached in the weight. For RL on sampled or stored responses see the algorithm awr.
#include <ATen/ATen.h>

#include <cmath>

#include "objective/supervised/kinds.h"

namespace temper::objective {
namespace {

struct PhfAwrOptions : SupervisedOptions {
  double alpha = 0.5, beta = 1, weight_max = 1000;
  void fields(FieldVisitor& v) override {
    v.field("alpha", alpha, {.help = "share of the language-model loss", .min = 0, .max = 1});
    v.field("beta", beta, {.help = "advantages are divided by it", .min = 1e-6});
    v.field("weight_max", weight_max, {.help = "largest weight of a token", .min = 1e-6});
  }
  std::unique_ptr<SupervisedLoss> make() const override;
};

struct PhfAwr : SupervisedLoss {
  explicit PhfAwr(const PhfAwrOptions& o) : options(o) {}
  SupervisedNeeds needs() const override { return {.value = true, .reward = true}; }
  at::Tensor operator()(const SupervisedBatch& batch) const override {
    const at::Tensor advantage = batch.token_reward - batch.value;
    const at::Tensor weight =
        (advantage.detach() / options.beta).clamp_max(std::log(options.weight_max)).exp();
    return -options.alpha * weight * batch.logp + (1 - options.alpha) * advantage.square();
  }
  PhfAwrOptions options;
};

std::unique_ptr<SupervisedLoss> PhfAwrOptions::make() const {
  return std::make_unique<PhfAwr>(*this);
}

}  // namespace

std::unique_ptr<SupervisedOptions> phf_awr() {
  return std::make_unique<PhfAwrOptions>();
}

}  // namespace temper::objective
