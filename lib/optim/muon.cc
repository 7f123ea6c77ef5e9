// Muon (Jordan et al., github.com/KellerJordan/Muon; torch.optim.Muon): momentum, orthogonalised, for hidden
// matrices; AdamW for the rest. m = b m + (1-b) g; u = (1-b) g + b m (Nesterov); u = NS(u), five
// Newton-Schulz steps in bf16 that bring all singular values near 1; p *= 1 - lr wd; p -= lr scale u, with
// scale sqrt(max(1, rows/columns)) or 0.2 sqrt(max(rows, columns)), which gives updates the RMS of AdamW's
// (Liu et al., arXiv 2502.16982).
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>

#include "optim/adamw.h"
#include "optim/kinds.h"
#include "optim/state.h"

namespace temper {
namespace {

struct MuonOptions : OptimizerOptions {
  double momentum = 0.95;
  bool nesterov = true;
  int64_t iterations = 5;
  std::string scale = "adamw";
  std::vector<std::string> adamw_names = {"embed", "lm_head", "score"};
  double adamw_lr_factor = 1.0, beta1 = 0.9, beta2 = 0.95, eps = 1e-8;
  void fields(FieldVisitor& v) override {
    OptimizerOptions::fields(v);
    v.field("momentum", momentum, {.help = "decay of the momentum", .min = 0, .max = 1});
    v.field("nesterov", nesterov, {.help = "look ahead along the momentum"});
    v.field("iterations", iterations, {.help = "Newton-Schulz steps", .min = 1, .max = 100});
    v.field("scale", scale,
            {.help = "of a matrix's update; adamw: 0.2 sqrt(max(rows, columns)), so that AdamW's lr fits; "
                     "original: sqrt(max(1, rows/columns))",
             .choices = {"adamw", "original"}});
    v.field("adamw_names", adamw_names,
            {.help = "matrices whose name holds one of these are AdamW's, as is all that is no matrix"});
    v.field("adamw_lr_factor", adamw_lr_factor,
            {.help = "on the learning rate of AdamW's parameters", .min = 0});
    v.field("beta1", beta1, {.help = "AdamW's decay of the first moment", .min = 0, .max = 1});
    v.field("beta2", beta2, {.help = "AdamW's decay of the second moment", .min = 0, .max = 1});
    v.field("eps", eps, {.help = "AdamW's, added to the root of the second moment", .min = 0});
  }
  void check(std::vector<std::string>& problems, const std::string& where) const override {
    if (momentum >= 1 || beta1 >= 1 || beta2 >= 1)
      problems.push_back(where + ": momentum, beta1 and beta2 must be below 1, or the means never move");
  }
  std::unique_ptr<Optimizer> make(std::vector<OptimParameter> parameters) const override;
};

// [n,m], any type -> bf16 [n,m] with about the same singular vectors and singular values near 1. The
// coefficients are Jordan's.
at::Tensor orthogonalised(const at::Tensor& matrix, int64_t iterations) {
  constexpr double kA = 3.4445, kB = -4.7750, kC = 2.0315, kSmallest = 1e-7;
  const bool tall = matrix.size(0) > matrix.size(1);
  at::Tensor x = matrix.to(at::kBFloat16);
  if (tall) x = x.t();
  x = x / x.norm().clamp_min(kSmallest);
  for (int64_t i = 0; i < iterations; ++i) {
    const at::Tensor gram = x.mm(x.t());
    x = at::addmm(x, at::addmm(gram, gram, gram, kB, kC), x, kA);
  }
  return tall ? x.t() : x;
}

class Muon : public SlotOptimizer {
 public:
  Muon(std::vector<OptimParameter> parameters, const MuonOptions& options)
      : SlotOptimizer(std::move(parameters), options), options_(options) {}

 protected:
  std::vector<Slot> slots(const OptimParameter& parameter) const override {
    if (hidden_matrix(parameter)) return {slot_like(parameter, "momentum_buffer", /*momentum=*/true)};
    return {slot_like(parameter, "exp_avg", /*momentum=*/true), slot_like(parameter, "exp_avg_sq")};
  }
  void update(Entry& entry, double lr) override {
    at::Tensor& value = entry.parameter.value;
    const at::Tensor& gradient = value.grad();
    const double weight_decay = decay(entry.parameter);
    if (!hidden_matrix(entry.parameter)) {
      adamw_step({value}, {gradient}, {entry.slots[0]}, {entry.slots[1]}, entry.step,
                 {lr * options_.adamw_lr_factor, options_.beta1, options_.beta2, options_.eps, weight_decay});
      return;
    }
    const at::Tensor& mean = entry.slots[0].lerp_(gradient, 1 - options_.momentum);
    const at::Tensor direction = orthogonalised(
        options_.nesterov ? gradient.lerp(mean, options_.momentum) : mean, options_.iterations);
    const auto rows = static_cast<double>(value.size(0)), columns = static_cast<double>(value.size(1));
    const double scale = options_.scale == "original" ? std::sqrt(std::max(1.0, rows / columns))
                                                      : 0.2 * std::sqrt(std::max(rows, columns));
    value.mul_(1 - lr * weight_decay);
    value.add_(direction, -lr * scale);
  }
  bool in_lists(const OptimParameter& parameter) const override { return !hidden_matrix(parameter); }
  void update_lists(Lists& lists) override {
    adamw_step(lists.values, lists.gradients, lists.slots[0], lists.slots[1], lists.step,
               {lists.lr * options_.adamw_lr_factor, options_.beta1, options_.beta2, options_.eps,
                lists.weight_decay});
  }

 private:
  bool hidden_matrix(const OptimParameter& parameter) const {
    return parameter.value.dim() == 2 &&
           std::none_of(
               options_.adamw_names.begin(), options_.adamw_names.end(),
               [&](const std::string& part) { return parameter.name.find(part) != std::string::npos; });
  }
  MuonOptions options_;
};

std::unique_ptr<Optimizer> MuonOptions::make(std::vector<OptimParameter> parameters) const {
  return std::make_unique<Muon>(std::move(parameters), *this);
}

}  // namespace

std::unique_ptr<OptimizerOptions> muon_options() {
  return std::make_unique<MuonOptions>();
}

}  // namespace temper
