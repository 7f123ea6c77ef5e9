// Advantage-weighted regression (arXiv 1910.00177; for language models arXiv 2302.08582):
//   loss = -min(exp(A / beta), weight_max) logp
// per token, the weight detached; the ratio to the policy that sampled is not read, so responses may come
// from anywhere. A is the algorithm's advantage: of the group by default, of a critic with advantage "gae"
// and critic.lambda 1 (the paper's R - V). Metrics, means over tokens: weight; weight_capped: share whose
// weight the cap holds.
#include <algorithm>
#include <cmath>

#include "objective/policy/kinds.h"
#include "objective/policy/ratio.h"

namespace temper::objective {
namespace {

struct AwrOptions : PolicyObjectiveOptions {
  double beta = 1.0, weight_max = 20.0;
  void fields(FieldVisitor& v) override {
    v.field("beta", beta, {.help = "temperature of the advantage: small values trust it more", .min = 1e-6});
    v.field("weight_max", weight_max, {.help = "cap on the weight exp(A / beta)", .min = 1e-6});
  }
  std::unique_ptr<PolicyObjective> make() const override;
};

class Awr : public PolicyObjective {
 public:
  explicit Awr(const AwrOptions& options) : o_(options) {}
  Needs needs() const override { return {}; }

  Terms operator()(const PolicyBatch& batch) const override {
    const at::Tensor log_weight = advantage_per_token(batch).detach() / o_.beta;
    const double cap = std::log(o_.weight_max);
    const at::Tensor weight = log_weight.clamp_max(cap).exp();
    Terms terms{-weight * batch.logp, {}};
    terms.metrics["weight"] = {weight, Unit::kToken};
    terms.metrics["weight_capped"] = share(log_weight.gt(cap), Unit::kToken, batch);
    return terms;
  }

 private:
  AwrOptions o_;
};

std::unique_ptr<PolicyObjective> AwrOptions::make() const {
  return std::make_unique<Awr>(*this);
}

}  // namespace

std::unique_ptr<PolicyAlgorithm> awr() {
  auto algorithm = preset("awr", std::make_unique<AwrOptions>());
  algorithm->advantage = "group_center";
  algorithm->reduction = "token_mean";
  return algorithm;
}

}  // namespace temper::objective
