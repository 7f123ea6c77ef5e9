#include "optim/adamw.h"

#include <ATen/ATen.h>

#include <cmath>

#include "optim/kinds.h"
#include "optim/state.h"

namespace temper {
namespace reference {

void adamw_step(at::Tensor& value, const at::Tensor& grad, at::Tensor& exp_avg, at::Tensor& exp_avg_sq,
                int64_t step, const AdamWConstants& c) {
  const double correction1 = 1 - std::pow(c.beta1, static_cast<double>(step));
  const double correction2 = 1 - std::pow(c.beta2, static_cast<double>(step));
  exp_avg.copy_(c.beta1 * exp_avg + (1 - c.beta1) * grad);
  exp_avg_sq.copy_(c.beta2 * exp_avg_sq + (1 - c.beta2) * grad * grad);
  const at::Tensor denominator = (exp_avg_sq / correction2).sqrt() + c.eps;
  value.copy_(value * (1 - c.lr * c.weight_decay) - c.lr * (exp_avg / correction1) / denominator);
}

}  // namespace reference

void adamw_step(const std::vector<at::Tensor>& values, const std::vector<at::Tensor>& gradients,
                const std::vector<at::Tensor>& exp_avgs, const std::vector<at::Tensor>& exp_avg_sqs,
                int64_t step, const reference::AdamWConstants& c) {
  // The fused kernel wants a step for each parameter, as a float tensor of the device, and only reads it; it
  // is exact up to 2^24 updates.
  const at::Tensor count = at::full({}, step, values.at(0).options().dtype(at::kFloat));
  const std::vector<at::Tensor> counts(values.size(), count);
  at::_fused_adamw_(values, gradients, exp_avgs, exp_avg_sqs, {}, counts, c.lr, c.beta1, c.beta2,
                    c.weight_decay, c.eps, /*amsgrad=*/false, /*maximize=*/false);
}

namespace {

struct AdamWOptions : OptimizerOptions {
  double beta1 = 0.9, beta2 = 0.999, eps = 1e-8;
  void fields(FieldVisitor& v) override {
    OptimizerOptions::fields(v);
    v.field("beta1", beta1, {.help = "decay of the first moment", .min = 0, .max = 1});
    v.field("beta2", beta2, {.help = "decay of the second moment", .min = 0, .max = 1});
    v.field("eps", eps, {.help = "added to the root of the second moment", .min = 0});
  }
  void check(std::vector<std::string>& problems, const std::string& where) const override {
    if (beta1 >= 1 || beta2 >= 1)
      problems.push_back(where + ": beta1 and beta2 must be below 1, or the moments never move");
  }
  std::unique_ptr<Optimizer> make(std::vector<OptimParameter> parameters) const override;
};

class AdamW : public SlotOptimizer {
 public:
  AdamW(std::vector<OptimParameter> parameters, const AdamWOptions& options)
      : SlotOptimizer(std::move(parameters), options), options_(options) {}

 protected:
  std::vector<Slot> slots(const OptimParameter& parameter) const override {
    return {slot_like(parameter, "exp_avg", /*momentum=*/true), slot_like(parameter, "exp_avg_sq")};
  }
  void update(Entry& entry, double lr) override {
    at::Tensor& value = entry.parameter.value;
    adamw_step({value}, {value.grad()}, {entry.slots[0]}, {entry.slots[1]}, entry.step,
               {lr, options_.beta1, options_.beta2, options_.eps, decay(entry.parameter)});
  }
  bool in_lists(const OptimParameter&) const override { return true; }
  void update_lists(Lists& lists) override {
    adamw_step(lists.values, lists.gradients, lists.slots[0], lists.slots[1], lists.step,
               {lists.lr, options_.beta1, options_.beta2, options_.eps, lists.weight_decay});
  }

 private:
  AdamWOptions options_;
};

std::unique_ptr<Optimizer> AdamWOptions::make(std::vector<OptimParameter> parameters) const {
  return std::make_unique<AdamW>(std::move(parameters), *this);
}

}  // namespace

std::unique_ptr<OptimizerOptions> adamw_options() {
  return std::make_unique<AdamWOptions>();
}

}  // namespace temper
