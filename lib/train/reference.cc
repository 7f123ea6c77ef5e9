#include "train/reference.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "train/session.h"

namespace temper {
namespace {

// While it lives, what trains has the moving reference's values, and session.reference_weights the policy's.
class Swapped {
 public:
  explicit Swapped(Session& s) : s_(s) { swap(); }
  ~Swapped() { swap(); }
  Swapped(const Swapped&) = delete;
  Swapped& operator=(const Swapped&) = delete;

 private:
  void swap() {
    at::NoGradGuard guard;
    size_t i = 0;
    for (const auto& [name, tensor] : s_.adapter->trainable()) {
      at::Tensor policy = tensor, &reference = s_.reference_weights[i++].second;
      const at::Tensor kept = policy.clone();
      policy.copy_(reference);
      reference.copy_(kept);
    }
    s_.adapter->refresh();
  }
  Session& s_;
};

}  // namespace

at::Tensor logp_of(Session& s, Model& model, const std::vector<Sequence>& sequences, int64_t unit) {
  at::NoGradGuard guard;
  LogpOptions options;
  if (s.config.task == "rl") options.temperature = s.config.rollout.temperature;
  std::vector<at::Tensor> parts;
  for (const MicroBatch& b : cut_into_micro_batches(sequences, s.config.train.micro_batch_tokens,
                                                    s.config.train.share_prompts, s.device(), unit)) {
    parts.push_back(model_logp(model, b.tokens, b.targets, options).logp);
  }
  return parts.empty() ? at::empty({0}, at::kFloat) : at::cat(parts);
}

at::Tensor reference_logp(Session& s, const std::vector<Sequence>& sequences, int64_t unit) {
  if (!s.reference_weights.empty()) {
    const Swapped swapped(s);
    return logp_of(s, *s.model, sequences, unit);
  }
  if (s.adapter->can_switch_off()) {
    s.adapter->set_enabled(false);
    const at::Tensor logp = logp_of(s, *s.model, sequences, unit);
    s.adapter->set_enabled(true);
    return logp;
  }
  if (s.state.updates == 0) return logp_of(s, *s.model, sequences, unit);
  if (s.reference == nullptr) {
    const std::string& path = s.config.model.path;
    s.reference = !path.empty() ? Model::load(path, s.model->precision())
                                : Model::initialise(s.model->config(), s.model->precision(),
                                                    static_cast<uint64_t>(s.config.seed));
  }
  return logp_of(s, *s.reference, sequences, unit);
}

void move_reference(Session& s, double share) {
  at::NoGradGuard guard;
  const auto policy = s.adapter->trainable();
  if (s.reference_weights.empty()) {
    for (const auto& [name, tensor] : policy) s.reference_weights.emplace_back(name, tensor.detach().clone());
    return;
  }
  for (size_t i = 0; i < policy.size(); ++i) {
    at::Tensor& reference = s.reference_weights[i].second;
    if (share == 1.0)
      reference.copy_(policy[i].second);
    else
      reference.mul_(1.0 - share).add_(policy[i].second, share);
  }
}

}  // namespace temper
