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

TokenNumbers logp_and_values(Session& s, const std::vector<Sequence>& sequences) {
  at::NoGradGuard guard;
  LogpOptions options;
  options.temperature = s.config.rollout.temperature;
  std::vector<at::Tensor> logp, value;
  for (const MicroBatch& b : cut_into_micro_batches(sequences, s.config.train.micro_batch_tokens,
                                                    s.config.train.share_prompts, s.device())) {
    const at::Tensor hidden = s.model->hidden(b.tokens);
    logp.push_back(
        selective_logp(hidden, s.model->head().compute, s.model->head().master, b.targets, options).logp);
    value.push_back(model_scores(*s.model, hidden, b.targets.source).select(1, 0));
  }
  return {at::cat(logp), at::cat(value)};
}

void with_reference(Session& s, const std::function<void(Model&)>& body) {
  if (!s.adapter->can_switch_off()) {
    if (s.reference == nullptr) {
      const std::string& path = s.config.model.path;
      s.reference = !path.empty() ? Model::load(path, s.model->precision())
                                  : Model::initialise(s.model->config(), s.model->precision(),
                                                      static_cast<uint64_t>(s.config.seed));
    }
    body(*s.reference);
    return;
  }
  // Switched on again whatever happens: a signal during generation saves the adapter.
  struct SwitchOn {
    Adapter& adapter;
    ~SwitchOn() { adapter.set_enabled(true); }
  } guard{*s.adapter};
  s.adapter->set_enabled(false);
  body(*s.model);
}

at::Tensor reference_logp(Session& s, const std::vector<Sequence>& sequences, int64_t unit) {
  at::Tensor logp;
  with_reference(s, [&](Model& model) { logp = logp_of(s, model, sequences, unit); });
  return logp;
}

}  // namespace temper
