// AdaptThink (arXiv 2505.13417, THU-KEG/AdaptThink): learn when to answer without thinking. Half of a
// prompt's responses are made to open with the end-of-thinking token and half with a normal word; with R the
// reward and R_ref the mean reward of the initial model's thinking answers to the prompt, computed once:
//   A = R - R_ref + bonus [opened with the end of thinking]
//   loss = -min(s A, clip(s, 1 - clip_low, 1 + clip_high) A), s = exp(mean d), one value a sequence,
// where the first token's behaviour log-prob is log opening_p, as it was forced and not drawn. No group mean,
// no deviation: the advantage estimator of the algorithm is not used. Null rewards add nothing. Metrics,
// means over sequences: ratio (s); clip_low, clip_high: share whose gradient the clip removed; opened: share
// that opened with the end of thinking.
#include <cmath>

#include "base/error.h"
#include "objective/policy/kinds.h"
#include "objective/policy/ratio.h"
#include "tensor/packed.h"

namespace temper::objective {
namespace {

struct AdaptThinkOptions : PolicyObjectiveOptions {
  double bonus = 0.05, clip_low = 0.2, clip_high = 0.2, opening_p = 0.5;
  void fields(FieldVisitor& v) override {
    v.field("bonus", bonus, {.help = "(delta) added to the advantage of answers without thinking", .min = 0});
    v.field("clip_low", clip_low,
            {.help = "the sequence's ratio is clipped below at 1 - clip_low", .min = 0, .max = 1});
    v.field("clip_high", clip_high,
            {.help = "the sequence's ratio is clipped above at 1 + clip_high", .min = 0});
    v.field("opening_p", opening_p,
            {.help = "probability that the sampler gave each of the two openings", .min = 1e-6, .max = 1});
  }
  std::unique_ptr<PolicyObjective> make() const override;
};

class AdaptThink : public PolicyObjective {
 public:
  explicit AdaptThink(const AdaptThinkOptions& options) : o_(options) {}
  Needs needs() const override {
    return {.logp_old = true, .reward = true, .reference_reward = true, .opening = true};
  }
  Unit unit() const override { return Unit::kSequence; }

  Terms operator()(const PolicyBatch& batch) const override {
    if (!batch.reward.defined() || !batch.reference_reward.defined() || !batch.opening.defined()) {
      bug("adaptthink: the policy batch has no reward, reference_reward or opening");
    }
    const auto as = [&](const at::Tensor& value) { return value.to(batch.logp.scalar_type()); };
    const at::Tensor a =
        at::nan_to_num(as(batch.reward) - as(batch.reference_reward) + o_.bonus * as(batch.opening), 0.0);
    const at::Tensor first = first_tokens(batch);
    const at::Tensor old =
        at::where(first, at::full_like(batch.logp_old, std::log(o_.opening_p)), batch.logp_old);
    const at::Tensor ratio = bounded_exp(sequence_mean(batch, batch.logp - old));
    const at::Tensor clipped = ratio.clamp(1 - o_.clip_low, 1 + o_.clip_high), s = ratio.detach();
    Terms terms{-at::min(ratio * a, clipped * a) * has_tokens(batch), {}};
    terms.metrics["ratio"] = {s, Unit::kSequence};
    terms.metrics["clip_low"] = share(a.lt(0).logical_and(s.lt(1 - o_.clip_low)), Unit::kSequence, batch);
    terms.metrics["clip_high"] = share(a.gt(0).logical_and(s.gt(1 + o_.clip_high)), Unit::kSequence, batch);
    terms.metrics["opened"] = share(batch.opening.to(at::kBool), Unit::kSequence, batch);
    return terms;
  }

 private:
  AdaptThinkOptions o_;
};

std::unique_ptr<PolicyObjective> AdaptThinkOptions::make() const {
  return std::make_unique<AdaptThink>(*this);
}

}  // namespace

std::unique_ptr<PolicyAlgorithm> adaptthink() {
  return preset("adaptthink", std::make_unique<AdaptThinkOptions>());
}

}  // namespace temper::objective
