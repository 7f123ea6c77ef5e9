// The routers of a mixture of experts over an update: how busy they keep the experts, and the loss that keeps
// them equally busy.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "train/session.h"

namespace temper {
namespace {

// The sums of all ranks.
void sum(Ranks& ranks, int64_t experts, RouterCounts& counts) {
  if (ranks.alone()) return;
  for (at::Tensor* t : {&counts.chosen, &counts.probability})
    if (!t->defined()) *t = at::zeros({experts}, at::kDouble);  // a rank without a micro-batch
  std::map<std::string, double> numbers = {{"entropy", counts.entropy},
                                           {"tokens", counts.tokens},
                                           {"compared", counts.compared},
                                           {"same", counts.same}};
  const auto name = [](const char* what, int64_t e) { return what + std::to_string(e); };
  for (int64_t e = 0; e < experts; ++e) {
    numbers[name("chosen", e)] = counts.chosen[e].item<double>();
    numbers[name("probability", e)] = counts.probability[e].item<double>();
  }
  ranks.sum(numbers);
  counts.entropy = numbers["entropy"];
  counts.tokens = numbers["tokens"];
  counts.compared = numbers["compared"];
  counts.same = numbers["same"];
  for (int64_t e = 0; e < experts; ++e) {
    counts.chosen[e] = numbers[name("chosen", e)];
    counts.probability[e] = numbers[name("probability", e)];
  }
}

}  // namespace

// The balance loss is a product of means over all tokens of the update. With the choices of all counted
// first, by a pass of its own, what is left is linear in the tokens and does not depend on micro-batches or
// ranks.
void Session::balance_routers(const std::vector<MicroBatch>& batches) {
  router_counts_ = {};
  balance_gradient_ = at::Tensor();
  const Experts& experts = model->config().experts;
  if (experts.count == 0 || balance_ == 0) return;
  at::NoGradGuard guard;
  for (size_t i = 0; i < batches.size(); ++i) {
    adapter->set_step(static_cast<uint64_t>(config.seed), static_cast<uint64_t>(state.updates), i);
    if (ranks.mine(i)) model->hidden(batches[i].tokens, forward_options(true, batches[i].routes));
  }
  sum(ranks, experts.count, router_counts_);
  balance_gradient_ = router_counts_.balance_gradient() * balance_;
}

// What the balance loss adds to the update's loss; the counts are those of all ranks afterwards.
double Session::join_routers() {
  const Experts& experts = model->config().experts;
  if (experts.count == 0) return 0;
  if (balance_ == 0) {
    sum(ranks, experts.count, router_counts_);
    return 0;
  }
  return balance_ * router_counts_.balance_loss();
}

// How unequal the busiest expert's share is (1: all alike), the entropy of the routers' probabilities a token
// and layer in nats, the balance loss before its coefficient, and of the choices that decoding made of the
// same tokens the share that the update's pass makes, too.
void Session::add_router_figures(MetricsRow& row) const {
  const RouterCounts& c = router_counts_;
  if (c.tokens == 0) return;
  const double mean = c.chosen.sum().item<double>() / static_cast<double>(c.chosen.size(0));
  row.values.emplace_back("router_load", c.chosen.max().item<double>() / mean);
  row.values.emplace_back("router_entropy", c.entropy / c.tokens);
  row.values.emplace_back("router_balance", c.balance_loss());
  if (c.compared > 0) row.values.emplace_back("router_agreement", c.same / c.compared);
}

}  // namespace temper
