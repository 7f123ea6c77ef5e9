// Every order of data that a config can name.
#include "data/order/kinds.h"

namespace temper {

const Registry<OrderOptions>& order_registry() {
  static const Registry<OrderOptions> registry = [] {
    Registry<OrderOptions> r("order");
    r.add({"shuffle", "epochs, each in an order of its own", "", shuffle_order});
    r.add({"sequential", "epochs in the order of the files", "", sequential_order});
    r.add({"subset", "epochs of a random share of the records each (RS2)",
           "Okanovic et al., Repeated Random Sampling (arXiv 2305.18424)", subset_order});
    r.add({"pacing", "from easy to hard by a column: sorted, in rounds, or from a window that grows",
           "Hacohen and Weinshall (arXiv 1904.03626); Platanios et al. (arXiv 1903.09848)", pacing_order});
    r.add({"levels", "only records whose difficulty is within bounds, shuffled",
           "Sun et al., Easy-to-Hard Generalization (arXiv 2403.09472)", levels_order});
    r.add({"pass_rate", "rl: prompts whose rate of right answers, as recorded or as observed, is in a window",
           "Temper", pass_rate_order});
    r.add({"rcs", "rl: all prompts for some steps, then those that were not solved perfectly",
           "Improving Generalization in Intent Detection: GRPO with Reward-Based Curriculum Sampling",
           rcs_order});
    r.add({"mastering_rate", "rl, sft: tasks of a graph by what is learnt of them and of those before them",
           "Willems, Lahlou and Bengio, Mastering Rate based Curriculum Learning (arXiv 2008.06456), and its "
           "code; learning progress: Matiisen et al. (arXiv 1707.00183)",
           mastering_rate_order});
    r.add({"mix_cd",
           "sft: a share of each batch rehearses earlier files, most where they are being forgotten",
           "Bai et al., An Efficient Rehearsal Scheme (arXiv 2402.08096)", mix_cd_order});
    r.add({"power_law", "one file after the other, with replays of those before by a power of their age",
           "Catastrophic Interference is Mitigated in Naturalistic Power-Law Learning Environments",
           power_law_order});
    return r;
  }();
  return registry;
}

}  // namespace temper
