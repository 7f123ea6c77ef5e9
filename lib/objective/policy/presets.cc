// Algorithms that are the PPO clip of ppo_clip.cc on other advantages.
#include "objective/policy/kinds.h"

namespace temper::objective {
namespace {

std::unique_ptr<PolicyAlgorithm> clip_on(const std::string& name, const std::string& advantage,
                                         const std::string& reduction) {
  auto algorithm = grpo();
  algorithm->name = name;
  algorithm->advantage = advantage;
  algorithm->reduction = reduction;
  return algorithm;
}

}  // namespace

std::unique_ptr<PolicyAlgorithm> loop() {
  return clip_on("loop", "rloo", "token_mean");
}
std::unique_ptr<PolicyAlgorithm> reinforce_pp() {
  return clip_on("reinforce_pp", "reinforce_pp", "token_mean");
}
std::unique_ptr<PolicyAlgorithm> reinforce_pp_baseline() {
  return clip_on("reinforce_pp_baseline", "reinforce_pp_baseline", "token_mean");
}
std::unique_ptr<PolicyAlgorithm> remax() {
  return clip_on("remax", "remax", "token_mean");
}
std::unique_ptr<PolicyAlgorithm> opo() {
  return clip_on("opo", "opo", "token_mean");
}
std::unique_ptr<PolicyAlgorithm> pass_at_k() {
  return clip_on("pass_at_k", "pass_at_k", "token_mean");
}
// TRL's PPO: a critic, KL .05 in the reward of each token, value clip .2, value weight .1.
std::unique_ptr<PolicyAlgorithm> ppo() {
  auto algorithm = clip_on("ppo", "gae", "token_mean");
  algorithm->kl_coef = 0.05;
  algorithm->kl_in = "reward";
  return algorithm;
}
std::unique_ptr<PolicyAlgorithm> mrt() {
  auto algorithm = clip_on("mrt", "group_zscore", "seq_mean_token_mean");
  algorithm->progress_bonus = 1.0;
  return algorithm;
}
std::unique_ptr<PolicyAlgorithm> gdpo() {
  return clip_on("gdpo", "gdpo", "seq_mean_token_mean");
}

}  // namespace temper::objective
