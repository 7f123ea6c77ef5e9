// PPO's clip on one ratio a sequence, s = exp(mean d) (or exp(sum d)) with d = logp - logp_old:
//   loss = -min(s A, clip(s, 1 - clip_low, 1 + clip_high) A), one value a sequence.
// Presets: gspo (arXiv 2507.18071); luspo (the same times the length, TRL's form; its clip range is TRL's
// default); rloo (arXiv 2402.14740 as TRL runs it: sum of d, leave-one-out advantage, KL in the reward).
// gspo_token: the value of s with the gradient of each token, so that tokens may have advantages of their
// own. Metrics, means over sequences (tokens for gspo_token): ratio (s); clip_low, clip_high: share whose
// gradient the clip removed.
#include "objective/policy/kinds.h"
#include "objective/policy/ratio.h"
#include "tensor/packed.h"

namespace temper::objective {
namespace {

struct SequenceClipOptions : PolicyObjectiveOptions {
  double clip_low = 0.2, clip_high = 0.2;
  std::string ratio = "mean";
  bool times_length = false, per_token = false;  // which preset it is; not fields

  void fields(FieldVisitor& v) override {
    v.field("clip_low", clip_low,
            {.help = "the sequence's ratio is clipped below at 1 - clip_low", .min = 0, .max = 1});
    v.field("clip_high", clip_high,
            {.help = "the sequence's ratio is clipped above at 1 + clip_high", .min = 0});
    if (!per_token) {
      v.field(
          "ratio", ratio,
          {.help = "exp of the mean of the tokens' log-ratios, or of their sum", .choices = {"mean", "sum"}});
    }
  }
  std::unique_ptr<PolicyObjective> make() const override;
};

class SequenceClip : public PolicyObjective {
 public:
  explicit SequenceClip(const SequenceClipOptions& options) : o_(options) {}
  Needs needs() const override { return {.logp_old = true}; }
  Unit unit() const override { return o_.per_token ? Unit::kToken : Unit::kSequence; }

  Terms operator()(const PolicyBatch& batch) const override {
    const at::Tensor d = log_ratio(batch);
    if (o_.per_token) {
      const at::Tensor mean = gather_sequence(sequence_mean(batch, d.detach()), batch.sequence);
      return clip(bounded_exp(mean + batch.logp - batch.logp.detach()), advantage_per_token(batch), batch);
    }
    const at::Tensor ratio =
        bounded_exp(o_.ratio == "mean" ? sequence_mean(batch, d) : sequence_sum(batch, d));
    Terms terms = clip(ratio, advantage_per_sequence(batch), batch);
    const at::Tensor length = segment_count(batch.sequence, batch.sequences).to(d.scalar_type());
    terms.value = terms.value * (o_.times_length ? length : has_tokens(batch));
    return terms;
  }

 private:
  Terms clip(const at::Tensor& ratio, const at::Tensor& a, const PolicyBatch& batch) const {
    const at::Tensor clipped = ratio.clamp(1 - o_.clip_low, 1 + o_.clip_high), r = ratio.detach();
    Terms terms{-at::min(ratio * a, clipped * a), {}};
    terms.metrics["ratio"] = {r, unit()};
    terms.metrics["clip_low"] = share(a.lt(0).logical_and(r.lt(1 - o_.clip_low)), unit(), batch);
    terms.metrics["clip_high"] = share(a.gt(0).logical_and(r.gt(1 + o_.clip_high)), unit(), batch);
    return terms;
  }

  SequenceClipOptions o_;
};

std::unique_ptr<PolicyObjective> SequenceClipOptions::make() const {
  return std::make_unique<SequenceClip>(*this);
}

}  // namespace

std::unique_ptr<PolicyAlgorithm> gspo() {
  auto options = std::make_unique<SequenceClipOptions>();
  options->clip_low = 3e-4;
  options->clip_high = 4e-4;
  return preset("gspo", std::move(options));
}

std::unique_ptr<PolicyAlgorithm> gspo_token() {
  auto algorithm = gspo();
  algorithm->name = "gspo_token";
  static_cast<SequenceClipOptions&>(*algorithm->objective).per_token = true;
  return algorithm;
}

std::unique_ptr<PolicyAlgorithm> luspo() {
  auto options = std::make_unique<SequenceClipOptions>();
  options->times_length = true;
  return preset("luspo", std::move(options));
}

std::unique_ptr<PolicyAlgorithm> rloo() {
  auto options = std::make_unique<SequenceClipOptions>();
  options->ratio = "sum";
  auto algorithm = preset("rloo", std::move(options));
  algorithm->advantage = "rloo";
  algorithm->kl_coef = 0.05;
  algorithm->kl_in = "reward";
  return algorithm;
}

}  // namespace temper::objective
