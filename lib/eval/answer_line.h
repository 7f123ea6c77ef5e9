// An answer that was sampled as a line that every task reads back (data/groups.h).
#pragma once

#include "base/json_fwd.h"
#include "data/records.h"
#include "rollout/completion.h"

namespace temper {

// The record answered with the completion, and "finish". Of a conversation "conversation": what was said
// behind the prompt. logprobs: also "logprobs", of the policy's tokens, over the whole vocabulary at the
// temperature of sampling.
Json answer_line(const Record& record, const Completion& completion, bool logprobs);

}  // namespace temper
