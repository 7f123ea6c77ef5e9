// VESPO, the form of TRL 1.16: REINFORCE with a smooth, detached weight of the sequence's ratio w = exp(sum
// d), d = logp - logp_old cut to [-20, 20], log w to [log 1e-8, 20]:
//   loss = -phi(w) A logp per token,  phi(w) = e^lambda w^k e^(-lambda w), phi(1) = 1, (k, lambda) by the
//   sign of A.
// Metrics, means over sequences: weight (phi).
#include <cmath>

#include "objective/policy/kinds.h"
#include "objective/policy/ratio.h"
#include "tensor/packed.h"

namespace temper::objective {
namespace {

struct VespoOptions : PolicyObjectiveOptions {
  double k_positive = 2.0, lambda_positive = 3.0, k_negative = 3.0, lambda_negative = 2.0;
  void fields(FieldVisitor& v) override {
    v.field("k_positive", k_positive, {.help = "exponent of w where A >= 0", .min = 0});
    v.field("lambda_positive", lambda_positive,
            {.help = "rate of the exponential where A >= 0", .min = 1e-4});
    v.field("k_negative", k_negative, {.help = "exponent of w where A < 0", .min = 0});
    v.field("lambda_negative", lambda_negative, {.help = "rate of the exponential where A < 0", .min = 1e-4});
  }
  std::unique_ptr<PolicyObjective> make() const override;
};

class Vespo : public PolicyObjective {
 public:
  explicit Vespo(const VespoOptions& options) : o_(options) {}
  Needs needs() const override { return {.logp_old = true}; }

  Terms operator()(const PolicyBatch& batch) const override {
    const at::Tensor a = advantage_per_sequence(batch);
    const at::Tensor d = log_ratio(batch).detach().clamp(-kMaxLogRatio, kMaxLogRatio);
    const at::Tensor log_w = sequence_sum(batch, d).clamp(std::log(1e-8), kMaxLogRatio);
    const auto by_sign = [&](double positive, double negative) {
      return at::where(a.ge(0), at::full_like(a, positive), at::full_like(a, negative));
    };
    const at::Tensor k = by_sign(o_.k_positive, o_.k_negative),
                     lambda = by_sign(o_.lambda_positive, o_.lambda_negative);
    const at::Tensor phi = (lambda + k * log_w - lambda * log_w.exp()).exp();
    Terms terms{-gather_sequence(phi * a, batch.sequence) * batch.logp, {}};
    terms.metrics["weight"] = {phi, Unit::kSequence};
    return terms;
  }

 private:
  VespoOptions o_;
};

std::unique_ptr<PolicyObjective> VespoOptions::make() const {
  return std::make_unique<Vespo>(*this);
}

}  // namespace

std::unique_ptr<PolicyAlgorithm> vespo() {
  auto algorithm = preset("vespo", std::make_unique<VespoOptions>());
  algorithm->reduction = "token_mean";
  return algorithm;
}

}  // namespace temper::objective
