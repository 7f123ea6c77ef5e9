// Adafactor (Shazeer & Stern, arXiv 1804.04235): the second moment of a matrix as the product of its row and
// column means, updates clipped by their RMS, steps scaled by the RMS of the parameter. Two accepted forms:
//
// "transformers": b2 = 1 - t^-0.8; means of g^2 + eps1; V = row col / mean(row); u = g / sqrt(V), divided by
// max(1, RMS(u) / clip); a = rho max(eps2, RMS(p)); with beta1 u is averaged after the scaling by a; p *= 1 -
// a wd; p -= u. rho is the paper's relative step min(0.01, 1 / sqrt(t)) where no lr is given, as
// transformers' own default is; its trainer gives an lr and turns the scaling off.
//
// "torch": rho = min(lr, 1 / sqrt(t)), always scaled by max(eps2, RMS(p)); means of g^2; V = row col /
// max(mean row, eps1); u = g / sqrt(max(V, eps1^2)); p *= 1 - lr wd, before the update.
#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "optim/kinds.h"
#include "optim/state.h"

namespace temper {
namespace {

struct AdafactorOptions : OptimizerOptions {
  std::string form = "transformers";
  double beta1 = 0.0, beta2_decay = 0.8, clip = 1.0, eps2 = 1e-3;
  std::optional<double> eps1, given_lr;
  bool scale_parameter = true, relative_step = true, warmup_init = false;
  bool relative() const { return form == "transformers" && relative_step && !given_lr; }
  void lr_field(FieldVisitor& v) override {
    v.field(
        "lr", given_lr,
        {.help =
             "learning rate at the schedule's peak, times the parameter's RMS with scale_parameter (with it "
             "off, one that AdamW has too); left out: the relative step, which reads no schedule "
             "(transformers), 0.01 (torch)",
         .min = 0});
    lr = given_lr.value_or(1e-2);  // torch's own default
  }
  void fields(FieldVisitor& v) override {
    OptimizerOptions::fields(v);
    v.field("form", form, {.help = "whose form of it", .choices = {"transformers", "torch"}});
    v.field("beta1", beta1,
            {.help = "decay of the mean of the updates; 0: none is kept (transformers)", .min = 0, .max = 1});
    v.field("beta2_decay", beta2_decay,
            {.help = "the second moment decays by 1 - step^-beta2_decay", .min = 0, .max = 1});
    v.field("clip", clip, {.help = "largest RMS of an update before its scaling", .min = 1e-30});
    v.field(
        "eps1", eps1,
        {.help = "keeps the second moment off 0; left out: 1e-30 (transformers), 1.2e-7 (torch)", .min = 0});
    v.field("eps2", eps2, {.help = "smallest RMS of a parameter that scales its step", .min = 0});
    v.field("scale_parameter", scale_parameter, {.help = "steps in proportion to the parameter's RMS"});
    v.field(
        "relative_step", relative_step,
        {.help =
             "without an lr: a step size of min(0.01, 1/sqrt(step)), whatever the schedule (transformers)"});
    v.field("warmup_init", warmup_init,
            {.help = "with relative_step: min(1e-6 step, 1/sqrt(step)) instead (transformers)"});
  }
  void check(std::vector<std::string>& problems, const std::string& where) const override {
    if (beta1 >= 1) problems.push_back(where + ".beta1: must be below 1, or the mean never moves");
    if (form == "transformers" && !relative_step && !given_lr)
      problems.push_back(where + ".lr: needed where relative_step is false");
    if (warmup_init && !relative()) {
      problems.push_back(
          where +
          ".warmup_init: warms up the relative step, which needs relative_step, no lr and form "
          "transformers");
    }
    if (form == "torch" && (beta1 > 0 || !scale_parameter))
      problems.push_back(where + ": beta1 and scale_parameter=false are not part of form torch");
  }
  std::unique_ptr<Optimizer> make(std::vector<OptimParameter> parameters) const override;
};

// Numbers without dimensions in double on x's device, so that the host does not wait for them.
at::Tensor rms(const at::Tensor& x) {
  return x.norm().to(at::kDouble).div_(std::sqrt(static_cast<double>(x.numel())));
}
at::Tensor at_least(double floor, const at::Tensor& x) {  // the floor where x is no number
  return at::fmax(x, at::full_like(x, floor));
}

class Adafactor : public SlotOptimizer {
 public:
  Adafactor(std::vector<OptimParameter> parameters, const AdafactorOptions& options)
      : SlotOptimizer(std::move(parameters), options),
        options_(options),
        torch_form_(options.form == "torch"),
        eps1_(options.eps1.value_or(torch_form_ ? std::numeric_limits<float>::epsilon() : 1e-30)) {}

  double rate(double lr) const override { return options_.relative() ? relative_ : lr; }

 protected:
  // The row mean [...,n,1] and column mean [...,1,m] of the last two dimensions; a vector's is whole.
  std::vector<Slot> slots(const OptimParameter& parameter) const override {
    std::vector<Slot> out;
    Slot whole = slot_like(parameter, "exp_avg_sq");
    if (parameter.value.dim() > 1) {
      Slot row = slot_like(parameter, "exp_avg_sq_row"), column = slot_like(parameter, "exp_avg_sq_col");
      row.sizes.back() = 1;
      column.sizes.end()[-2] = 1;
      out = {row, column};
    } else {
      out = {whole};
    }
    if (options_.beta1 > 0) out.push_back(slot_like(parameter, "exp_avg", /*momentum=*/true));
    return out;
  }

  void update(Entry& entry, double lr) override {
    at::Tensor& value = entry.parameter.value;
    const double weight_decay = decay(entry.parameter);
    const auto step = static_cast<double>(entry.step);
    double rho = lr;
    if (torch_form_) rho = std::min(lr, 1 / std::sqrt(step));
    if (options_.relative()) {
      relative_ = std::min(options_.warmup_init ? 1e-6 * step : 1e-2, 1 / std::sqrt(step));
      rho = entry.parameter.lr_factor * relative_;
    }
    const at::Tensor scale = options_.scale_parameter ? rho * at_least(options_.eps2, rms(value))
                                                      : at::full({}, rho, value.options().dtype(at::kDouble));

    at::Tensor direction = value.grad() * inverse_root(entry);
    direction.div_(at_least(1.0, rms(direction) / options_.clip));
    direction.mul_(scale);
    if (options_.beta1 > 0) direction = entry.slots.back().lerp_(direction, 1 - options_.beta1);
    if (torch_form_)
      value.mul_(1 - lr * weight_decay);
    else
      value.mul_(1 - scale * weight_decay);
    value.sub_(direction);
  }

 private:
  // 1 / sqrt(V) after this step's gradient.
  at::Tensor inverse_root(Entry& entry) const {
    const at::Tensor gradient = entry.parameter.value.grad();
    const double fresh = std::pow(static_cast<double>(entry.step), -options_.beta2_decay);
    const at::Tensor square = torch_form_ ? gradient.square() : gradient.square() + eps1_;
    if (gradient.dim() < 2) {
      const at::Tensor& whole = entry.slots[0].lerp_(square, fresh);
      return (torch_form_ ? whole.clamp_min(eps1_ * eps1_) : whole).rsqrt();
    }
    const at::Tensor& row = entry.slots[0].lerp_(square.mean(-1, /*keepdim=*/true), fresh);
    const at::Tensor& column = entry.slots[1].lerp_(square.mean(-2, /*keepdim=*/true), fresh);
    const at::Tensor mean = row.mean(-2, /*keepdim=*/true);
    if (torch_form_) {
      return (row.matmul(column) / mean.clamp_min(eps1_)).clamp_min(eps1_ * eps1_).rsqrt();
    }
    return (row / mean).rsqrt() * column.rsqrt();
  }

  AdafactorOptions options_;
  bool torch_form_;
  double eps1_, relative_ = 0;
};

std::unique_ptr<Optimizer> AdafactorOptions::make(std::vector<OptimParameter> parameters) const {
  return std::make_unique<Adafactor>(std::move(parameters), *this);
}

}  // namespace

std::unique_ptr<OptimizerOptions> adafactor_options() {
  return std::make_unique<AdafactorOptions>();
}

}  // namespace temper
