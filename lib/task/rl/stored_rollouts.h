// Scored responses from a file, for reinforcement learning without, or beside, sampling.
#pragma once

#include <vector>

#include "train/rollout_batch.h"

namespace temper {

class Session;
struct RlTask;

// Groups of offline.files: the responses of one prompt, at most rollout.group_size in a group. A line is
//   {"prompt": text or messages, "completion": text, "reward": number or null,
//    "logprobs"?: [of each completion token, under the policy that wrote it],
//    "prompt_ids"?, "completion_ids"?: the tokens themselves, "temperature"?: that it was sampled at}
// as temper-generate --score writes it, or a group of such (data/groups.h). Log-probs that are missing are
// computed once, under offline.behaviour or else the model that the run starts from, and kept in the cache
// folder (logp_file.h). Throws UserError naming file and line: a missing column, a log-prob that is not
// finite or above 0, another number of them than tokens, another temperature than rollout.temperature.
std::vector<RolloutGroup> read_stored_rollouts(Session& session, const RlTask& task);

}  // namespace temper
