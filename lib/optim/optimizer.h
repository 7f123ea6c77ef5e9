// Optimizers with named state, and clipping. formulas/optimizers.md.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/fields.h"

namespace temper {

// What is optimized: a name, the fp32 master (its .grad() is the gradient), and a learning-rate factor and decay switch
// that the rules of OptimizerOptions decided.
struct OptimParameter {
  std::string name;
  at::Tensor value;
  double lr_factor = 1.0;
  bool decays = true;
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // One update with learning rate lr (times each parameter's factor). Parameters without a gradient are left alone.
  virtual void step(double lr) = 0;
  // State by "parameter/slot" ("model.norm.weight/exp_avg"); tensors are the live ones. steps are [] int64 tensors.
  virtual std::map<std::string, at::Tensor> state() = 0;
  // Throws UserError when names or shapes do not match.
  virtual void load_state(const std::map<std::string, at::Tensor>& state) = 0;
  // Bytes of state for these parameters, before any exists; for --plan.
  virtual int64_t state_bytes() const = 0;
};

// The options of one optimizer ("lr", "weight_decay", "clip_norm" ...).
struct OptimizerOptions : Fields {
  double lr = 1e-5;
  double weight_decay = 0.0;
  double clip_norm = 1.0;  // of the whole gradient; 0: off
  std::vector<std::string> no_decay = {"norm", "bias"};  // names that hold one of these are not decayed
  void fields(FieldVisitor& v) override;  // kinds call this first, then list their own
  virtual std::unique_ptr<Optimizer> make(std::vector<OptimParameter> parameters) const = 0;
};
const Registry<OptimizerOptions>& optimizer_registry();  // adamw, sgd

// Global l2 norm of the gradients of `parameters` (fp32, deterministic order).
double gradient_norm(const std::vector<OptimParameter>& parameters);
// Scales all gradients by min(1, max_norm / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_ does.
void clip_gradients(const std::vector<OptimParameter>& parameters, double norm, double max_norm);

}  // namespace temper
