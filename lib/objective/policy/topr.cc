// TOPR (arXiv 2503.14286): tapered off-policy REINFORCE, one value a sequence. With x = reward - baseline and
// rho = exp(sum of logp - logp_old):
//   x >= 0: weight clip(rho, positive_min, positive_max), in the paper [1, 1]: every success counts in full;
//   x <  0: weight clip(rho, negative_min, negative_max), in the paper [0, 1]: a failure fades as it gets
//   unlikely; loss = -sg(weight) x sum of logp.
// The baseline sets how much the successes weigh in all; positive_share finds it for a wished share before
// each step. split_on advantage takes x from the advantage estimator instead. Needs the log-probs of the
// policy that sampled. Metrics, means over sequences: weight; positives: share with x >= 0. Of the step:
// baseline; positive_share: the effective share of positives, sum of x+ over sum of |x|. The paper's runs
// have rewards of 1 and -1 and no baseline, and divide by the length; the rewards of verifiers here are 1 and
// 0, of which a baseline of 0.5 makes the same up to a factor. Without one a failure's x is 0, and nothing is
// learnt from it.
#include <fmt/format.h>

#include <cmath>

#include "base/error.h"
#include "objective/policy/kinds.h"
#include "objective/policy/ratio.h"
#include "tensor/packed.h"

namespace temper::objective {
namespace {

struct ToprOptions : PolicyObjectiveOptions {
  double baseline = 0.5;
  std::optional<double> positive_share;
  std::string split_on = "reward", ratio_level = "sequence";
  double positive_min = 1.0, positive_max = 1.0, negative_min = 0.0, negative_max = 1.0;
  bool length_norm = false;

  void fields(FieldVisitor& v) override {
    v.field(
        "baseline", baseline,
        {.help = "taken off the reward, of which what is then below 0 is a failure: 0.5 for rewards of 0 and "
                 "1, 0 for rewards of 1 and -1"});
    v.field(
        "positive_share", positive_share,
        {.help = "wished share of the positives in the sum of |reward - baseline|: the baseline is found for "
                 "it before each step, and `baseline` is not read; 0.1 to 0.2 worked best in the paper; "
                 "null: off",
         .min = 0.001,
         .max = 0.999});
    v.field("split_on", split_on,
            {.help = "what is positive or negative: the reward less the baseline, or the advantage (then no "
                     "baseline is read)",
             .choices = {"reward", "advantage"}});
    v.field("ratio_level", ratio_level,
            {.help = "the ratio that is clipped: of the sequence, its geometric mean, or of each token",
             .choices = {"sequence", "sequence_mean", "token"}});
    v.field("positive_min", positive_min, {.help = "lower bound of the weight of positives", .min = 0});
    v.field("positive_max", positive_max, {.help = "upper bound of the weight of positives", .min = 0});
    v.field("negative_min", negative_min, {.help = "lower bound of the weight of negatives", .min = 0});
    v.field("negative_max", negative_max, {.help = "upper bound of the weight of negatives", .min = 0});
    v.field("length_norm", length_norm, {.help = "divide each sequence's loss by its length"});
  }
  void check(std::vector<std::string>& problems, const std::string& where) const override {
    if (positive_min > positive_max) problems.push_back(where + ": positive_min is above positive_max");
    if (negative_min > negative_max) problems.push_back(where + ": negative_min is above negative_max");
    if (split_on == "advantage" && positive_share) {
      problems.push_back(where +
                         ": positive_share is of the reward; split_on \"advantage\" does not read it");
    }
  }
  std::vector<std::string> warnings() const override {
    if (negative_min == 0) return {};
    return {
        "negative_min above 0 keeps pushing down what is already unlikely, which can destroy the policy; the "
        "paper uses 0"};
  }
  std::unique_ptr<PolicyObjective> make() const override;
};

class Topr : public PolicyObjective {
 public:
  explicit Topr(const ToprOptions& options) : o_(options), baseline_(options.baseline) {}
  Needs needs() const override { return {.logp_old = true, .reward = o_.split_on == "reward"}; }
  Unit unit() const override { return Unit::kSequence; }

  void prepare(const PolicyBatch& step) override {
    const at::Tensor keep = included(step);
    if (o_.positive_share)
      baseline_ = topr_baseline(step.reward.masked_select(keep.gt(0)), *o_.positive_share);
    const at::Tensor x = split_value(step) * keep;
    const double mass = x.abs().sum().item<double>();
    positive_share_ = mass > 0 ? x.clamp_min(0).sum().item<double>() / mass : 0.0;
    find_lowest(step, keep);
  }

  std::string warning() const override {
    if (!lowest_ || *lowest_ < baseline_) return "";
    return fmt::format(
        "topr: no reward of this step lies below the baseline {:g} (the lowest is {:g}), so no failure is "
        "learnt "
        "from; if not all were successes, set algorithm.baseline between the rewards of failures and "
        "successes, "
        "0.5 for 0 and 1",
        baseline_, *lowest_);
  }

  Terms operator()(const PolicyBatch& batch) const override {
    const at::Tensor x = split_value(batch), positive = x.ge(0);
    const at::Tensor d = log_ratio(batch).detach();
    Terms terms;
    at::Tensor weight;  // [S]
    if (o_.ratio_level == "token") {
      const at::Tensor per_token = clipped(bounded_exp(d), gather_sequence(positive, batch.sequence));
      weight = sequence_mean(batch, per_token);
      terms.value = -x * sequence_sum(batch, per_token * batch.logp);
    } else {
      const bool mean = o_.ratio_level == "sequence_mean";
      weight = clipped(bounded_exp(mean ? sequence_mean(batch, d) : sequence_sum(batch, d)), positive);
      terms.value = -weight * x * sequence_sum(batch, batch.logp);
    }
    if (o_.length_norm) terms.value = terms.value / lengths_at_least_one(batch);
    terms.metrics["weight"] = {weight, Unit::kSequence};
    terms.metrics["positives"] = share(positive, Unit::kSequence, batch);
    terms.metrics["positive_share"] = {at::full_like(x, positive_share_), Unit::kSequence};
    if (o_.split_on == "reward") terms.metrics["baseline"] = {at::full_like(x, baseline_), Unit::kSequence};
    return terms;
  }

 private:
  // The lowest reward of what the step learns of; none when an advantage or a share says what is a failure.
  void find_lowest(const PolicyBatch& step, const at::Tensor& keep) {
    lowest_.reset();
    if (o_.split_on != "reward" || o_.positive_share) return;
    const at::Tensor given = step.reward.masked_select(keep.gt(0).logical_and(step.reward.isfinite()));
    if (given.numel() > 0) lowest_ = given.min().item<double>();
  }

  at::Tensor split_value(const PolicyBatch& batch) const {
    if (o_.split_on == "advantage") return advantage_per_sequence(batch);
    if (!batch.reward.defined()) bug("topr: the policy batch has no reward");
    return at::nan_to_num(batch.reward.to(batch.logp.scalar_type()) - baseline_, 0.0);  // null: adds nothing
  }

  at::Tensor clipped(const at::Tensor& ratio, const at::Tensor& positive) const {
    return at::where(positive, ratio.clamp(o_.positive_min, o_.positive_max),
                     ratio.clamp(o_.negative_min, o_.negative_max));
  }

  ToprOptions o_;
  double baseline_, positive_share_ = 0.0;
  std::optional<double> lowest_;
};

std::unique_ptr<PolicyObjective> ToprOptions::make() const {
  return std::make_unique<Topr>(*this);
}

}  // namespace

// (1 - share) sum (R - c)+ = share sum (c - R)+ falls monotonically in c from the lowest to the highest
// reward.
double topr_baseline(const at::Tensor& reward, double share) {
  const at::Tensor all = reward.to(at::kDouble), given = all.masked_select(all.isfinite());
  if (given.numel() == 0) return 0.0;
  double low = given.min().item<double>(), high = given.max().item<double>();
  for (int i = 0; i < 200 && low < high; ++i) {
    const double c = 0.5 * (low + high);
    if (c <= low || c >= high) break;
    const double above = (given - c).clamp_min(0).sum().item<double>(),
                 below = (c - given).clamp_min(0).sum().item<double>();
    ((1 - share) * above > share * below ? low : high) = c;
  }
  return 0.5 * (low + high);
}

std::unique_ptr<PolicyAlgorithm> topr() {
  return preset("topr", std::make_unique<ToprOptions>());
}

}  // namespace temper::objective
