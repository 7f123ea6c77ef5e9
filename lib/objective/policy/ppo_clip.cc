// PPO's clipped objective, per token, with r = exp(logp - logp_old):
//   loss = -min(min(r, cap) A, clip(r, 1 - clip_low, 1 + clip_high) A);  dual clip c: where A < 0, at most -c
//   A.
// Presets: grpo (arXiv 2402.03300), dapo (2503.14476), dr_grpo (2503.20783).
// Metrics, means over tokens: ratio (r); clip_low, clip_high: share of tokens whose gradient the clip removed
// (A < 0 and r < 1 - clip_low; A > 0 and r > 1 + clip_high); dual_clip: share that the dual clip holds.
#include "objective/policy/kinds.h"
#include "objective/policy/ratio.h"

namespace temper::objective {
namespace {

struct PpoClipOptions : PolicyObjectiveOptions {
  double clip_low = 0.2, clip_high = 0.2;
  std::optional<double> dual_clip, ratio_cap;

  void fields(FieldVisitor& v) override {
    v.field("clip_low", clip_low, {.help = "the ratio is clipped below at 1 - clip_low", .min = 0, .max = 1});
    v.field("clip_high", clip_high, {.help = "the ratio is clipped above at 1 + clip_high", .min = 0});
    v.field("dual_clip", dual_clip,
            {.help = "for A < 0 the loss is at most -dual_clip A; null: off", .min = 1});
    v.field("ratio_cap", ratio_cap, {.help = "cap (delta) on the unclipped ratio; null: off", .min = 1});
  }
  std::unique_ptr<PolicyObjective> make() const override;
};

class PpoClip : public PolicyObjective {
 public:
  explicit PpoClip(const PpoClipOptions& options) : o_(options) {}
  Needs needs() const override { return {.logp_old = true}; }

  Terms operator()(const PolicyBatch& batch) const override {
    const at::Tensor a = advantage_per_token(batch);
    const at::Tensor ratio = bounded_exp(log_ratio(batch));
    const at::Tensor clipped = ratio.clamp(1 - o_.clip_low, 1 + o_.clip_high);
    const at::Tensor free = o_.ratio_cap ? ratio.clamp_max(*o_.ratio_cap) : ratio;
    const at::Tensor clip_loss = -at::min(free * a, clipped * a);

    const at::Tensor r = ratio.detach();
    Terms terms{clip_loss, {}};
    terms.metrics["ratio"] = {r, Unit::kToken};
    terms.metrics["clip_low"] = {a.lt(0).logical_and(r.lt(1 - o_.clip_low)).to(r.scalar_type()),
                                 Unit::kToken};
    terms.metrics["clip_high"] = {a.gt(0).logical_and(r.gt(1 + o_.clip_high)).to(r.scalar_type()),
                                  Unit::kToken};
    if (o_.dual_clip) {
      const at::Tensor ceiling = -*o_.dual_clip * a;
      const at::Tensor held = a.lt(0).logical_and(clip_loss.gt(ceiling));
      terms.value = at::where(held, ceiling, clip_loss);
      terms.metrics["dual_clip"] = share(held, Unit::kToken, batch);
    }
    return terms;
  }

 private:
  PpoClipOptions o_;
};

std::unique_ptr<PolicyObjective> PpoClipOptions::make() const {
  return std::make_unique<PpoClip>(*this);
}

}  // namespace

// TRL's defaults: clip .2 on both sides and no KL.
std::unique_ptr<PolicyAlgorithm> grpo() {
  return preset("grpo", std::make_unique<PpoClipOptions>());
}

// Clip-higher, dynamic sampling, token-level mean, soft overlong penalty (the paper: 4096 of 20480 tokens),
// no KL.
std::unique_ptr<PolicyAlgorithm> dapo() {
  auto algorithm = grpo();
  algorithm->name = "dapo";
  static_cast<PpoClipOptions&>(*algorithm->objective).clip_high = 0.28;
  algorithm->reduction = "token_mean";
  algorithm->filter_zero_variance = true;
  algorithm->overlong_buffer = 0.2;
  return algorithm;
}

// No division by the standard deviation and none by the length of a response.
std::unique_ptr<PolicyAlgorithm> dr_grpo() {
  auto algorithm = grpo();
  algorithm->name = "dr_grpo";
  algorithm->advantage = "group_center";
  algorithm->reduction = "seq_mean_token_sum";
  return algorithm;
}

}  // namespace temper::objective
