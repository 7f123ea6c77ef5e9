#include "objective/reward/kinds.h"

namespace temper::objective {

const Registry<RewardLossOptions>& reward_loss_registry() {
  static const Registry<RewardLossOptions> registry = [] {
    Registry<RewardLossOptions> r("reward loss");
    r.add(
        {"bt",
         "logistic loss of the difference of a pair's scores, less the record's \"margin\" where it has one",
         "Bradley & Terry 1952; TRL 1.16", bt});
    r.add({"margin_bt", "the difference must exceed how much better the chosen one is",
           "Llama 2, arXiv 2307.09288", margin_bt});
    r.add({"scaled_bt", "pairs weigh as much as the chosen one is better",
           "HelpSteer2-Preference, arXiv 2410.01257", scaled_bt});
    r.add({"listwise", "every right response above every wrong one of its prompt",
           "Qwen2.5-Math, arXiv 2409.12122", listwise});
    r.add({"regression", "squared error of rated attributes, unrated ones left out",
           "HelpSteer2, arXiv 2406.08673", regression});
    r.add(
        {"process", "each step of a solution right or wrong", "Lightman et al., arXiv 2305.20050", process});
    return r;
  }();
  return registry;
}

}  // namespace temper::objective
