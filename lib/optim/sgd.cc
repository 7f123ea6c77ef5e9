// SGD as in torch.optim: g += wd p (coupled decay); buf = momentum buf + (1 - dampening) g, the first time
// buf = g; nesterov: g += momentum buf, else g = buf; p -= lr g.
#include <ATen/ATen.h>

#include "optim/kinds.h"
#include "optim/state.h"

namespace temper {
namespace {

struct SgdOptions : OptimizerOptions {
  double momentum = 0.0, dampening = 0.0;
  bool nesterov = false;
  void fields(FieldVisitor& v) override {
    OptimizerOptions::fields(v);
    v.field("momentum", momentum, {.help = "share of the last direction that is kept", .min = 0});
    v.field("dampening", dampening,
            {.help = "share of the gradient that does not enter the momentum", .min = 0, .max = 1});
    v.field("nesterov", nesterov, {.help = "look ahead along the momentum"});
  }
  void check(std::vector<std::string>& problems, const std::string& where) const override {
    if (nesterov && (momentum == 0 || dampening != 0)) {
      problems.push_back(where + ": nesterov needs a momentum above 0 and no dampening");
    }
  }
  std::unique_ptr<Optimizer> make(std::vector<OptimParameter> parameters) const override;
};

class Sgd : public SlotOptimizer {
 public:
  Sgd(std::vector<OptimParameter> parameters, const SgdOptions& options)
      : SlotOptimizer(std::move(parameters), options), options_(options) {}

 protected:
  std::vector<Slot> slots(const OptimParameter& parameter) const override {
    if (options_.momentum == 0) return {};
    return {slot_like(parameter, "momentum_buffer", /*momentum=*/true)};
  }
  void update(Entry& entry, double lr) override {
    at::Tensor& value = entry.parameter.value;
    at::Tensor direction = value.grad();
    if (decay(entry.parameter) > 0) direction = direction.add(value, decay(entry.parameter));
    if (options_.momentum > 0) {
      at::Tensor& buffer = entry.slots[0];
      if (entry.step == 1)
        buffer.copy_(direction);
      else
        buffer.mul_(options_.momentum).add_(direction, 1 - options_.dampening);
      direction = options_.nesterov ? direction.add(buffer, options_.momentum) : buffer;
    }
    value.add_(direction, -lr);
  }
  bool in_lists(const OptimParameter&) const override { return true; }
  void update_lists(Lists& lists) override {
    std::vector<at::Tensor> directions = lists.gradients;
    if (lists.weight_decay > 0) directions = at::_foreach_add(directions, lists.values, lists.weight_decay);
    if (options_.momentum > 0) {
      const std::vector<at::Tensor>& buffers = lists.slots[0];
      if (lists.step == 1) {
        at::_foreach_copy_(buffers, directions);
      } else {
        at::_foreach_mul_(buffers, options_.momentum);
        at::_foreach_add_(buffers, directions, 1 - options_.dampening);
      }
      directions = options_.nesterov ? at::_foreach_add(directions, buffers, options_.momentum) : buffers;
    }
    at::_foreach_add_(lists.values, directions, -lists.lr);
  }

 private:
  SgdOptions options_;
};

std::unique_ptr<Optimizer> SgdOptions::make(std::vector<OptimParameter> parameters) const {
  return std::make_unique<Sgd>(std::move(parameters), *this);
}

}  // namespace

std::unique_ptr<OptimizerOptions> sgd_options() {
  return std::make_unique<SgdOptions>();
}

}  // namespace temper
