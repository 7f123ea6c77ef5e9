// Reference log-probs of stored answers, computed once and kept on disk.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>
#include <vector>

#include "task/preference/batch.h"

namespace temper {

class Session;

// The file is <cache folder>/reference/<key>.safetensors, where runs that differ in loss, learning rate or
// adapter find it again. The key is a fingerprint of the reference model's weights and of all that the
// numbers depend on: token ids and targets as the model sees them (so data, tokenizer, template and
// max_tokens), dtype, device, threads, and the micro-batches they are computed in. A file that is damaged is
// made anew, with a message.
class ReferenceCache {
 public:
  // `steps`: the units of the steps that will ask, in order. Every unit is computed in the micro-batches of
  // the first step that has it, so that first pass over the data sees the numbers that a pass of its own
  // would give, to the last bit.
  ReferenceCache(Session& session, const Answers& answers, const std::vector<std::vector<int64_t>>& steps);

  at::Tensor of(const std::vector<int64_t>& units) const;  // [M]; each was in a step

 private:
  std::vector<int64_t> begin_, size_;  // of each unit in values_; begin -1: in no step
  at::Tensor values_;
};

}  // namespace temper
