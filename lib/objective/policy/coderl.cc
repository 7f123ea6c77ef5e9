// CodeRL (arXiv 2207.01780, salesforce/CodeRL): programs that are scored by their unit tests. A critic says
// at every token which outcome the program will have (credit/critic.h, kOutcomes), and its probability of the
// one that it had, q_t, weighs the token:
//   sampled program:    loss = -q_t A logp, A = R - R of the greedy program, q_t detached
//   reference program:  loss = -ce_coef logp
// each as a mean over its own tokens of the step. The counts of tokens come from prepare() over the whole
// step. Metrics, means over tokens: outcome_probability (q_t); outcome_accuracy: share of tokens at which the
// outcome that the program had is the likeliest.
#include "base/error.h"
#include "objective/policy/kinds.h"
#include "objective/policy/ratio.h"
#include "tensor/packed.h"

namespace temper::objective {
namespace {

struct CodeRlOptions : PolicyObjectiveOptions {
  double ce_coef = 1.0;
  void fields(FieldVisitor& v) override {
    v.field("ce_coef", ce_coef, {.help = "weight of the cross entropy with the records' programs", .min = 0});
  }
  std::unique_ptr<PolicyObjective> make() const override;
};

class CodeRl : public PolicyObjective {
 public:
  explicit CodeRl(const CodeRlOptions& options) : o_(options) {}
  Needs needs() const override { return {.demonstration = true, .outcome_score = true}; }

  void prepare(const PolicyBatch& step) override {
    const at::Tensor keep = gather_sequence(included(step), step.sequence);
    const at::Tensor shown = gather_sequence(step.demonstration, step.sequence).ne(0);
    tokens_ = keep.sum().item<double>();
    shown_ = (keep * shown).sum().item<double>();
  }

  Terms operator()(const PolicyBatch& batch) const override {
    if (!batch.demonstration.defined() || !batch.outcome_score.defined() || !batch.outcome.defined())
      bug("coderl: the policy batch has no demonstration, outcome_score or outcome");
    const at::Tensor a = advantage_per_token(batch);
    const at::Tensor shown = gather_sequence(batch.demonstration, batch.sequence).ne(0);
    const at::Tensor q =
        outcome_probability(batch.outcome_score, batch.outcome, batch.sequence).to(a.scalar_type());
    // The trainer divides by all tokens of the step; each side is put over its own.
    const double to_sampled = tokens_ / std::max(tokens_ - shown_, 1.0),
                 to_shown = tokens_ / std::max(shown_, 1.0);
    const at::Tensor weight = at::where(shown, at::full_like(a, o_.ce_coef * to_shown), to_sampled * q * a);
    Terms terms{-weight * batch.logp, {}};
    terms.metrics["outcome_probability"] = {q, Unit::kToken};
    const at::Tensor likeliest = batch.outcome_score.detach().argmax(1);
    terms.metrics["outcome_accuracy"] =
        share(likeliest.eq(gather_sequence(batch.outcome, batch.sequence)), Unit::kToken, batch);
    return terms;
  }

 private:
  CodeRlOptions o_;
  double tokens_ = 0, shown_ = 0;
};

std::unique_ptr<PolicyObjective> CodeRlOptions::make() const {
  return std::make_unique<CodeRl>(*this);
}

}  // namespace

std::unique_ptr<PolicyAlgorithm> coderl() {
  auto algorithm = preset("coderl", std::make_unique<CodeRlOptions>());
  algorithm->advantage = "remax";
  algorithm->reduction = "token_mean";
  return algorithm;
}

}  // namespace temper::objective
