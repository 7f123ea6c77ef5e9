#include "train/reference.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "train/session.h"

namespace temper {

at::Tensor logp_of(Session& s, Model& model, const std::vector<Sequence>& sequences, int64_t unit) {
  at::NoGradGuard guard;
  LogpOptions options;
  options.temperature = s.config.rollout.temperature;
  std::vector<at::Tensor> parts;
  for (const MicroBatch& b : cut_into_micro_batches(sequences, s.config.train.micro_batch_tokens,
                                                    s.config.train.share_prompts, s.device(), unit)) {
    parts.push_back(model_logp(model, b.tokens, b.targets, options).logp);
  }
  return parts.empty() ? at::empty({0}, at::kFloat) : at::cat(parts);
}

at::Tensor reference_logp(Session& s, const std::vector<Sequence>& sequences, int64_t unit) {
  if (!s.adapter->can_switch_off()) {
    if (s.reference == nullptr) {
      const std::string& path = s.config.model.path;
      s.reference = !path.empty() ? Model::load(path, s.model->precision())
                                  : Model::initialise(s.model->config(), s.model->precision(),
                                                      static_cast<uint64_t>(s.config.seed));
    }
    return logp_of(s, *s.reference, sequences, unit);
  }
  s.adapter->set_enabled(false);
  const at::Tensor logp = logp_of(s, *s.model, sequences, unit);
  s.adapter->set_enabled(true);
  return logp;
}

}  // namespace temper
