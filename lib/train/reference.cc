#include "train/reference.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "train/session.h"
#include "train/shared.h"

namespace temper {
namespace {

// While it lives, what trains has the moving reference's values.
class Swapped {
 public:
  explicit Swapped(Session& s) : s_(s) {
    at::NoGradGuard guard;
    for (const auto& [name, tensor] : s_.adapter->trainable()) {
      policy_.push_back(tensor.detach().clone());
      // A frozen part of a layer schedule may be bf16 and takes a rounded reference; that itself stays exact.
      tensor.detach().copy_(s_.reference_weights[policy_.size() - 1].second);
    }
    s_.adapter->refresh();
  }
  ~Swapped() {
    at::NoGradGuard guard;
    size_t i = 0;
    for (const auto& [name, tensor] : s_.adapter->trainable()) tensor.detach().copy_(policy_[i++]);
    s_.adapter->refresh();
  }
  Swapped(const Swapped&) = delete;
  Swapped& operator=(const Swapped&) = delete;

 private:
  Session& s_;
  std::vector<at::Tensor> policy_;
};

// While it lives, the model computes as the adapter's base.
class SwitchedOff {
 public:
  explicit SwitchedOff(Adapter& adapter) : adapter_(adapter) { adapter_.set_enabled(false); }
  ~SwitchedOff() { adapter_.set_enabled(true); }
  SwitchedOff(const SwitchedOff&) = delete;
  SwitchedOff& operator=(const SwitchedOff&) = delete;

 private:
  Adapter& adapter_;
};

TokenNumbers pass_over(Session& s, Model& model, const std::vector<Sequence>& sequences, bool values) {
  at::NoGradGuard guard;
  LogpOptions options;
  options.temperature = s.config.task->policy_temperature();
  const auto batches = s.pack(sequences, s.config.train.share_prompts);
  const auto span = s.phases->in(Phase::kForward);
  std::vector<at::Tensor> logp(batches.size()), value(values ? batches.size() : 0);
  for (size_t i = 0; i < batches.size(); ++i) {
    if (!s.ranks.mine(i)) continue;
    const MicroBatch& b = batches[i];
    ForwardOptions forward;
    if (s.config.task->replays_routes()) forward.routes = b.routes, forward.replay_routes = true;
    const at::Tensor hidden = model.hidden(b.tokens, forward);
    const auto head = s.phases->in(Phase::kHead);
    logp[i] = model_logp(model, hidden, b.targets, options).logp.cpu();
    if (values) value[i] = model_scores(model, hidden, b.targets.source).select(1, 0).cpu();
  }
  for (std::vector<at::Tensor>* numbers : {&logp, &value}) {
    share_numbers(s.ranks, batches, *numbers);
    numbers->push_back(at::empty({0}, at::kFloat));  // something to join where there is no sequence
  }
  return {at::cat(logp), at::cat(value)};
}

}  // namespace

at::Tensor logp_of(Session& s, Model& model, const std::vector<Sequence>& sequences) {
  return pass_over(s, model, sequences, false).logp;
}

TokenNumbers logp_and_values(Session& s, const std::vector<Sequence>& sequences) {
  return pass_over(s, *s.model, sequences, true);
}

LogpResult on_host(LogpResult result) {
  for (at::Tensor* t : {&result.logp, &result.entropy, &result.log_sum_squares, &result.top_logp,
                        &result.top_token, &result.mean_logp, &result.cosine}) {
    if (t->defined()) *t = t->cpu();
  }
  return result;
}

void with_reference(Session& s, const std::function<void(Model&)>& body) {
  if (!s.reference_weights.empty()) {
    const Swapped swapped(s);
    body(*s.model);
  } else if (s.adapter->can_switch_off()) {
    const SwitchedOff off(*s.adapter);
    body(*s.model);
  } else if (s.state.updates == 0) {
    body(*s.model);
  } else {
    if (s.reference == nullptr) {
      const std::string& path = s.config.model.path;
      s.reference = !path.empty() ? Model::load(path, s.model->precision())
                                  : Model::initialise(s.model->config(), s.model->precision(),
                                                      static_cast<uint64_t>(s.config.seed));
      s.reference->expect_length(s.model->expected_length());
    }
    body(*s.reference);
  }
}

at::Tensor reference_logp(Session& s, const std::vector<Sequence>& sequences) {
  std::vector<Sequence> own = sequences;
  for (Sequence& sequence : own) sequence.routes = nullptr;  // another model, with routers of its own
  at::Tensor logp;
  with_reference(s, [&](Model& model) { logp = logp_of(s, model, own); });
  return logp;
}

void move_reference(Session& s, double share) {
  at::NoGradGuard guard;
  const auto policy = s.adapter->trainable();
  if (s.reference_weights.empty()) {
    for (const auto& [name, tensor] : policy) {
      s.reference_weights.emplace_back(name,
                                       tensor.detach().to(at::kFloat, /*non_blocking=*/false, /*copy=*/true));
    }
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
