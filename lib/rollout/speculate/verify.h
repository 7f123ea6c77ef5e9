// A decoding step of the engine that reads drafts.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "rollout/speculate/speculator.h"

namespace temper {

struct SpeculationCount {
  int64_t drafted = 0, accepted = 0;  // tokens
};

// Reads each sequence's newest token and its draft in one pass and gives it the drafted tokens that its
// distribution lets through, and one more: the first that was refused is drawn anew, behind a whole draft
// comes a further token. A drawn token is accepted with probability min(1, p / q) and drawn anew from
// norm(max(p - q, 0)) (Leviathan et al. 2022, arXiv 2211.17192); for others the next token is drawn as
// without a draft, and they are accepted where it is the same one. Either way tokens have the distribution,
// and their log-probs, that they have without drafts. accept: takes a token; false when the sequence's turn
// has ended with it, and then no more of its tokens come.
SpeculationCount speculative_step(Model& model, Speculator& speculator,
                                  const std::vector<DecodedSequence*>& sequences,
                                  const std::function<bool(DecodedSequence&, const SampledToken&)>& accept);

}  // namespace temper
