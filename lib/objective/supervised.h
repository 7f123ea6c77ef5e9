// Supervised losses. formulas/supervised.md.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "base/fields.h"

namespace temper::objective {

// What a loss may ask for; the trainer computes nothing that nobody needs.
struct SupervisedNeeds {
  bool mean_logp = false;  // mean over the vocabulary of the log-probs
  bool reward = false;     // one number a record, larger is better
};
// Their names as fields of SupervisedBatch and of the input of temper-inspect.
std::vector<std::string> need_names(const SupervisedNeeds& needs);

// Ragged numbers of S sequences with M target tokens; a sequence is never split over micro-batches. Undefined
// tensors were not asked for.
struct SupervisedBatch {
  at::Tensor logp;        // [M] fp32 or fp64, requires grad in training
  at::Tensor sequence;    // [M] int64 in [0, S)
  int64_t sequences = 0;  // S
  at::Tensor mean_logp;   // [M] differentiable
  at::Tensor reward;      // [S] in logp's type
};

class SupervisedLoss {
 public:
  virtual ~SupervisedLoss() = default;
  virtual SupervisedNeeds needs() const { return {}; }
  // Sees the rewards of a whole optimizer step, before the first of its micro-batches: [S], undefined unless
  // needed.
  virtual void prepare(const at::Tensor& reward) {}
  // -> [M], a loss a token; the trainer divides the sum by the targets of the whole step.
  virtual at::Tensor operator()(const SupervisedBatch& batch) const = 0;
};

struct SupervisedOptions : Fields {
  virtual std::unique_ptr<SupervisedLoss> make() const = 0;
};
const Registry<SupervisedOptions>& supervised_registry();

}  // namespace temper::objective
