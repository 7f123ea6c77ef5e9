// One optimizer update of a session.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>

#include "train/session.h"
#include "train/shared.h"

namespace temper {

void Session::begin_update(const std::vector<MicroBatch>& batches, const LossFunction& loss) {
  struct Run : TrainingRun {
    Run(Session& s, const std::function<double()>& loss) : s(s), probe(loss) {}
    StateTensors forget(const std::string& name) override {
      // The list holds the tensors too.
      std::erase_if(s.parameters_, [&](const OptimParameter& p) { return p.name == name; });
      changed = true;
      return s.optimizer->forget(name);
    }
    void add(const std::string& name, const StateTensors& state) override {
      for (OptimParameter& p : active_parameters(*s.config.optimizer, *s.adapter)) {
        if (p.name == name) s.optimizer->add(std::move(p), state);
      }
      changed = true;
    }
    double loss() override {
      at::NoGradGuard guard;
      return probe();
    }
    Session& s;
    const std::function<double()>& probe;
    bool changed = false;
  };
  const auto seed = static_cast<uint64_t>(config.seed), updates = static_cast<uint64_t>(state.updates);
  const std::function<double()> probe = [&] {
    double sum = 0;
    for (size_t i = 0; i < batches.size(); ++i) {
      adapter->set_step(seed, updates, i);
      if (ranks.mine(i)) sum += loss(batches[i]).loss.item<double>();
    }
    return ranks.sum(sum);
  };
  Run run(*this, probe);
  adapter->begin_update(state.updates, run);
  // In the adapter's order, so that sums over them do not depend on who joined when.
  if (run.changed) parameters_ = active_parameters(*config.optimizer, *adapter);
}

std::map<std::string, double> Session::sums_over(
    const std::vector<MicroBatch>& batches,
    const std::function<std::map<std::string, double>(const MicroBatch&)>& of) {
  std::map<std::string, double> sums;
  for (size_t i = 0; i < batches.size(); ++i) {
    if (!ranks.mine(i)) continue;
    for (const auto& [name, value] : of(batches[i])) sums[name] += value;
  }
  ranks.sum(sums);
  return sums;
}

// Every rank gets the sums of all, but for gradients that go to their owners.
void Session::join_gradients(UpdateOutcome& outcome) {
  if (ranks.alone()) return;
  at::NoGradGuard guard;
  std::vector<at::Tensor> everywhere = adapter->gradient_carriers();
  if (shard_.on()) {
    shard_.sum_gradients(parameters_);
  } else {
    for (const OptimParameter& p : parameters_) everywhere.push_back(p.value);
  }
  sum_gradients(ranks, everywhere);
  outcome.metrics["\n"] = outcome.loss;  // one exchange; no metric is called so
  ranks.sum(outcome.metrics);
  outcome.loss = outcome.metrics["\n"];
  outcome.metrics.erase("\n");
}

std::vector<MicroBatch> Session::pack(const std::vector<Sequence>& sequences, bool share_prompts) const {
  const auto span = phases->in(Phase::kData);
  return cut_into_micro_batches(sequences, config.train.micro_batch_tokens, share_prompts, device());
}

LogpResult Session::logp(const at::Tensor& hidden, const Targets& targets, const LogpOptions& options) const {
  const auto span = phases->in(Phase::kHead);
  return model_logp(*model, hidden, targets, options);
}

UpdateOutcome Session::update(const std::vector<MicroBatch>& batches, const LossFunction& loss) {
  UpdateOutcome outcome;
  {
    const auto span = phases->in(Phase::kForward);
    begin_update(batches, loss);
    balance_routers(batches);  // of the weights that the update then trains
  }
  for (size_t i = 0; i < batches.size(); ++i) {
    adapter->set_step(static_cast<uint64_t>(config.seed), static_cast<uint64_t>(state.updates), i);
    if (!ranks.mine(i)) continue;
    LossShare share;
    {
      const auto span = phases->in(Phase::kForward);
      share = loss(batches[i]);
      outcome.loss += share.loss.item<double>();
    }
    for (const auto& [name, value] : share.metrics) outcome.metrics[name] += value;
    const auto span = phases->in(Phase::kBackward);
    if (share.loss.requires_grad()) torch::autograd::backward({share.loss}, {});
  }
  {
    const auto span = phases->in(Phase::kBackward);
    join_gradients(outcome);
    outcome.loss += join_routers();
    if (const at::Tensor penalty = adapter->penalty(); penalty.defined()) {
      outcome.loss += penalty.item<double>();
      torch::autograd::backward({penalty}, {});
    }
    adapter->end_backward();
  }
  const auto span = phases->in(Phase::kOptimizer);
  const std::vector<OptimParameter> owned = shard_.owned(parameters_);
  outcome.grad_norm = shard_.norm(owned);
  outcome.lr = config.optimizer->lr * config.schedule->factor(state.updates, config.updates());
  const auto problem = health->check(state.step + 1, outcome.loss, outcome.grad_norm);
  if (problem) {
    progress->message(*problem, LogLevel::kWarning);
    outcome.skipped = true;
  } else {
    clip_gradients(owned, outcome.grad_norm, config.optimizer->clip_norm);
    if (adapter->lr_factors_change()) {
      for (const OptimParameter& p : active_parameters(*config.optimizer, *adapter))
        optimizer->set_lr_factor(p.name, p.lr_factor);
    }
    const auto start = std::chrono::steady_clock::now();
    optimizer->step(outcome.lr);
    outcome.lr = optimizer->rate(outcome.lr);
    shard_.publish();
    adapter->refresh();
    optimizer_seconds_ += std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  }
  // Undefined, not zero: the next step's first micro-batch then hands its gradient over without a copy.
  for (OptimParameter& p : parameters_) p.value.mutable_grad() = at::Tensor();
  ++state.updates;
  ranks.demand_same(fmt::format("{} {} {} {:a} {:a}", state.step, state.cursor, state.updates, outcome.loss,
                                outcome.grad_norm),
                    fmt::format("step {}", state.step + 1));
  return outcome;
}

}  // namespace temper
