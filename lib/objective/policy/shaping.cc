// Reward shaping that belongs to the algorithm: overlong penalty and KL in the reward.
#include "objective/policy/policy.h"
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

at::Tensor kl_reward(const PolicyAlgorithm& algorithm, const PolicyBatch& step) {
  const at::Tensor k1 = (step.logp_old - step.logp_ref).detach();
  return -algorithm.kl_coef * segment_sum(k1, step.sequence, step.sequences);
}

}  // namespace temper::objective
