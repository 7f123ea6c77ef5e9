// Every way of merging that a recipe can name.
#include "merge/kinds.h"

namespace temper {

const Registry<MergeOptions>& merge_registry() {
  static const Registry<MergeOptions> registry = [] {
    Registry<MergeOptions> r("merge");
    r.add({"linear", "the weighted mean of the weights", "Wortsman et al., arXiv 2203.05482", merge_linear});
    r.add({"slerp", "between two models on the arc, not the chord", "Shoemake, SIGGRAPH 1985", merge_slerp});
    r.add({"task_arithmetic", "the base and a sum of what the models are beyond it",
           "Ilharco et al., arXiv 2212.04089", merge_task_arithmetic});
    r.add({"ties", "task vectors trimmed, their signs elected, and the mean of those that agree",
           "Yadav et al., arXiv 2306.01708", merge_ties});
    r.add({"dare", "task vectors with entries dropped at random and the rest scaled up",
           "Yu et al., arXiv 2311.03099", merge_dare});
    r.add({"model_stock", "between the base and the models' mean, by the angle between the models",
           "Jang et al., arXiv 2403.19522", merge_model_stock});
    r.add({"timber", "an instruct model whose difference from its base loses the tail of its spectrum",
           "Wu et al., arXiv 2509.23595", merge_timber});
    r.add({"expo", "a model moved on, away from the base it was trained from",
           "Zheng et al., arXiv 2404.16792", merge_expo});
    r.add({"fisher", "the mean weighted by each model's diagonal Fisher", "Matena & Raffel, arXiv 2111.09832",
           merge_fisher});
    r.add({"regmean", "the linear layers whose outputs are nearest to every model's own on its data",
           "Jin et al., arXiv 2212.09849", merge_regmean});
    r.add({"mats", "models matched in their task subspaces, by conjugate gradients",
           "Tam et al., arXiv 2312.04339", merge_mats});
    r.add({"atlas", "the base and task vectors with a learnt coefficient for each tensor",
           "Zhang et al., arXiv 2407.02880", merge_atlas});
    return r;
  }();
  return registry;
}

}  // namespace temper
