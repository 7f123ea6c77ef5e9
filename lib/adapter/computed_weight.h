// The embedding or the head as a function of an adapter's tensors: what stands in for the model's own matrix
// is computed once after each optimizer step. It takes the gradient that a trained matrix takes, [V, H] in
// fp32, and the adapter hands that on to its own tensors before the optimizer's step.
#pragma once

#include <ATen/core/Tensor.h>

#include "model/model.h"

namespace temper {

class ComputedWeight {
 public:
  explicit ComputedWeight(Parameter* parameter);
  at::Tensor base() const;              // [V, H] fp32, to be read only
  void set_base(const at::Tensor& to);  // writes into the model's own matrix, rounded to its dtype
  void set(const at::Tensor& values);   // [V, H] fp32: what stands in from now on
  void set_enabled(bool enabled);
  at::Tensor master() const { return own_.master; }  // whose gradient take_gradient() gives
  // Undefined when nothing reached it. It is the caller's, and the next backward passes begin a new one.
  at::Tensor take_gradient();
  void merge();  // what stands in is the model's own from now on

 private:
  void put() const;
  struct Weights {
    at::Tensor master, compute;
  };
  Parameter* parameter_;
  Weights base_, own_;
  bool enabled_ = true;
};

}  // namespace temper
