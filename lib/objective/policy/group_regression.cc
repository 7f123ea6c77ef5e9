// Two objectives that regress log-ratios on rewards within a group of n responses; both read rewards, not
// advantages. With l = sum of logp - logp_old (or logp_ref) of a response and bars for means over its group:
//   gvpo (arXiv 2504.19599): sum of e^2 / 2 / (n - 1) with e = beta (l - l_bar) - (R - R_bar);
//   copg (arXiv 2406.19185): minus the sum over pairs of ((R - R') - (beta/2)(l - l')) (l - l') / (n - 1).
// Per group copg = (n / beta) (gvpo - sum (R - R_bar)^2 / 2 / (n - 1)): the same gradient up to n / beta.
// Mean over groups. l_bar and R_bar come from prepare() over the whole step: as the residuals of a group sum
// to 0, holding l_bar fixed changes no gradient, and a group may be split over micro-batches. Null rewards
// and excluded sequences are not part of their group. Metrics, means over sequences: residual: |e|;
// log_ratio: l.
#include <unordered_map>

#include "base/error.h"
#include "objective/policy/kinds.h"
#include "objective/policy/ratio.h"
#include "tensor/packed.h"

namespace temper::objective {
namespace {

struct GroupRegressionOptions : PolicyObjectiveOptions {
  double beta = 0.1;
  std::string against = "old";
  bool contrastive = false;  // which of the two it is; not a field

  void fields(FieldVisitor& v) override {
    v.field("beta", beta, {.help = "strength of the pull to the policy that is compared with", .min = 0});
    v.field("against", against,
            {.help = "the log-ratio's other policy: the one that sampled, or the reference model",
             .choices = {"old", "ref"}});
  }
  std::unique_ptr<PolicyObjective> make() const override;
};

class GroupRegression : public PolicyObjective {
 public:
  explicit GroupRegression(const GroupRegressionOptions& options) : o_(options) {}
  Needs needs() const override {
    const bool ref = o_.against == "ref";
    return {.logp_old = !ref, .logp_ref = ref, .reward = true, .group = true, .step_logp = true};
  }
  Unit unit() const override { return Unit::kGroup; }

  void prepare(const PolicyBatch& step) override {
    groups_.clear();
    const at::Tensor l = sequence_log_ratio(step).detach().to(at::kDouble).cpu(),
                     part = takes_part(step).cpu();
    const at::Tensor reward = step.reward.to(at::kDouble).cpu(), group = step.group.cpu();
    for (int64_t s = 0; s < step.sequences; ++s) {
      if (!part[s].item<bool>()) continue;
      Group& g = groups_[group[s].item<int64_t>()];
      g.count += 1;
      g.l += l[s].item<double>();
      g.reward += reward[s].item<double>();
    }
    for (auto& [label, g] : groups_) {
      g.l /= g.count;
      g.reward /= g.count;
    }
  }

  Terms operator()(const PolicyBatch& batch) const override {
    const auto options = batch.logp.options().requires_grad(false);
    const at::Tensor group = batch.group.cpu();
    std::vector<double> count, l_mean, reward_mean;
    for (int64_t s = 0; s < batch.sequences; ++s) {
      const auto it = groups_.find(group[s].item<int64_t>());
      const Group g = it == groups_.end() ? Group{} : it->second;
      count.push_back(g.count);
      l_mean.push_back(g.l);
      reward_mean.push_back(g.reward);
    }
    const at::Tensor n = at::tensor(count, options), part = takes_part(batch).to(batch.logp.scalar_type());
    const at::Tensor l = sequence_log_ratio(batch), dl = l - at::tensor(l_mean, options);
    const at::Tensor dr = at::nan_to_num(batch.reward.to(options), 0.0) - at::tensor(reward_mean, options);
    const at::Tensor e = o_.beta * dl - dr, pairs = (n - 1).clamp_min(1);
    // Sums over pairs in closed form: sum_{i<j} (x_i - x_j)(y_i - y_j) = n sum_i (x_i - x_bar)(y_i - y_bar).
    const at::Tensor value =
        o_.contrastive ? -n / pairs * (dr - 0.5 * o_.beta * dl) * dl : 0.5 * e.square() / pairs;
    Terms terms{value * part, {}};
    terms.metrics["residual"] = {(e.abs() * part).detach(), Unit::kSequence};
    terms.metrics["log_ratio"] = {l.detach(), Unit::kSequence};
    return terms;
  }

 private:
  struct Group {
    double count = 0, l = 0, reward = 0;
  };

  at::Tensor sequence_log_ratio(const PolicyBatch& batch) const {
    return sequence_sum(batch, o_.against == "ref" ? batch.logp - batch.logp_ref : log_ratio(batch));
  }
  static at::Tensor takes_part(const PolicyBatch& batch) {
    if (!batch.reward.defined() || !batch.group.defined()) bug("the policy batch has no reward or no group");
    return batch.reward.isnan().logical_not().logical_and(included(batch).gt(0));
  }

  GroupRegressionOptions o_;
  std::unordered_map<int64_t, Group> groups_;
};

std::unique_ptr<PolicyObjective> GroupRegressionOptions::make() const {
  return std::make_unique<GroupRegression>(*this);
}

}  // namespace

std::unique_ptr<PolicyAlgorithm> gvpo() {
  auto algorithm = preset("gvpo", std::make_unique<GroupRegressionOptions>());
  algorithm->advantage = "group_center";  // for the records only
  return algorithm;
}

std::unique_ptr<PolicyAlgorithm> copg() {
  auto options = std::make_unique<GroupRegressionOptions>();
  options->contrastive = true;
  options->against = "ref";
  auto algorithm = preset("copg", std::move(options));
  algorithm->advantage = "group_center";
  return algorithm;
}

}  // namespace temper::objective
