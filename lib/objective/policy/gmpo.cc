// GMPO (arXiv 2507.20673): the geometric mean of clipped ratios, one value a sequence, with d = logp -
// logp_old:
//   A >= 0: d' = min(d, log_clip_high);  A < 0: d' = max(d, -log_clip_low);  loss = -A exp(sum d' / |o|).
// The clip is one-sided, in log space, before the mean; a clipped token loses its own gradient and still sets
// the value. The ablations of the paper: no clip, the clip on the sum of d instead of on each token, no
// division by |o|. Metrics: ratio (the geometric mean, over sequences); clip_low, clip_high: share of tokens
// that the clip cut off.
#include "objective/policy/kinds.h"
#include "objective/policy/ratio.h"
#include "tensor/packed.h"

namespace temper::objective {
namespace {

struct GmpoOptions : PolicyObjectiveOptions {
  double log_clip_low = 0.4, log_clip_high = 0.4;
  std::string clip = "token";
  bool length_norm = true;

  void fields(FieldVisitor& v) override {
    v.field("log_clip_low", log_clip_low,
            {.help = "for A < 0 a log-ratio below -log_clip_low is cut off", .min = 0});
    v.field("log_clip_high", log_clip_high,
            {.help = "for A >= 0 a log-ratio above log_clip_high is cut off", .min = 0});
    v.field("clip", clip,
            {.help = "what is clipped: each token's log-ratio, their sum, or nothing",
             .choices = {"token", "sequence", "none"}});
    v.field("length_norm", length_norm, {.help = "divide the sum of log-ratios by the length: a mean"});
  }
  std::unique_ptr<PolicyObjective> make() const override;
};

class Gmpo : public PolicyObjective {
 public:
  explicit Gmpo(const GmpoOptions& options) : o_(options) {}
  Needs needs() const override { return {.logp_old = true}; }
  Unit unit() const override { return Unit::kSequence; }

  Terms operator()(const PolicyBatch& batch) const override {
    const at::Tensor a = advantage_per_sequence(batch), a_token = gather_sequence(a, batch.sequence);
    const at::Tensor d = log_ratio(batch);
    at::Tensor total = sequence_sum(batch, o_.clip == "token" ? one_sided(d, a_token) : d);
    if (o_.clip == "sequence") total = one_sided(total, a);
    const at::Tensor ratio = bounded_exp(o_.length_norm ? total / lengths_at_least_one(batch) : total);
    Terms terms{-a * ratio * has_tokens(batch), {}};
    terms.metrics["ratio"] = {ratio.detach(), Unit::kSequence};
    if (o_.clip == "token") {
      terms.metrics["clip_low"] =
          share(a_token.lt(0).logical_and(d.lt(-o_.log_clip_low)), Unit::kToken, batch);
      terms.metrics["clip_high"] =
          share(a_token.ge(0).logical_and(d.gt(o_.log_clip_high)), Unit::kToken, batch);
    }
    return terms;
  }

 private:
  // min and clamp together, as in the authors' code: the same values as a clamp, and half a gradient on the
  // edge itself.
  at::Tensor one_sided(const at::Tensor& d, const at::Tensor& a) const {
    return at::where(a.ge(0), at::min(d, d.clamp_max(o_.log_clip_high)),
                     at::max(d, d.clamp_min(-o_.log_clip_low)));
  }

  GmpoOptions o_;
};

std::unique_ptr<PolicyObjective> GmpoOptions::make() const {
  return std::make_unique<Gmpo>(*this);
}

}  // namespace

std::unique_ptr<PolicyAlgorithm> gmpo() {
  return preset("gmpo", std::make_unique<GmpoOptions>());
}

}  // namespace temper::objective
