// Per-parameter slots shared by the optimizers: naming, loading and counting.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "optim/optimizer.h"

namespace temper {

// Each parameter has all of `slots`, tensors of its own shape and type, and a step count; or nothing yet.
class SlotOptimizer : public Optimizer {
 public:
  SlotOptimizer(std::vector<OptimParameter> parameters, std::vector<std::string> slots);
  std::map<std::string, at::Tensor> state() override;
  void load_state(const std::map<std::string, at::Tensor>& state) override;
  std::map<std::string, at::Tensor> forget(const std::string& name) override;
  void add(OptimParameter parameter, const std::map<std::string, at::Tensor>& state) override;
  void set_lr_factor(const std::string& name, double factor) override;
  int64_t state_bytes() const override;

 protected:
  struct Entry {
    OptimParameter parameter;
    int64_t step = 0;  // updates so far; 0: the slots do not exist yet
    std::vector<at::Tensor> slots;
  };
  // The entries that have a gradient now, their step counted up and their slots made (zeros).
  std::vector<Entry*> begin_step();

 private:
  std::vector<std::string> names_;
  std::vector<Entry> entries_;
};

}  // namespace temper
