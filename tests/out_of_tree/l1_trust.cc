// REINFORCE that is pulled back to the policy that sampled, per token with d = logp - logp_old:
//   loss = -A logp + beta |d|.
// Metrics: penalty, the mean over tokens of beta |d|.
#include <ATen/ATen.h>

#include "objective/extend.h"
#include "objective/policy/ratio.h"

namespace temper::objective {
namespace {

struct L1TrustOptions : PolicyObjectiveOptions {
  double beta = 0.1;
  void fields(FieldVisitor& v) override {
    v.field("beta", beta, {.help = "strength of the pull to the policy that sampled", .min = 0});
  }
  std::unique_ptr<PolicyObjective> make() const override;
};

class L1Trust : public PolicyObjective {
 public:
  explicit L1Trust(const L1TrustOptions& options) : o_(options) {}
  Needs needs() const override { return {.logp_old = true}; }

  Terms operator()(const PolicyBatch& batch) const override {
    const at::Tensor penalty = o_.beta * log_ratio(batch).abs();
    Terms terms{-advantage_per_token(batch) * batch.logp + penalty, {}};
    terms.metrics["penalty"] = {penalty.detach(), Unit::kToken};
    return terms;
  }

 private:
  L1TrustOptions o_;
};

std::unique_ptr<PolicyObjective> L1TrustOptions::make() const {
  return std::make_unique<L1Trust>(*this);
}

}  // namespace

void extend(Registry<PolicyAlgorithm>& registry) {
  registry.add(
      {"l1_trust", "REINFORCE with an absolute penalty on the log-ratio", "a project outside of Temper", [] {
         auto algorithm = preset("l1_trust", std::make_unique<L1TrustOptions>());
         algorithm->advantage = "group_center";
         algorithm->reduction = "token_mean";
         return algorithm;
       }});
}

}  // namespace temper::objective
