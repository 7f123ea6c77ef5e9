// Reward shaping that belongs to the algorithm: overlong penalty, progress bonus and KL in the reward.
#include "objective/policy/policy.h"
#include "objective/policy/ratio.h"
#include "tensor/packed.h"

namespace temper::objective {

at::Tensor overlong_penalty(const at::Tensor& lengths, double max_length, double buffer, double factor) {
  const at::Tensor over = lengths.to(at::kFloat) - (max_length - buffer);
  if (buffer <= 0) return at::zeros_like(over);
  return (-factor / buffer * over).clamp(-factor, 0.0);
}

double overlong_buffer_tokens(const PolicyAlgorithm& algorithm, double max_new_tokens) {
  const double buffer = algorithm.overlong_buffer;
  return buffer < 1 ? buffer * max_new_tokens : std::min(buffer, max_new_tokens);
}

at::Tensor progress_bonus(const at::Tensor& reward, const at::Tensor& group, const at::Tensor& ended,
                          double alpha) {
  const GroupIndex groups = index_groups(group);
  const at::Tensor valid = reward.isnan().logical_not().to(at::kDouble);
  const at::Tensor value = at::nan_to_num(reward.to(at::kDouble), 0.0), end = ended.to(at::kDouble);
  const auto over_group = [&](const at::Tensor& of) {
    return gather_sequence(segment_sum(of, groups.index, groups.count), groups.index);
  };
  const at::Tensor n_end = over_group(valid * end), n_on = over_group(valid * (1 - end));
  const at::Tensor j_end = over_group(value * valid * end) / n_end.clamp_min(1);
  const at::Tensor j_on = over_group(value * valid * (1 - end)) / n_on.clamp_min(1);
  const at::Tensor both = n_end.gt(0).logical_and(n_on.gt(0)).to(at::kDouble);
  return (alpha * (j_on - j_end) * both * (1 - end)).to(reward.scalar_type());
}

at::Tensor kl_reward(const PolicyAlgorithm& algorithm, const PolicyBatch& step) {
  const at::Tensor k1 = (step.logp_old - step.logp_ref).detach();
  return -algorithm.kl_coef * segment_sum(k1, step.sequence, step.sequences);
}

}  // namespace temper::objective
