#include "objective/kinds.h"

namespace temper::objective {

const Registry<PolicyAlgorithm>& policy_registry() {
  static const Registry<PolicyAlgorithm> registry = [] {
    Registry<PolicyAlgorithm> r("algorithm");
    r.add({"grpo", "PPO clip on group z-scores, mean of the sequences' means",
           "Shao et al., arXiv 2402.03300", grpo});
    r.add({"dapo", "GRPO with clip-higher, dynamic sampling, token mean and a soft overlong penalty",
           "Yu et al., arXiv 2503.14476", dapo});
    r.add({"dr_grpo", "GRPO without the divisions by standard deviation and length",
           "Liu et al., arXiv 2503.20783", dr_grpo});
    return r;
  }();
  return registry;
}

const Registry<SupervisedOptions>& supervised_registry() {
  static const Registry<SupervisedOptions> registry = [] {
    Registry<SupervisedOptions> r("loss");
    r.add({"nll", "cross entropy: -log p of each target", "", nll});
    return r;
  }();
  return registry;
}

}  // namespace temper::objective
