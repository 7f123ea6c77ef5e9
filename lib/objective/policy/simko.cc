// SimKO (arXiv 2510.14807, CLR-Lab/SimKO): PPO clip that spreads what right answers gain over the likely
// alternatives, at tokens whose entropy is strictly above the `quantile` of their own response:
//   A > 0:  r becomes (1 - alpha) r + (alpha / K) sum over the K likeliest tokens of sg(r) exp(lp_k -
//   sg(lp_k)) A < 0 and the sampled token is the likeliest:  A becomes penalty A
// then the usual clip. Simplified: the behaviour policy's top K cancels. Entropy is detached.
// Metrics, means over tokens: ratio; gated: share above the quantile; punished: share whose A was raised.
#include <cmath>

#include "base/error.h"
#include "objective/policy/kinds.h"
#include "objective/policy/ratio.h"
#include "tensor/packed.h"

namespace temper::objective {
namespace {

struct SimkoOptions : PolicyObjectiveOptions {
  double clip_low = 0.2, clip_high = 0.2, quantile = 0.8, alpha = 0.01, penalty = 1.1;
  int64_t top_k = 3;
  void fields(FieldVisitor& v) override {
    v.field("clip_low", clip_low, {.help = "the ratio is clipped below at 1 - clip_low", .min = 0, .max = 1});
    v.field("clip_high", clip_high, {.help = "the ratio is clipped above at 1 + clip_high", .min = 0});
    v.field("quantile", quantile,
            {.help = "of a response's entropies: tokens above it are treated", .min = 0, .max = 1});
    v.field("alpha", alpha,
            {.help = "share of the ratio that the likely alternatives get", .min = 0, .max = 1});
    v.field("top_k", top_k, {.help = "how many likely alternatives", .unit = "tokens", .min = 1});
    v.field("penalty", penalty,
            {.help = "factor on the advantage of a wrong answer's likeliest tokens", .min = 0});
  }
  std::unique_ptr<PolicyObjective> make() const override;
};

// The quantile of each response's values, interpolated between neighbours as numpy does. sequence ascending.
// [S]
at::Tensor response_quantile(const PolicyBatch& batch, const at::Tensor& value, double q) {
  const at::Tensor count = segment_count(batch.sequence, batch.sequences).to(at::kLong);
  // Sorted by value, then stably by response.
  const at::Tensor by_value = value.argsort();
  const at::Tensor order =
      by_value.index_select(0, batch.sequence.index_select(0, by_value).argsort(/*stable=*/true, 0, false));
  if (value.numel() == 0) return at::zeros({batch.sequences}, value.options());
  const at::Tensor begin = count.cumsum(0) - count, last = (count - 1).clamp_min(0);
  const at::Tensor place = last.to(at::kDouble) * q, low = place.floor().to(at::kLong);
  const at::Tensor high = at::min(low + 1, last),
                   part = (place - low.to(at::kDouble)).to(value.scalar_type());
  const at::Tensor sorted = value.index_select(0, order);
  const auto at_place = [&](const at::Tensor& index) {
    return sorted.index_select(0, (begin + index).clamp_max(value.size(0) - 1));
  };
  return at::lerp(at_place(low), at_place(high), part);
}

class Simko : public PolicyObjective {
 public:
  explicit Simko(const SimkoOptions& options) : o_(options) {}
  Needs needs() const override {
    return {.logp_old = true, .entropy = true, .token = true, .top_k = o_.top_k};
  }

  Terms operator()(const PolicyBatch& batch) const override {
    if (!batch.entropy.defined() || !batch.top_logp.defined() || !batch.token.defined()) {
      bug("simko: the policy batch has no entropy, top_logp or token");
    }
    const at::Tensor a = advantage_per_token(batch), r = bounded_exp(log_ratio(batch));
    const at::Tensor threshold =
        gather_sequence(response_quantile(batch, batch.entropy, o_.quantile), batch.sequence);
    const at::Tensor gated = batch.entropy.gt(threshold);
    const at::Tensor spread = r.detach() * (batch.top_logp - batch.top_logp.detach()).exp().mean(1);
    const at::Tensor mixed = at::where(gated.logical_and(a.gt(0)), (1 - o_.alpha) * r + o_.alpha * spread, r);
    const at::Tensor punished =
        gated.logical_and(a.lt(0)).logical_and(batch.token.eq(batch.top_token.select(1, 0)));
    const at::Tensor raised = at::where(punished, a * o_.penalty, a);
    Terms terms{-at::min(mixed * raised, mixed.clamp(1 - o_.clip_low, 1 + o_.clip_high) * raised), {}};
    terms.metrics["ratio"] = {r.detach(), Unit::kToken};
    terms.metrics["gated"] = share(gated, Unit::kToken, batch);
    terms.metrics["punished"] = share(punished, Unit::kToken, batch);
    return terms;
  }

 private:
  SimkoOptions o_;
};

std::unique_ptr<PolicyObjective> SimkoOptions::make() const {
  return std::make_unique<Simko>(*this);
}

}  // namespace

std::unique_ptr<PolicyAlgorithm> simko() {
  auto algorithm = preset("simko", std::make_unique<SimkoOptions>());
  algorithm->reduction = "token_mean";
  return algorithm;
}

}  // namespace temper::objective
