// LUFFY (arXiv 2504.14945, ElliottYan/LUFFY): a group holds on-policy responses and demonstrations under one
// group mean.
//   on-policy token:      loss = -r A, r = exp(logp - logp_old), no clip;
//   demonstration token:  loss = -f(p) A, p = exp(logp), f(p) = p / (p + shaping): unlikely tokens still
//   learn.
// A = R - group mean. The authors divide the token sum by a constant length and not by the number of
// responses; here it is seq_mean_token_sum, the mean over responses too, so that it does not depend on how
// many there are. Their entropy bonus, .001 times the mean over all tokens, demonstrations' too, is the
// preset's entropy_coef. Metrics: ratio (mean over tokens, 0 on demonstrations); demonstration_p: the same
// for p on demonstrations; demonstrations: share of responses.
#include "base/error.h"
#include "objective/policy/kinds.h"
#include "objective/policy/ratio.h"
#include "tensor/packed.h"

namespace temper::objective {
namespace {

struct LuffyOptions : PolicyObjectiveOptions {
  double shaping = 0.1;
  void fields(FieldVisitor& v) override {
    v.field("shaping", shaping, {.help = "of demonstration tokens: p / (p + shaping)", .min = 1e-6});
  }
  std::unique_ptr<PolicyObjective> make() const override;
};

class Luffy : public PolicyObjective {
 public:
  explicit Luffy(const LuffyOptions& options) : o_(options) {}
  Needs needs() const override { return {.logp_old = true, .demonstration = true}; }

  Terms operator()(const PolicyBatch& batch) const override {
    if (!batch.demonstration.defined()) bug("luffy: the policy batch does not say what is a demonstration");
    const at::Tensor a = advantage_per_token(batch);
    const at::Tensor shown = gather_sequence(batch.demonstration, batch.sequence).to(at::kBool);
    // A demonstration has no behaviour log-prob, so nothing of it reaches the ratio.
    const at::Tensor zero = at::zeros_like(a);
    const at::Tensor r = bounded_exp(at::where(shown, zero, log_ratio(batch)));
    const at::Tensor p = batch.logp.exp(), f = p / (p + o_.shaping);
    Terms terms{-at::where(shown, f, r) * a, {}};
    terms.metrics["ratio"] = {at::where(shown, zero, r.detach()), Unit::kToken};
    terms.metrics["demonstration_p"] = {at::where(shown, p.detach(), zero), Unit::kToken};
    terms.metrics["demonstrations"] = share(batch.demonstration.to(at::kBool), Unit::kSequence, batch);
    return terms;
  }

 private:
  LuffyOptions o_;
};

std::unique_ptr<PolicyObjective> LuffyOptions::make() const {
  return std::make_unique<Luffy>(*this);
}

}  // namespace

std::unique_ptr<PolicyAlgorithm> luffy() {
  auto algorithm = preset("luffy", std::make_unique<LuffyOptions>());
  algorithm->advantage = "group_center";
  algorithm->reduction = "seq_mean_token_sum";
  algorithm->entropy_coef = 0.001;
  algorithm->entropy_reduction = "token_mean";
  return algorithm;
}

}  // namespace temper::objective
