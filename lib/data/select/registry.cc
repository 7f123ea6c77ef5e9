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
    r.add({"buffer", "all right solutions of each prompt so far, and right beginnings of wrong ones",
           "Ni et al., arXiv 2205.14318", select_buffer});
    r.add({"openings",
           "each prompt of the lines, and each with an unfinished completion behind it, to sample from",
           "Ni et al., arXiv 2205.14318", select_openings});
    r.add({"step_prefixes", "of wrong answers, the prompt with the steps up to each one behind it",
           "Setlur et al., arXiv 2406.14532", select_step_prefixes});
    r.add({"step_values", "answers in steps with the share of completions behind each that came right",
           "Setlur et al., arXiv 2406.14532", select_step_values});
    r.add({"contrast", "answers to a prompt under several constitutions, as rows",
           "Franken et al., SAMI, arXiv 2404.14313", select_contrast});
    r.add({"self_play", "the record's own answer against a sampled one",
           "Chen et al., SPIN, arXiv 2401.01335", select_self_play});
    r.add({"feedback", "every answer with the words of its rewards in a column of its own",
           "Wang et al., LeTI, arXiv 2305.10314", select_feedback});
    return r;
  }();
  return registry;
}

}  // namespace temper
