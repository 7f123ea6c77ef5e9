// Supervised losses. formulas/supervised.md.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>

#include "base/fields.h"

namespace temper::objective {

// logp [M] of the targets -> per-token loss [M]; the trainer divides the sum by the targets of the whole
// step.
class SupervisedLoss {
 public:
  virtual ~SupervisedLoss() = default;
  virtual bool needs_entropy() const { return false; }
  virtual at::Tensor operator()(const at::Tensor& logp) const = 0;
};

struct SupervisedOptions : Fields {
  virtual std::unique_ptr<SupervisedLoss> make() const = 0;
};
const Registry<SupervisedOptions>& supervised_registry();  // nll now; further losses take one line each

}  // namespace temper::objective
