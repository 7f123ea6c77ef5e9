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
  bool cosine = false;     // expected cosine of the head's rows with the target's (tensor/logp.h)
  bool value = false;      // a value head's output before each target
  bool reward = false;     // a number a record, or a segment of it; larger is better
  bool group = false;      // all solutions of a prompt together
};
// Their names as fields of SupervisedBatch and of the input of temper-inspect.
std::vector<std::string> need_names(const SupervisedNeeds& needs);

// What one value of a loss stands for, and so what the trainer divides by: the targets or the groups of the
// whole step.
enum class SupervisedUnit { kToken, kGroup };

// Ragged numbers of S sequences with M target tokens; no sequence, and of a loss that needs groups no group,
// is ever split over micro-batches. Undefined tensors were not asked for.
struct SupervisedBatch {
  at::Tensor logp;          // [M] fp32 or fp64, requires grad in training
  at::Tensor sequence;      // [M] int64 in [0, S)
  int64_t sequences = 0;    // S
  at::Tensor mean_logp;     // [M] differentiable
  at::Tensor cosine;        // [M] differentiable
  at::Tensor value;         // [M] differentiable
  at::Tensor reward;        // [S] in logp's type; of a record in segments the mean of its targets'
  at::Tensor token_reward;  // [M] in logp's type: of the record, or of the segment that the token is in
  at::Tensor group;         // [S] int64 in [0, G)
  int64_t groups = 0;       // G
};

class SupervisedLoss {
 public:
  virtual ~SupervisedLoss() = default;
  virtual SupervisedNeeds needs() const { return {}; }
  // Sees the rewards of a whole optimizer step, before the first of its micro-batches: [R], one a record, of
  // a record in segments one a segment; undefined unless needed.
  virtual void prepare(const at::Tensor& reward) {}
  // What the user should know of the rewards of all records, [R]; "": nothing.
  virtual std::string warning(const at::Tensor& reward) const { return ""; }
  virtual SupervisedUnit unit() const { return SupervisedUnit::kToken; }
  // -> [M] or [G], as unit() says; the trainer divides the sum.
  virtual at::Tensor operator()(const SupervisedBatch& batch) const = 0;
};

struct SupervisedOptions : Fields {
  virtual std::unique_ptr<SupervisedLoss> make() const = 0;
};
const Registry<SupervisedOptions>& supervised_registry();

}  // namespace temper::objective
