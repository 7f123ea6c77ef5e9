// CISPO (MiniMax-M1, arXiv 2506.13585): REINFORCE with a clipped, detached importance weight, per token:
//   loss = -sg(clip(r, weight_min, weight_max)) A logp,  r = exp(logp - logp_old).
// The bounds are on the ratio itself, and no token loses its gradient. unified_mask (the paper's equation 7)
// drops the tokens that PPO's clip would: A > 0 and r > 1 + clip_high, A < 0 and r < 1 - clip_low. Metrics,
// means over tokens: weight; weight_clipped: share of clipped weights; masked: share dropped by the mask.
#include "objective/policy/kinds.h"
#include "objective/policy/ratio.h"

namespace temper::objective {
namespace {

struct CispoOptions : PolicyObjectiveOptions {
  double weight_min = 0.0, weight_max = 5.0;
  bool unified_mask = false;
  double clip_low = 0.2, clip_high = 0.2;

  void fields(FieldVisitor& v) override {
    v.field("weight_min", weight_min, {.help = "lower bound of the importance weight, a ratio", .min = 0});
    v.field("weight_max", weight_max, {.help = "upper bound of the importance weight, a ratio", .min = 0});
    v.field("unified_mask", unified_mask,
            {.help = "drop tokens outside the clip range on the side that A pushes to"});
    v.field("clip_low", clip_low,
            {.help = "of the mask: drop r < 1 - clip_low where A < 0", .min = 0, .max = 1});
    v.field("clip_high", clip_high, {.help = "of the mask: drop r > 1 + clip_high where A > 0", .min = 0});
  }
  void check(std::vector<std::string>& problems, const std::string& where) const override {
    if (weight_min > weight_max) problems.push_back(where + ": weight_min is above weight_max");
  }
  std::vector<std::string> warnings() const override {
    if (weight_min == 0) return {};
    return {
        "weight_min above 0 pushes up the weight of tokens that the policy has moved away from; the paper "
        "uses 0"};
  }
  std::unique_ptr<PolicyObjective> make() const override;
};

class Cispo : public PolicyObjective {
 public:
  explicit Cispo(const CispoOptions& options) : o_(options) {}
  Needs needs() const override { return {.logp_old = true}; }

  Terms operator()(const PolicyBatch& batch) const override {
    const at::Tensor a = advantage_per_token(batch);
    const at::Tensor r = bounded_exp(log_ratio(batch).detach());
    at::Tensor weight = r.clamp(o_.weight_min, o_.weight_max);
    Terms terms;
    terms.metrics["weight"] = {weight, Unit::kToken};
    terms.metrics["weight_clipped"] = share(weight.ne(r), Unit::kToken, batch);
    if (o_.unified_mask) {
      const at::Tensor drop =
          a.gt(0).logical_and(r.gt(1 + o_.clip_high)).logical_or(a.lt(0).logical_and(r.lt(1 - o_.clip_low)));
      weight = weight * drop.logical_not();
      terms.metrics["masked"] = share(drop, Unit::kToken, batch);
    }
    terms.value = -weight * a * batch.logp;
    return terms;
  }

 private:
  CispoOptions o_;
};

std::unique_ptr<PolicyObjective> CispoOptions::make() const {
  return std::make_unique<Cispo>(*this);
}

}  // namespace

std::unique_ptr<PolicyAlgorithm> cispo() {
  auto algorithm = preset("cispo", std::make_unique<CispoOptions>());
  algorithm->reduction = "token_mean";
  return algorithm;
}

}  // namespace temper::objective
