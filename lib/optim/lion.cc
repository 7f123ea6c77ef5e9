// Lion (Chen et al., arXiv 2302.06675) and Lion-K (Chen et al., arXiv 2310.05898): p *= 1 - lr wd; p -= lr
// dK(b1 m + (1-b1) g); m = b2 m + (1-b2) g. K = ||.||_1 gives the sign, which is Lion. With decay the
// iterates enter the ball of K's dual norm of radius 1/wd and stay: for Lion ||p||_inf <= 1/wd.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <cmath>

#include "optim/elementwise.h"
#include "optim/kinds.h"
#include "optim/reference.h"
#include "optim/state.h"

namespace temper {
namespace reference {

void lion_step(at::Tensor& value, const at::Tensor& grad, at::Tensor& exp_avg, const LionConstants& c) {
  const at::Tensor direction = (c.beta1 * exp_avg + (1 - c.beta1) * grad).sign();
  value.mul_(1 - c.lr * c.weight_decay).sub_(direction, c.lr);
  exp_avg.mul_(c.beta2).add_(grad, 1 - c.beta2);
}

}  // namespace reference

namespace {

struct LionOptions : OptimizerOptions {
  double beta1 = 0.9, beta2 = 0.99, p = 2.0;
  std::string norm = "l1";
  void fields(FieldVisitor& v) override {
    OptimizerOptions::fields(v);
    v.field("beta1", beta1, {.help = "share of the momentum in the direction", .min = 0, .max = 1});
    v.field("beta2", beta2, {.help = "decay of the momentum", .min = 0, .max = 1});
    v.field("norm", norm,
            {.help = "the norm whose gradient is the direction; l1: the sign (Lion), lp: the p-norm of the "
                     "parameter, rows: the sum of the p-norms of its rows",
             .choices = {"l1", "lp", "rows"}});
    v.field("p", p, {.help = "exponent of lp and rows, above 1", .min = 1, .max = 100});
  }
  void check(std::vector<std::string>& problems, const std::string& where) const override {
    if (beta2 >= 1) problems.push_back(where + ".beta2: must be below 1, or the momentum never moves");
    if (norm != "l1" && p <= 1) problems.push_back(where + ".p: above 1 expected; for 1 take norm l1");
  }
  std::unique_ptr<Optimizer> make(std::vector<OptimParameter> parameters) const override;
};

void fast_lion_step(at::Tensor& value, const at::Tensor& grad, at::Tensor& exp_avg,
                    const reference::LionConstants& c) {
  float* x = value.data_ptr<float>();
  float* m = exp_avg.data_ptr<float>();
  const float* g = grad.const_data_ptr<float>();
  using vec::Floats;
  const Floats beta1(static_cast<float>(c.beta1)), rest1(static_cast<float>(1 - c.beta1));
  const Floats beta2(static_cast<float>(c.beta2)), rest2(static_cast<float>(1 - c.beta2));
  const Floats keep(static_cast<float>(1 - c.lr * c.weight_decay)), zero(0.0f);
  const Floats up(static_cast<float>(c.lr)), down(static_cast<float>(-c.lr));
  parallel_vectors(value.numel(), [&](int64_t i, int64_t n) {
    const Floats gradient = vec::load(g + i, n), momentum = vec::load(m + i, n);
    const Floats direction = beta1 * momentum + rest1 * gradient;
    // lr times the sign; a comparison of vectors gives masks.
    const Floats move = Floats::blendv(Floats::blendv(zero, up, direction > zero), down, direction < zero);
    vec::store(x + i, vec::load(x + i, n) * keep - move, n);
    vec::store(m + i, beta2 * momentum + rest2 * gradient, n);
  });
}

// The tensor as [groups, elements]: the norm of "rows" is taken by row of a matrix, that of "lp" over all.
at::Tensor grouped(const at::Tensor& x, const std::string& norm) {
  return norm == "rows" && x.dim() > 1 ? x.flatten(1) : x.reshape({1, -1});
}

// The gradient of the sum of the groups' p-norms: sign(x) |x|^(p-1) / ||x||_p^(p-1); 0 for a group of zeros.
at::Tensor norm_gradient(const at::Tensor& x, const std::string& norm, double p) {
  const at::Tensor groups = grouped(x, norm);
  const at::Tensor length = groups.norm(p, {1}, /*keepdim=*/true).clamp_min(1e-30);
  const at::Tensor unit = groups / length;
  return (unit.sign() * unit.abs().pow(p - 1)).reshape(x.sizes());
}

class Lion : public SlotOptimizer {
 public:
  Lion(std::vector<OptimParameter> parameters, const LionOptions& options)
      : SlotOptimizer(std::move(parameters), options), options_(options) {}

  // With decay: constraint, the largest dual norm of a parameter (of a group) times the decay, and
  // outside, the share of decayed weights (those of groups) beyond 1.
  std::map<std::string, OptimizerMetric> metrics() const override {
    const at::NoGradGuard no_grad;
    double weights = 0;
    std::vector<double> decays, counts;
    std::vector<at::Tensor> sizes, outsides;  // 0 dimensions: they leave the device together
    for (const Entry& entry : entries()) {
      const double decay = this->decay(entry.parameter);
      if (decay == 0 || entry.step == 0) continue;
      at::Tensor size = entry.parameter.value.abs();  // one number for each group of `count` weights
      double count = 1;
      if (options_.norm != "l1") {
        const at::Tensor groups = grouped(entry.parameter.value, options_.norm);
        count = static_cast<double>(groups.size(1));
        size = groups.norm(options_.p / (options_.p - 1), {1});
      }
      decays.push_back(decay);
      counts.push_back(count);
      sizes.push_back(size.max().to(at::kDouble));
      outsides.push_back((size > 1 / decay).sum().to(at::kDouble));
      weights += count * static_cast<double>(size.numel());
    }
    if (weights == 0) return {};
    const at::Tensor read = at::stack({at::stack(sizes), at::stack(outsides)}).cpu();
    const auto of = read.accessor<double, 2>();
    double largest = 0, outside = 0;
    for (size_t i = 0; i < decays.size(); ++i) {
      const auto at = static_cast<int64_t>(i);
      largest = std::max(largest, of[0][at] * decays[i]);
      outside += counts[i] * of[1][at];
    }
    return {{"lion_constraint", {largest}}, {"lion_outside", {outside / weights, weights}}};
  }

 protected:
  std::vector<Slot> slots(const OptimParameter& parameter) const override {
    return {slot_like(parameter, "exp_avg", /*momentum=*/true)};
  }
  void update(Entry& entry, double lr) override {
    at::Tensor &value = entry.parameter.value, &momentum = entry.slots[0];
    const at::Tensor& gradient = value.grad();
    const reference::LionConstants c{lr, options_.beta1, options_.beta2, decay(entry.parameter)};
    if (options_.norm != "l1") {
      const at::Tensor mixed = c.beta1 * momentum + (1 - c.beta1) * gradient;
      value.mul_(1 - lr * c.weight_decay).sub_(norm_gradient(mixed, options_.norm, options_.p), lr);
      momentum.mul_(c.beta2).add_(gradient, 1 - c.beta2);
    } else if (plain_floats(value, gradient, momentum)) {
      fast_lion_step(value, gradient, momentum, c);
    } else {
      reference::lion_step(value, gradient, momentum, c);
    }
  }
  bool in_lists(const OptimParameter&) const override { return options_.norm == "l1"; }
  void update_lists(Lists& lists) override {
    const std::vector<at::Tensor>&values = lists.values, &gradients = lists.gradients,
          &momenta = lists.slots[0];
    const std::vector<at::Tensor> directions = at::_foreach_mul(momenta, options_.beta1);
    at::_foreach_add_(directions, gradients, 1 - options_.beta1);
    at::_foreach_sign_(directions);
    at::_foreach_mul_(values, 1 - lists.lr * lists.weight_decay);
    at::_foreach_add_(values, directions, -lists.lr);
    at::_foreach_mul_(momenta, options_.beta2);
    at::_foreach_add_(momenta, gradients, 1 - options_.beta2);
  }

 private:
  LionOptions options_;
};

std::unique_ptr<Optimizer> LionOptions::make(std::vector<OptimParameter> parameters) const {
  return std::make_unique<Lion>(std::move(parameters), *this);
}

}  // namespace

std::unique_ptr<OptimizerOptions> lion_options() {
  return std::make_unique<LionOptions>();
}

}  // namespace temper
