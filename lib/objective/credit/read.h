// Steps and turns of responses as temper-inspect takes them.
#pragma once

#include <ATen/core/Tensor.h>

#include "base/json_fwd.h"
#include "objective/credit/process.h"
#include "objective/credit/turns.h"

namespace temper::objective {

// Of input["sequences"], each with "steps": [[token, score], ...], token the place in the response where the
// step ends, or null: not scored; and "easy": false where the outcome does not count (left out: it does).
// sequence [M]: of each token. Throws UserError with the place of what is wrong.
ProcessScores read_process(const Json& input, const at::Tensor& sequence);

// Of input["sequences"], each with "turns": [{"state": text, "reward": number or null, "begin": first token,
// "end": one behind the last}, ...] in order.
Turns read_turns(const Json& input, const at::Tensor& sequence);

}  // namespace temper::objective
