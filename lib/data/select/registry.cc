// Every rule of selection that a config can name.
#include "data/select/rules.h"

namespace temper {

const Registry<SelectOptions>& select_registry() {
  static const Registry<SelectOptions> registry = [] {
    Registry<SelectOptions> r("selection");
    r.add({"all", "every answer, whatever its reward", "", select_all});
    r.add({"all_above", "every answer with a reward of at least a threshold",
           "Dong et al., RAFT, arXiv 2304.06767; Zelikman et al., STaR, arXiv 2203.14465", select_all_above});
    r.add({"best", "of each prompt the answer of the highest reward",
           "best of n: Nakano et al., arXiv 2112.09332; Gulcehre et al., ReST, arXiv 2308.08998",
           select_best});
    r.add({"top", "of each prompt the answers of the highest rewards, each once",
           "Zeng et al., B-STaR, arXiv 2412.17256", select_top});
    r.add({"pairs", "a better and a worse answer of each prompt, by one of several rules",
           "Adams et al., arXiv 2305.07615 (margin, surprise, likely negatives)", select_pairs});
    r.add({"dedup", "each text once: equal ones, equal but for case and space, or by shared n-grams",
           "Lee et al., arXiv 2107.06499 (overlap of n-grams, here exact)", select_dedup});
    r.add({"difficulty", "records of prompts whose answers' mean reward is within bounds",
           "difficulty by the pass rate: Yu et al., DAPO, arXiv 2503.14476", select_difficulty});
    r.add({"dsir", "a sample whose words are like those of target files", "Xie et al., arXiv 2302.03169",
           select_dsir});
    return r;
  }();
  return registry;
}

}  // namespace temper
