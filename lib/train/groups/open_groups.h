// Partial rollouts: completions that go on over several steps.
#pragma once

#include <vector>

#include "train/rollout_batch.h"

namespace temper {

class Session;

// Kimi k1.5 (arXiv 2501.12599), section 2.6.2: a completion draws at most step_tokens tokens a step, and what
// has not ended goes on in the next, under the weights of then, so that no step waits for its longest
// completion. Each token keeps the log-prob of the weights that drew it. Samples on all groups, which are new
// or have begun in earlier steps; those whose completions have all ended by then are scored and returned, in
// their order, and the others are left in `groups`. routes: as in GroupMake. The outcome depends neither on
// who decodes beside whom nor on the number of ranks.
std::vector<RolloutGroup> sample_further(Session& session, int64_t step_tokens, bool routes,
                                         std::vector<RolloutGroup>& groups);

}  // namespace temper
