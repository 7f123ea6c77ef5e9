// Optimizers with named state, and clipping. formulas/optimizers.md.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/fields.h"

namespace temper {

// What is optimized: a name, the fp32 master (its .grad() is the gradient), and a learning-rate factor and
// decay switch that the rules of OptimizerOptions decided.
struct OptimParameter {
  std::string name;
  at::Tensor value;
  double lr_factor = 1.0;
  bool decays = true;
};

// A number for a run's metrics: the mean over `weight` numbers, or with weight 0 the largest of some.
struct OptimizerMetric {
  double value = 0, weight = 0;
};

class Optimizer {
 public:
  virtual ~Optimizer() = default;
  // One update with learning rate lr (times each parameter's factor). Parameters without a gradient are left
  // alone.
  virtual void step(double lr) = 0;
  // The learning rate of the last step, for the metrics: lr, unless the optimizer has a rate of its own.
  virtual double rate(double lr) const { return lr; }
  // State by "parameter/slot" ("model.norm.weight/exp_avg"); tensors are the live ones. Steps are [] int64
  // tensors. A parameter that never had a gradient has no state.
  virtual std::map<std::string, at::Tensor> state() = 0;
  // Takes copies. Throws UserError when a name, a shape or a type does not fit, and then changes nothing.
  virtual void load_state(const std::map<std::string, at::Tensor>& state) = 0;
  // Lets go of a parameter. Its state, by slot ("exp_avg", "step" ...), is the caller's; empty when it never
  // had a gradient.
  virtual std::map<std::string, at::Tensor> forget(const std::string& name) = 0;
  // Takes a parameter in, with the state that forget gave; without one it starts anew, its bias correction
  // too. Throws as load_state does.
  virtual void add(OptimParameter parameter, const std::map<std::string, at::Tensor>& state = {}) = 0;
  // Of the updates from now on.
  virtual void set_lr_factor(const std::string& name, double factor) = 0;
  // Bytes of state when every parameter has its state; for --plan.
  virtual int64_t state_bytes() const = 0;
  // What a run's metrics show of the optimizer, by name; a function of its parameters and the options.
  virtual std::map<std::string, OptimizerMetric> metrics() const { return {}; }
};

// Names that hold `match` learn at `factor` times the learning rate.
struct LrRule : Fields {
  std::string match;
  double factor = 1.0;
  void fields(FieldVisitor& v) override;
};

// Lookahead around any optimizer (Zhang et al., arXiv 1907.08610): after every k steps of a parameter
// slow += alpha (value - slow), value = slow. k 0: off.
struct LookaheadOptions : Fields {
  int64_t k = 0;
  double alpha = 0.5;
  std::string momentum =
      "keep";  // what becomes of the inner optimizer's first moments: keep, reset, pull_back
  void fields(FieldVisitor& v) override;
};

// The options of one optimizer ("lr", "weight_decay", "clip_norm" ...).
struct OptimizerOptions : Fields {
  double lr = 1e-5;
  double weight_decay = 0.0;
  double clip_norm = 1.0;                                // of the whole gradient; 0: off
  std::vector<std::string> no_decay = {"norm", "bias"};  // names that hold one of these are not decayed
  std::vector<LrRule> lr_rules;                          // the first rule that matches a name counts
  LookaheadOptions lookahead;
  void fields(FieldVisitor& v) override;   // kinds call this first, then list their own
  virtual void lr_field(FieldVisitor& v);  // "lr"
  // Before make(), once the whole config is known: how many updates the run has.
  virtual void prepare(int64_t updates) {}
  virtual std::unique_ptr<Optimizer> make(std::vector<OptimParameter> parameters) const = 0;
  // Applies the name rules. Throws UserError for a learning-rate rule that matches no parameter.
  std::vector<OptimParameter> parameters(const std::vector<std::pair<std::string, at::Tensor>>& named) const;
};
const Registry<OptimizerOptions>& optimizer_registry();

// Global l2 norm of the gradients of `parameters`: summed in double over fixed blocks, so the same for any
// number of threads. Not finite when a gradient is not. Those of an accelerator are waited for once.
double gradient_norm(const std::vector<OptimParameter>& parameters);
// Scales all gradients by min(1, max_norm / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_ does. max_norm
// 0: nothing.
void clip_gradients(const std::vector<OptimParameter>& parameters, double norm, double max_norm);

namespace reference {

double gradient_norm(const std::vector<OptimParameter>& parameters);

}  // namespace reference

}  // namespace temper
