// OREAL (arXiv 2502.06781, InternLM/OREAL): behaviour cloning of right answers, a policy gradient off wrong
// ones, each over its own tokens of the step, A the leave-one-out advantage:
//   A > 0:  -A w+ logp        divided by all tokens of such responses
//   A < 0:  -negative_weight A w- exp(logp - sg(logp))   divided by all tokens of those
// With a token reward model (score s_t of each token): p_t = sigmoid(running mean of s), w+ = max(2p - 1, 0),
// w- = max(1 - 2p, 0), detached; without one w is 1. The paper adds k3 with kl_coef .01.
// The counts of tokens come from prepare() over the whole step.
// Metrics, means over tokens: weight (w).
#include "base/error.h"
#include "objective/policy/kinds.h"
#include "objective/policy/ratio.h"
#include "tensor/packed.h"

namespace temper::objective {
namespace {

struct OrealOptions : PolicyObjectiveOptions {
  double negative_weight = 0.5;
  bool token_scores = false;
  void fields(FieldVisitor& v) override {
    v.field("negative_weight", negative_weight, {.help = "weight of the wrong answers' part", .min = 0});
    v.field("token_scores", token_scores, {.help = "weigh tokens by a token reward model's scores"});
  }
  std::unique_ptr<PolicyObjective> make() const override;
};

// Mean of value over a sequence's tokens up to and with each token. sequence ascending. [M]
at::Tensor running_mean(const PolicyBatch& batch, const at::Tensor& value) {
  const at::Tensor count = segment_count(batch.sequence, batch.sequences).to(at::kDouble);
  const at::Tensor begin = gather_sequence(count.cumsum(0) - count, batch.sequence);
  const at::Tensor sums = value.to(at::kDouble).cumsum(0);
  const at::Tensor before =
      at::cat({at::zeros({1}, sums.options()), sums}).index_select(0, begin.to(at::kLong));
  const at::Tensor position = at::arange(value.size(0), sums.options()) - begin;
  return ((sums - before) / (position + 1)).to(value.scalar_type());
}

class Oreal : public PolicyObjective {
 public:
  explicit Oreal(const OrealOptions& options) : o_(options) {}
  Needs needs() const override { return {.token_score = o_.token_scores}; }

  void prepare(const PolicyBatch& step) override {
    const at::Tensor a = advantage_per_token(step), keep = gather_sequence(included(step), step.sequence);
    tokens_ = keep.sum().item<double>();
    positive_ = (keep * a.gt(0)).sum().item<double>();
    negative_ = (keep * a.lt(0)).sum().item<double>();
  }

  Terms operator()(const PolicyBatch& batch) const override {
    const at::Tensor a = advantage_per_token(batch), right = a.gt(0);
    at::Tensor weight = at::ones_like(a);
    if (o_.token_scores) {
      if (!batch.token_score.defined()) bug("oreal: the policy batch has no token_score");
      const at::Tensor lean = 2 * at::sigmoid(running_mean(batch, batch.token_score.detach())) - 1;
      weight = at::where(right, lean, -lean).clamp_min(0).to(a.scalar_type());
    }
    // The trainer divides by all tokens of the step; each side is put over its own.
    const double to_positive = tokens_ / std::max(positive_, 1.0),
                 to_negative = tokens_ / std::max(negative_, 1.0);
    const at::Tensor learn = -to_positive * batch.logp;
    const at::Tensor unlearn = -o_.negative_weight * to_negative * (batch.logp - batch.logp.detach()).exp();
    Terms terms{a * weight * at::where(right, learn, unlearn), {}};
    terms.metrics["weight"] = {weight, Unit::kToken};
    return terms;
  }

 private:
  OrealOptions o_;
  double tokens_ = 0, positive_ = 0, negative_ = 0;
};

std::unique_ptr<PolicyObjective> OrealOptions::make() const {
  return std::make_unique<Oreal>(*this);
}

}  // namespace

std::unique_ptr<PolicyAlgorithm> oreal() {
  auto algorithm = preset("oreal", std::make_unique<OrealOptions>());
  algorithm->advantage = "rloo";
  algorithm->reduction = "token_mean";
  algorithm->kl_coef = 0.01;
  return algorithm;
}

}  // namespace temper::objective
