#include "task/registry.h"

#include "task/distill/config.h"
#include "task/preference/config.h"
#include "task/reward_model/config.h"
#include "task/rl/config.h"
#include "task/rounds/config.h"
#include "task/sft/config.h"

namespace temper {

const Registry<Task>& task_registry() {
  static const Registry<Task> registry = [] {
    Registry<Task> r("task");
    r.add({"sft", "supervised fine-tuning on stored completions, chats or texts", "",
           std::make_unique<SftTask>});
    r.add({"preference", "preference optimisation on pairs or labelled answers: DPO and its kin", "",
           std::make_unique<PreferenceTask>});
    r.add({"rl", "reinforcement learning: groups are sampled, scored by rewards and learnt from", "",
           std::make_unique<RlTask>});
    r.add({"reward_model", "scores of answers learnt from comparisons, ratings or judged steps", "",
           std::make_unique<RewardModelTask>});
    r.add({"distill", "a student learns its teachers' distributions", "", std::make_unique<DistillTask>});
    r.add({"rounds", "self-training: phases that sample, select, train and evaluate, again and again", "",
           std::make_unique<RoundsTask>});
    return r;
  }();
  return registry;
}

}  // namespace temper
