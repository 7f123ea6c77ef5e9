// The factories that registry.cc lists; each is defined in the file of its objective.
#pragma once

#include <memory>

#include "objective/policy/policy.h"

namespace temper::objective {

std::unique_ptr<PolicyAlgorithm> grpo();
std::unique_ptr<PolicyAlgorithm> dapo();
std::unique_ptr<PolicyAlgorithm> dr_grpo();
std::unique_ptr<PolicyAlgorithm> gspo();
std::unique_ptr<PolicyAlgorithm> gspo_token();
std::unique_ptr<PolicyAlgorithm> luspo();
std::unique_ptr<PolicyAlgorithm> rloo();
std::unique_ptr<PolicyAlgorithm> loop();
std::unique_ptr<PolicyAlgorithm> gmpo();
std::unique_ptr<PolicyAlgorithm> cispo();
std::unique_ptr<PolicyAlgorithm> topr();
std::unique_ptr<PolicyAlgorithm> gvpo();
std::unique_ptr<PolicyAlgorithm> copg();
std::unique_ptr<PolicyAlgorithm> sapo();
std::unique_ptr<PolicyAlgorithm> vespo();
std::unique_ptr<PolicyAlgorithm> gpg();
std::unique_ptr<PolicyAlgorithm> dro();
std::unique_ptr<PolicyAlgorithm> kimi();
std::unique_ptr<PolicyAlgorithm> reinforce_pp();
std::unique_ptr<PolicyAlgorithm> reinforce_pp_baseline();
std::unique_ptr<PolicyAlgorithm> remax();
std::unique_ptr<PolicyAlgorithm> opo();
std::unique_ptr<PolicyAlgorithm> pass_at_k();
std::unique_ptr<PolicyAlgorithm> gdpo();
std::unique_ptr<PolicyAlgorithm> mrt();
std::unique_ptr<PolicyAlgorithm> ppo();
std::unique_ptr<PolicyAlgorithm> awr();

std::unique_ptr<PolicyAlgorithm> luffy();
std::unique_ptr<PolicyAlgorithm> adaptthink();
std::unique_ptr<PolicyAlgorithm> brain();
std::unique_ptr<PolicyAlgorithm> oreal();
std::unique_ptr<PolicyAlgorithm> simko();
std::unique_ptr<PolicyAlgorithm> coderl();

}  // namespace temper::objective
