// Advantages over a step of rewards in groups, computed in double. Per group of n rewards R (nulls left out),
// mu their mean, s their unbiased standard deviation:
//   group_zscore  (R - mu) / (s + eps)                 GRPO, arXiv 2402.03300
//   group_center  R - mu                               Dr. GRPO, arXiv 2503.20783
//   batch_zscore  (R - mu) / (s of the whole step + eps)
//   rloo          R - mean of the others = n/(n-1) (R - mu)   arXiv 2402.14740
#include "objective/advantages.h"

#include "base/error.h"
#include "objective/policy.h"
#include "objective/ratio.h"
#include "tensor/packed.h"

namespace temper::objective {
namespace {

struct GroupStatistics {
  at::Tensor valid;      // [S] bool: has a reward
  at::Tensor reward;     // [S] double, 0 where null
  at::Tensor count;      // [S] rewards in its group
  at::Tensor centered;   // [S] R - mu; exactly 0 in a group of equal rewards, whatever the rounding of mu
  at::Tensor deviation;  // [S] s of its group, 0 for fewer than two rewards
};

at::Tensor unbiased_deviation(const at::Tensor& squares, const at::Tensor& count) {
  return (squares / (count - 1).clamp_min(1)).sqrt();
}

GroupStatistics group_statistics(const at::Tensor& reward, const at::Tensor& group) {
  const GroupIndex groups = index_groups(group);
  const auto over_group = [&](const at::Tensor& value) {
    return gather_sequence(segment_sum(value, groups.index, groups.count), groups.index);
  };
  const auto max_over_group = [&](const at::Tensor& value) {
    return gather_sequence(segment_max(value, groups.index, groups.count), groups.index);
  };
  GroupStatistics out;
  const at::Tensor all = reward.to(at::kDouble);
  out.valid = all.isnan().logical_not();
  out.reward = at::nan_to_num(all, 0.0);
  const at::Tensor present = out.valid.to(at::kDouble);
  out.count = over_group(present);
  const at::Tensor mean = over_group(out.reward) / out.count.clamp_min(1);
  const double infinity = std::numeric_limits<double>::infinity();
  const at::Tensor high = max_over_group(at::where(out.valid, out.reward, -infinity));
  const at::Tensor low = -max_over_group(at::where(out.valid, -out.reward, -infinity));
  out.centered = at::where(out.valid.logical_and(high.ne(low)), out.reward - mean, 0.0);
  out.deviation = unbiased_deviation(over_group(out.centered.square()), out.count);
  return out;
}

// 0/0 is 0: no deviation means nothing to prefer.
at::Tensor zero_safe_divide(const at::Tensor& centered, const at::Tensor& scale) {
  return at::where(centered.eq(0), at::zeros_like(centered), centered / scale);
}

at::Tensor group_zscore(const GroupStatistics& s, double eps) {
  return zero_safe_divide(s.centered, s.deviation + eps);
}

at::Tensor group_center(const GroupStatistics& s, double) {
  return s.centered;
}

at::Tensor batch_zscore(const GroupStatistics& s, double eps) {
  const at::Tensor present = s.valid.to(at::kDouble), count = present.sum();
  const at::Tensor mean = s.reward.sum() / count.clamp_min(1);
  const at::Tensor squares = ((s.reward - mean) * present).square().sum();
  return zero_safe_divide(s.centered, unbiased_deviation(squares, count) + eps);
}

at::Tensor rloo(const GroupStatistics& s, double) {
  return s.centered * s.count / (s.count - 1).clamp_min(1);
}

struct Estimator {
  const char* name;
  at::Tensor (*compute)(const GroupStatistics&, double eps);
};
constexpr Estimator kEstimators[] = {
    {"group_zscore", group_zscore},
    {"group_center", group_center},
    {"batch_zscore", batch_zscore},
    {"rloo", rloo},
};

}  // namespace

std::vector<std::string> advantage_names() {
  std::vector<std::string> out;
  for (const Estimator& estimator : kEstimators) out.emplace_back(estimator.name);
  return out;
}

at::Tensor advantages(const PolicyAlgorithm& algorithm, const at::Tensor& reward, const at::Tensor& group) {
  for (const Estimator& estimator : kEstimators) {
    if (algorithm.advantage != estimator.name) continue;
    return estimator.compute(group_statistics(reward, group), algorithm.advantage_eps)
        .to(reward.scalar_type());
  }
  bug("unknown advantage estimator \"{}\"", algorithm.advantage);
}

at::Tensor keep_groups(const at::Tensor& reward, const at::Tensor& group) {
  const GroupIndex groups = index_groups(group);
  const at::Tensor differs = group_statistics(reward, group).centered.ne(0).to(at::kDouble);
  return gather_sequence(segment_sum(differs, groups.index, groups.count), groups.index).gt(0);
}

}  // namespace temper::objective
