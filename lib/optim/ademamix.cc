// AdEMAMix (Pagliardini et al., arXiv 2409.03137; apple/ml-ademamix): Adam with a second, slow mean of the
// gradients. m1 = b1 m1 + (1-b1) g; m2 = b3 m2 + (1-b3) g; v = b2 v + (1-b2) g^2; p -= lr ((m1^ + alpha m2) /
// (sqrt(v^) + eps) + wd p); m1 and v bias-corrected, m2 not. alpha and b3 warm up.
#include <ATen/ATen.h>

#include <cmath>

#include "base/error.h"
#include "optim/elementwise.h"
#include "optim/kinds.h"
#include "optim/reference.h"
#include "optim/state.h"

namespace temper {
namespace reference {

void ademamix_step(at::Tensor& value, const at::Tensor& grad, at::Tensor& exp_avg, at::Tensor& exp_avg_slow,
                   at::Tensor& exp_avg_sq, int64_t step, const AdEMAMixConstants& c) {
  const double correction1 = 1 - std::pow(c.beta1, static_cast<double>(step));
  const double correction2 = 1 - std::pow(c.beta2, static_cast<double>(step));
  if (c.beta1 > 0) exp_avg.mul_(c.beta1).add_(grad, 1 - c.beta1);
  exp_avg_slow.mul_(c.beta3).add_(grad, 1 - c.beta3);
  exp_avg_sq.mul_(c.beta2).addcmul_(grad, grad, 1 - c.beta2);
  const at::Tensor fast = c.beta1 > 0 ? exp_avg / correction1 : grad;
  const at::Tensor denominator = exp_avg_sq.sqrt() / std::sqrt(correction2) + c.eps;
  value.sub_((fast + c.alpha * exp_avg_slow) / denominator + c.weight_decay * value, c.lr);
}

}  // namespace reference

namespace {

struct AdEMAMixOptions : OptimizerOptions {
  double beta1 = 0.9, beta2 = 0.999, beta3 = 0.9999, alpha = 8.0, eps = 1e-8;
  double alpha_warmup = 1.0, beta3_warmup = 1.0;
  int64_t updates = 0;  // not a field: of the whole run
  void fields(FieldVisitor& v) override {
    OptimizerOptions::fields(v);
    v.field("beta1", beta1, {.help = "decay of the fast mean; 0: none is kept", .min = 0, .max = 1});
    v.field("beta2", beta2, {.help = "decay of the second moment", .min = 0, .max = 1});
    v.field("beta3", beta3, {.help = "decay of the slow mean", .min = 0, .max = 1});
    v.field("alpha", alpha, {.help = "weight of the slow mean", .min = 0});
    v.field("eps", eps, {.help = "added to the root of the second moment", .min = 0});
    const std::string unit = "share or updates";
    v.field("alpha_warmup", alpha_warmup,
            {.help = "linear warm-up of alpha: up to 1 a share of the run's updates, else updates; 0: none",
             .unit = unit,
             .min = 0});
    v.field("beta3_warmup", beta3_warmup,
            {.help = "warm-up of beta3 from beta1, linear in the half-life: up to 1 a share of the run's "
                     "updates, else updates; 0: none",
             .unit = unit,
             .min = 0});
  }
  void check(std::vector<std::string>& problems, const std::string& where) const override {
    if (beta1 >= 1 || beta2 >= 1 || beta3 >= 1)
      problems.push_back(where + ": beta1, beta2 and beta3 must be below 1, or the means never move");
    if (beta3 < beta1) problems.push_back(where + ".beta3: the slow mean must not be faster than beta1's");
  }
  void prepare(int64_t run_updates) override { updates = run_updates; }
  std::unique_ptr<Optimizer> make(std::vector<OptimParameter> parameters) const override;

  double warmup_updates(double warmup) const {
    if (warmup > 0 && warmup <= 1 && updates == 0) bug("ademamix: make() before prepare()");
    return warmup <= 1 ? warmup * static_cast<double>(updates) : warmup;
  }
};

// Steps until a mean with this decay has forgotten half, as apple/ml-ademamix computes it, and its inverse.
double half_life(double beta) {
  return std::log(0.5) / std::log(beta + 1e-8) - 1;
}
double decay_of(double half_life) {
  return std::pow(0.5, 1 / (half_life + 1));
}

void fast_ademamix_step(at::Tensor& value, const at::Tensor& grad, at::Tensor& exp_avg,
                        at::Tensor& exp_avg_slow, at::Tensor& exp_avg_sq, int64_t step,
                        const reference::AdEMAMixConstants& c) {
  float* x = value.data_ptr<float>();
  float* m1 = c.beta1 > 0 ? exp_avg.data_ptr<float>() : nullptr;
  float* m2 = exp_avg_slow.data_ptr<float>();
  float* v = exp_avg_sq.data_ptr<float>();
  const float* g = grad.const_data_ptr<float>();
  const auto numbers = [](double value) { return vec::Floats(static_cast<float>(value)); };
  const vec::Floats beta1 = numbers(c.beta1), rest1 = numbers(1 - c.beta1), beta2 = numbers(c.beta2),
                    rest2 = numbers(1 - c.beta2), beta3 = numbers(c.beta3), rest3 = numbers(1 - c.beta3),
                    alpha = numbers(c.alpha), eps = numbers(c.eps), decay = numbers(c.weight_decay),
                    lr = numbers(c.lr),
                    correction1 = numbers(1 - std::pow(c.beta1, static_cast<double>(step))),
                    root2 = numbers(std::sqrt(1 - std::pow(c.beta2, static_cast<double>(step))));
  parallel_vectors(value.numel(), [&](int64_t i, int64_t n) {
    using vec::Floats;
    const Floats gradient = vec::load(g + i, n), weight = vec::load(x + i, n);
    Floats fast = gradient;
    if (m1 != nullptr) {
      const Floats mean = beta1 * vec::load(m1 + i, n) + rest1 * gradient;
      vec::store(m1 + i, mean, n);
      fast = mean / correction1;
    }
    const Floats slow = beta3 * vec::load(m2 + i, n) + rest3 * gradient;
    vec::store(m2 + i, slow, n);
    const Floats square = beta2 * vec::load(v + i, n) + rest2 * gradient * gradient;
    vec::store(v + i, square, n);
    const Floats direction = (fast + alpha * slow) / (square.sqrt() / root2 + eps);
    vec::store(x + i, weight - lr * (direction + decay * weight), n);
  });
}

class AdEMAMix : public SlotOptimizer {
 public:
  AdEMAMix(std::vector<OptimParameter> parameters, const AdEMAMixOptions& options)
      : SlotOptimizer(std::move(parameters), options),
        options_(options),
        alpha_updates_(options.warmup_updates(options.alpha_warmup)),
        beta3_updates_(options.warmup_updates(options.beta3_warmup)) {}

 protected:
  std::vector<Slot> slots(const OptimParameter& parameter) const override {
    std::vector<Slot> out = {slot_like(parameter, "exp_avg_slow", /*momentum=*/true),
                             slot_like(parameter, "exp_avg_sq")};
    if (options_.beta1 > 0) out.push_back(slot_like(parameter, "exp_avg", /*momentum=*/true));
    return out;
  }
  void update(Entry& entry, double lr) override {
    at::Tensor& value = entry.parameter.value;
    const at::Tensor& gradient = value.grad();
    at::Tensor &slow = entry.slots[0], &square = entry.slots[1];
    at::Tensor none;
    at::Tensor& fast = options_.beta1 > 0 ? entry.slots[2] : none;
    const reference::AdEMAMixConstants c = constants(entry.step, lr, decay(entry.parameter));
    if (plain_floats(value, gradient, slow, square))
      fast_ademamix_step(value, gradient, fast, slow, square, entry.step, c);
    else
      reference::ademamix_step(value, gradient, fast, slow, square, entry.step, c);
  }
  bool in_lists(const OptimParameter&) const override { return true; }
  void update_lists(Lists& lists) override {
    const reference::AdEMAMixConstants c = constants(lists.step, lists.lr, lists.weight_decay);
    const auto step = static_cast<double>(lists.step);
    const std::vector<at::Tensor>&values = lists.values, &gradients = lists.gradients, &slow = lists.slots[0],
          &squares = lists.slots[1];
    at::_foreach_mul_(slow, c.beta3);
    at::_foreach_add_(slow, gradients, 1 - c.beta3);
    at::_foreach_mul_(squares, c.beta2);
    at::_foreach_addcmul_(squares, gradients, gradients, 1 - c.beta2);
    const std::vector<at::Tensor> directions = at::_foreach_mul(slow, c.alpha);
    if (c.beta1 > 0) {
      const std::vector<at::Tensor>& fast = lists.slots[2];
      at::_foreach_mul_(fast, c.beta1);
      at::_foreach_add_(fast, gradients, 1 - c.beta1);
      at::_foreach_add_(directions, fast, 1 / (1 - std::pow(c.beta1, step)));
    } else {
      at::_foreach_add_(directions, gradients);
    }
    const std::vector<at::Tensor> denominators = at::_foreach_sqrt(squares);
    at::_foreach_div_(denominators, std::sqrt(1 - std::pow(c.beta2, step)));
    at::_foreach_add_(denominators, c.eps);
    at::_foreach_mul_(values, 1 - c.lr * c.weight_decay);
    at::_foreach_addcdiv_(values, directions, denominators, -c.lr);
  }

 private:
  reference::AdEMAMixConstants constants(int64_t update, double lr, double weight_decay) const {
    const auto step = static_cast<double>(update);
    double alpha = options_.alpha, beta3 = options_.beta3;
    if (step < alpha_updates_) alpha *= step / alpha_updates_;
    if (step < beta3_updates_) {
      const double share = step / beta3_updates_;
      beta3 = decay_of((1 - share) * half_life(options_.beta1) + share * half_life(options_.beta3));
    }
    return {lr, options_.beta1, options_.beta2, beta3, alpha, options_.eps, weight_decay};
  }

  AdEMAMixOptions options_;
  double alpha_updates_, beta3_updates_;
};

std::unique_ptr<Optimizer> AdEMAMixOptions::make(std::vector<OptimParameter> parameters) const {
  return std::make_unique<AdEMAMix>(std::move(parameters), *this);
}

}  // namespace

std::unique_ptr<OptimizerOptions> ademamix_options() {
  return std::make_unique<AdEMAMixOptions>();
}

}  // namespace temper
