#include "objective/policy/ratio.h"

#include "base/error.h"
#include "tensor/packed.h"

namespace temper::objective {

at::Tensor log_ratio(const PolicyBatch& batch) {
  if (!batch.logp_old.defined()) bug("the policy batch has no logp_old");
  return batch.logp - batch.logp_old;
}

at::Tensor advantage_per_token(const PolicyBatch& batch) {
  if (batch.token_advantage.defined()) return batch.token_advantage.to(batch.logp.scalar_type());
  if (!batch.advantage.defined()) bug("the policy batch has no advantage");
  return gather_sequence(batch.advantage.to(batch.logp.scalar_type()), batch.sequence);
}

at::Tensor advantage_per_sequence(const PolicyBatch& batch) {
  if (!batch.advantage.defined()) bug("the policy batch has no advantage per sequence");
  return batch.advantage.to(batch.logp.scalar_type());
}

at::Tensor has_tokens(const PolicyBatch& batch) {
  return segment_count(batch.sequence, batch.sequences).gt(0).to(batch.logp.scalar_type());
}

at::Tensor first_tokens(const PolicyBatch& batch) {
  const int64_t tokens = batch.sequence.size(0);
  at::Tensor first = at::ones({tokens}, batch.sequence.options().dtype(at::kBool));
  if (tokens > 1) {
    first.narrow(0, 1, tokens - 1)
        .copy_(batch.sequence.narrow(0, 1, tokens - 1).ne(batch.sequence.narrow(0, 0, tokens - 1)));
  }
  return first;
}

at::Tensor sequence_sum(const PolicyBatch& batch, const at::Tensor& per_token) {
  return segment_sum(per_token, batch.sequence, batch.sequences);
}

at::Tensor sequence_mean(const PolicyBatch& batch, const at::Tensor& per_token) {
  return sequence_sum(batch, per_token) / lengths_at_least_one(batch);
}

Metric share(const at::Tensor& condition, Unit unit, const PolicyBatch& batch) {
  return {condition.detach().to(batch.logp.scalar_type()), unit};
}

std::unique_ptr<PolicyAlgorithm> preset(const std::string& name,
                                        std::unique_ptr<PolicyObjectiveOptions> objective) {
  auto algorithm = std::make_unique<PolicyAlgorithm>();
  algorithm->name = name;
  algorithm->objective = std::move(objective);
  return algorithm;
}

at::Tensor lengths_at_least_one(const PolicyBatch& batch) {
  return segment_count(batch.sequence, batch.sequences).to(batch.logp.scalar_type()).clamp_min(1);
}

at::Tensor included(const PolicyBatch& batch) {
  if (batch.include.defined()) return batch.include.to(batch.logp.scalar_type());
  return at::ones({batch.sequences}, batch.logp.options().requires_grad(false));
}

}  // namespace temper::objective
