// What a run will be, worked out without loading weights: `temper-train --plan`.
#pragma once

#include "base/json_fwd.h"
#include "train/config.h"

namespace temper {

// What a task's share of the plan is worked out from.
struct PlanShapes {
  const ModelConfig& model;
  int64_t item_bytes = 0;     // of the compute dtype
  int64_t weights = 0;        // bytes of the model
  int64_t trained = 0;        // numbers
  bool switches_off = false;  // the adapter does, so that the model without it is at hand
  // Keys and values of the sequences that decode together when so many prompts are sampled for.
  int64_t cache_bytes(const RolloutSection& rollout, int64_t prompts) const;
};
// In bytes.
struct TaskMemory {
  int64_t cache = 0;      // keys and values while sampling: not at the same time as gradients
  int64_t reference = 0;  // a reference model beside the one that trains
  int64_t teachers = 0;
  int64_t replay = 0;  // groups of earlier steps, at most
};

// {"config", "parameters": {...}, "memory": {..._bytes}, "steps": {...}}. memory: of a process, with several
// ranks of the one that keeps most; then there is also "ranks": {"count", "none": {...}, "state": {...}}, the
// same by dist.shard. Throws UserError as the run itself would.
Json plan_training(const RunConfig& config, int64_t ranks = 1);

}  // namespace temper
