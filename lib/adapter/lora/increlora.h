// IncreLoRA (Zhang et al. 2023, arXiv:2308.12043): low-rank updates whose rank grows where it pays. The
// update of a linear is a sum of components, dW = (alpha / target) sum_i e_i b_i a_i, and each linear keeps
// one more in reserve whose a and b are trained in advance with e = 1e-5. After `warmup` updates, and then
// every `interval`, the `top` linears of the highest score take their reserve in (its e trains from then on)
// and get a new one, until the ranks average `target`. Score of a linear: with s = sum |dW * dL/ddW| /
// sqrt(numel), I an exponential mean of s and U one of |s - I|, it is I U. The loss gains orthogonal * mean
// |P P^T - I|_F over all A and B. Departures: (1) alpha is divided by the target rank, not by the rank of the
// moment, so that growth changes nothing that is there; (2) new components begin with the run's learning
// rate, after a linear warm-up of `growth_warmup` updates, not on a schedule of their own; (3) the reserves
// left at the end are left out of the folder, which is a plain LoRA for PEFT. It computes dL/ddW, a matrix of
// the weight's size: in time and gradient memory it is like training those linears whole.
#pragma once

#include <memory>

#include "adapter/adapter.h"
#include "base/json.h"

namespace temper {

struct IncreLoraOptions : AdapterOptions {
  int64_t rank = 1, top = 2, warmup = 1000, interval = 1000, growth_warmup = 50;
  double target = 2, alpha = 16, orthogonal = 0.1, smoothing = 0.85;
  Json targets = "all-linear";
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  bool takes_quantised_base() const override { return true; }
  bool trains_a_fixed_set() const override { return false; }
  std::unique_ptr<Adapter> attach(Model& model, uint64_t seed) const override;
};

}  // namespace temper
