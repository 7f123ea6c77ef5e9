// What the passes of an update say of each example, for orders of data that react to it.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "data/order/order.h"
#include "data/records.h"
#include "objective/supervised/supervised.h"
#include "tensor/logp.h"
#include "train/micro_batch.h"

namespace temper {

class Session;

// The mean loss of each example's targets, and whether each of them was the most likely token. A pass that
// wants it asks for top_k at least 1.
class ExampleScores {
 public:
  explicit ExampleScores(const std::vector<MicroBatch>& batches);

  // Of one of the micro-batches, which this rank has passed through the model; the newest counts.
  void note(const MicroBatch& micro, const LogpResult& logp);

  // Of all ranks: one observation a unit, whose record is units[i], in order. group: of each example the
  // unit, ascending; a unit's loss is the mean of its examples' and it is right when they all are.
  std::vector<Observation> of_units(Session& session, const std::vector<int64_t>& units,
                                    const std::vector<int64_t>& group);

 private:
  const std::vector<MicroBatch>& batches_;
  std::vector<at::Tensor> numbers_;  // of each micro-batch: losses, then 1 for right and 0 for not, [2 S]
};

// The same of the model as it is, from passes of their own, which the ranks share: of units of examples, each
// called by the record beside it. With one rank it asks for signals between them (Session::check_signal).
std::vector<Observation> observe_now(Session& session, const std::vector<std::vector<const Example*>>& units,
                                     const std::vector<int64_t>& records);

}  // namespace temper
