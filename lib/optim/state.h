// Per-parameter slots shared by the optimizers: naming, making, loading and counting them, and Lookahead.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "optim/optimizer.h"

namespace temper {

// One tensor of a parameter's state; zeros before the first step.
struct Slot {
  std::string name;
  std::vector<int64_t> sizes;
  at::ScalarType type = at::kFloat;
  bool momentum = false;  // a mean of directions, which Lookahead may reset or pull back
};

// A slot of the parameter's own shape and type.
Slot slot_like(const OptimParameter& parameter, std::string name, bool momentum = false);

// Each parameter has all of its slots and a step count, or nothing yet. All state of an optimizer is here: a
// kind says which slots a parameter has and how one parameter is updated.
class SlotOptimizer : public Optimizer {
 public:
  SlotOptimizer(std::vector<OptimParameter> parameters, const OptimizerOptions& options);
  void step(double lr) final;
  std::map<std::string, at::Tensor> state() override;
  void load_state(const std::map<std::string, at::Tensor>& state) override;
  std::map<std::string, at::Tensor> forget(const std::string& name) override;
  void add(OptimParameter parameter, const std::map<std::string, at::Tensor>& state) override;
  void set_lr_factor(const std::string& name, double factor) override;
  int64_t state_bytes() const override;

 protected:
  struct Entry {
    OptimParameter parameter;
    int64_t step = 0;               // steps with a gradient so far; 0: the slots do not exist yet
    std::vector<at::Tensor> slots;  // in the order of slots(), then Lookahead's
  };
  // A function of the parameter's name and shape alone.
  virtual std::vector<Slot> slots(const OptimParameter& parameter) const = 0;
  // One update with the parameter's own learning rate; entry.step counts from 1. No gradient mode is on. On
  // an accelerator it reads nothing back: the host runs ahead of the device.
  virtual void update(Entry& entry, double lr) = 0;

  // Parameters of an accelerator that differ in their numbers alone, for operators over lists of tensors: a
  // kernel's launch costs more than the numbers of a small parameter.
  struct Lists {
    double lr, weight_decay;
    int64_t step;
    std::vector<at::Tensor> values, gradients;   // gradients as the values: contiguous, of their type
    std::vector<std::vector<at::Tensor>> slots;  // [slot][parameter], as an entry's
    int64_t numbers = 0;
  };
  // Whether update_lists, the same update, takes this parameter where it is on an accelerator; update has
  // all others.
  virtual bool in_lists(const OptimParameter& parameter) const { return false; }
  virtual void update_lists(Lists& lists) {}

  const std::vector<Entry>& entries() const { return entries_; }
  double decay(const OptimParameter& parameter) const { return parameter.decays ? weight_decay_ : 0.0; }

 private:
  std::vector<Slot> all_slots(const OptimParameter& parameter) const;
  void make_slots(Entry& entry) const;
  void look_ahead(Entry& entry) const;
  std::vector<Lists> lists_of(const std::vector<Entry*>& entries, double lr) const;
  // What `state` has of one parameter; `found` is the number of tensors.
  Entry loaded_entry(const OptimParameter& parameter, const std::map<std::string, at::Tensor>& state,
                     size_t& found) const;

  LookaheadOptions lookahead_;
  double weight_decay_;
  std::vector<Entry> entries_;
};

}  // namespace temper
