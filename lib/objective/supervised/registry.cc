#include "objective/extend.h"
#include "objective/supervised/kinds.h"

namespace temper::objective {

const Registry<SupervisedOptions>& supervised_registry() {
  static const Registry<SupervisedOptions> registry = [] {
    Registry<SupervisedOptions> r("loss");
    r.add({"nll", "cross entropy: -log p of each target, with label smoothing if wished",
           "Szegedy et al., arXiv 1512.00567 (label smoothing)", nll});
    r.add({"dft", "cross entropy weighted by the detached probability",
           "Wu et al., arXiv 2508.05629; TRL 1.16", dft});
    r.add({"comp_sum", "family from cross entropy to mean absolute error",
           "Mao, Mohri & Zhong, arXiv 2304.07288", comp_sum});
    r.add({"dco", "for passing at least once in n tries", "Chen et al., arXiv 2502.07154", dco});
    r.add({"unlikelihood", "cross entropy on records with a good reward, -log(1 - p) on the others",
           "Korbak et al., arXiv 2302.08582; Welleck et al., arXiv 1908.04319", unlikelihood});
    r.add({"rwr", "cross entropy weighted by exp(reward / beta)", "Korbak et al., arXiv 2302.08582", rwr});
    r.add({"phf_awr",
           "cross entropy weighted by the exponential of reward less a value head's, which it trains",
           "Korbak et al., arXiv 2302.08582", phf_awr});
    r.add({"emo", "cross entropy and a bound of the earth mover's distance between token embeddings",
           "Ren et al., arXiv 2310.04691", emo});
    r.add({"mml", "marginal likelihood of a prompt's several solutions, smoothed by beta",
           "Ni et al., arXiv 2205.14318", mml});
    extend(r);
    return r;
  }();
  return registry;
}

}  // namespace temper::objective
