// SAPO (arXiv 2511.20347): a soft gate in place of the clip, per token, r = exp(logp - logp_old):
//   loss = -(4 / tau) sigmoid(tau (r - 1)) A, tau by the sign of A; value 2/tau and gradient of PPO at r = 1.
// Metrics, means over tokens: ratio; gate: the derivative by r, 1 at r = 1 and falling to 0 on both sides.
#include "objective/policy/kinds.h"
#include "objective/policy/ratio.h"

namespace temper::objective {
namespace {

struct SapoOptions : PolicyObjectiveOptions {
  double tau_positive = 1.0, tau_negative = 1.05;
  void fields(FieldVisitor& v) override {
    v.field("tau_positive", tau_positive, {.help = "sharpness of the gate where A > 0", .min = 1e-3});
    v.field("tau_negative", tau_negative, {.help = "sharpness of the gate where A <= 0", .min = 1e-3});
  }
  std::unique_ptr<PolicyObjective> make() const override;
};

class Sapo : public PolicyObjective {
 public:
  explicit Sapo(const SapoOptions& options) : o_(options) {}
  Needs needs() const override { return {.logp_old = true}; }

  Terms operator()(const PolicyBatch& batch) const override {
    const at::Tensor a = advantage_per_token(batch), r = bounded_exp(log_ratio(batch));
    const at::Tensor tau =
        at::where(a.gt(0), at::full_like(a, o_.tau_positive), at::full_like(a, o_.tau_negative));
    const at::Tensor sigmoid = at::sigmoid(tau * (r - 1));
    Terms terms{-4 / tau * sigmoid * a, {}};
    terms.metrics["ratio"] = {r.detach(), Unit::kToken};
    terms.metrics["gate"] = {(4 * sigmoid * (1 - sigmoid)).detach(), Unit::kToken};
    return terms;
  }

 private:
  SapoOptions o_;
};

std::unique_ptr<PolicyObjective> SapoOptions::make() const {
  return std::make_unique<Sapo>(*this);
}

}  // namespace

std::unique_ptr<PolicyAlgorithm> sapo() {
  return preset("sapo", std::make_unique<SapoOptions>());
}

}  // namespace temper::objective
