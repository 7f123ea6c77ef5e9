// Supervised losses. formulas/supervised.md.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>

#include "base/fields.h"

namespace temper::objective {

// Ragged numbers of S sequences with M target tokens; a sequence is never split over micro-batches.
struct SupervisedBatch {
  at::Tensor logp;        // [M] fp32 or fp64, requires grad in training
  at::Tensor sequence;    // [M] int64 in [0, S)
  int64_t sequences = 0;  // S
};

class SupervisedLoss {
 public:
  virtual ~SupervisedLoss() = default;
  // -> [M], a loss a token; the trainer divides the sum by the targets of the whole step.
  virtual at::Tensor operator()(const SupervisedBatch& batch) const = 0;
};

struct SupervisedOptions : Fields {
  virtual std::unique_ptr<SupervisedLoss> make() const = 0;
};
const Registry<SupervisedOptions>& supervised_registry();

}  // namespace temper::objective
