// What an adapter folder has for weights of the base itself: trained biases, rows of trained tokens. They
// hold while the adapter is on, and the base has its own values while it is off.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "model/model.h"

namespace temper {

class BaseValues {
 public:
  // All of a parameter, or the rows at `index` [n] alone; values in the parameter's shape, or [n, columns].
  void add(Parameter* parameter, const at::Tensor& index, const at::Tensor& values);
  bool empty() const { return entries_.empty(); }
  void set_enabled(bool enabled);

 private:
  struct Entry {
    Parameter* parameter;
    at::Tensor index, trained, base;
  };
  std::vector<Entry> entries_;
  bool enabled_ = true;
};

}  // namespace temper
