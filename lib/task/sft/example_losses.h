// The loss of each single example: the mean of -log p over its targets.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "data/records.h"
#include "dist/ranks.h"
#include "train/micro_batch.h"

namespace temper {

class Session;

// From a pass's log-probs of the targets, [M] -> [S], without gradient; 0 for an example without targets.
at::Tensor example_losses(const at::Tensor& logp, const Targets& targets);

// Of all examples of a step, in order: parts[i] is example_losses() of micro-batch i, undefined where another
// rank has it.
std::vector<double> example_losses(Ranks& ranks, const std::vector<MicroBatch>& batches,
                                   std::vector<at::Tensor> parts);

// From passes of their own under the session's model as it is, which the ranks share. With one rank it asks
// for signals between them (Session::check_signal).
std::vector<double> example_losses(Session& session, const std::vector<const Example*>& examples);

}  // namespace temper
