// BRAIn (arXiv 2402.02479, the authors' toy code): amortised posterior by self-normalised importance weights.
// For the n responses of a prompt, drawn from q' (logp_old), with l sums of log-probs:
//   alpha = softmax over the group of l_ref + R / tau - l_old   (the posterior's share of each response)
//   b     = softmax over the group of l - l_old                 (the policy's)
//   loss  = -sum of sg(alpha - b) l, mean over groups: the gradient of -sum sg(alpha) log b.
// prepare() keeps the two normalisers of each group over the whole step, so a group may be split over
// micro-batches. Null rewards and excluded sequences are not part of their group. The advantage estimator is
// not used. Metrics, means over sequences: weight: |alpha - b|.
#include <cmath>
#include <unordered_map>

#include "base/error.h"
#include "objective/policy/kinds.h"
#include "objective/policy/ratio.h"

namespace temper::objective {
namespace {

struct BrainOptions : PolicyObjectiveOptions {
  double tau = 1.0;
  void fields(FieldVisitor& v) override {
    v.field("tau", tau, {.help = "temperature of the reward in the posterior", .min = 1e-6});
  }
  std::unique_ptr<PolicyObjective> make() const override;
};

class Brain : public PolicyObjective {
 public:
  explicit Brain(const BrainOptions& options) : o_(options) {}
  Needs needs() const override {
    return {.logp_old = true, .logp_ref = true, .reward = true, .group = true, .step_logp = true};
  }
  Unit unit() const override { return Unit::kGroup; }

  void prepare(const PolicyBatch& step) override {
    groups_.clear();
    const Scores scores = scores_of(step);
    const at::Tensor target = scores.target.to(at::kDouble).cpu(),
                     policy = scores.policy.detach().to(at::kDouble).cpu();
    const at::Tensor part = scores.part.cpu(), group = step.group.cpu();
    for (int64_t s = 0; s < step.sequences; ++s) {
      if (!part[s].item<bool>()) continue;
      Group& g = groups_[group[s].item<int64_t>()];
      g.target = log_add(g.target, target[s].item<double>());
      g.policy = log_add(g.policy, policy[s].item<double>());
    }
  }

  Terms operator()(const PolicyBatch& batch) const override {
    const Scores scores = scores_of(batch);
    const at::Tensor group = batch.group.cpu();
    std::vector<double> target, policy;
    for (int64_t s = 0; s < batch.sequences; ++s) {
      const auto it = groups_.find(group[s].item<int64_t>());
      target.push_back(it == groups_.end() ? 0.0 : it->second.target);
      policy.push_back(it == groups_.end() ? 0.0 : it->second.policy);
    }
    const auto options = batch.logp.options().requires_grad(false);
    const at::Tensor alpha = (scores.target - at::tensor(target, options)).clamp_max(0).exp();
    const at::Tensor b = (scores.policy.detach() - at::tensor(policy, options)).clamp_max(0).exp();
    const at::Tensor weight = at::where(scores.part, alpha - b, at::zeros_like(alpha));
    Terms terms{-weight * sequence_sum(batch, batch.logp), {}};
    terms.metrics["weight"] = {weight.abs(), Unit::kSequence};
    return terms;
  }

 private:
  struct Group {
    double target = -std::numeric_limits<double>::infinity(),
           policy = -std::numeric_limits<double>::infinity();
  };
  struct Scores {
    at::Tensor target, policy;  // [S] logits of alpha and b
    at::Tensor part;            // [S] bool
  };

  static double log_add(double a, double b) {
    const double high = std::max(a, b);
    return std::isinf(high) ? high : high + std::log(std::exp(a - high) + std::exp(b - high));
  }

  Scores scores_of(const PolicyBatch& batch) const {
    if (!batch.reward.defined() || !batch.group.defined())
      bug("brain: the policy batch has no reward or no group");
    const at::Tensor reward = batch.reward.to(batch.logp.scalar_type());
    Scores out;
    out.target = sequence_sum(batch, batch.logp_ref - batch.logp_old) + at::nan_to_num(reward, 0.0) / o_.tau;
    out.policy = sequence_sum(batch, log_ratio(batch));
    out.part = reward.isnan().logical_not().logical_and(included(batch).gt(0));
    return out;
  }

  BrainOptions o_;
  std::unordered_map<int64_t, Group> groups_;
};

std::unique_ptr<PolicyObjective> BrainOptions::make() const {
  return std::make_unique<Brain>(*this);
}

}  // namespace

std::unique_ptr<PolicyAlgorithm> brain() {
  auto algorithm = preset("brain", std::make_unique<BrainOptions>());
  algorithm->advantage = "group_center";  // for the records only
  return algorithm;
}

}  // namespace temper::objective
