// Losses that move each response's own log-ratio, x_w and x_l summed over tokens, sigmoid s and logsigmoid
// ls:
//   nca_pair   -ls(b x_w) - ls(-b x_w)/2 - ls(-b x_l)/2
//   bco_pair   -ls(b x_w - d) - ls(d - b x_l); d is 0, or with shift "step" the mean reward of the step's
//   responses sppo_hard  (x_w - 1/(2b))^2 + (x_l + 1/(2b))^2 apo_zero   1 - s(b x_w) + s(b x_l) apo_down s(b
//   x_w) + 1 - s(b (x_w - x_l))
#include "base/error.h"
#include "objective/preference/kinds.h"

namespace temper::objective {
namespace {

struct RatioOptions : PreferenceLossOptions {
  explicit RatioOptions(std::string kind) : kind(std::move(kind)) {}
  const std::string kind;  // not a field
  double beta = 0.1;
  std::string shift = "none";
  void fields(FieldVisitor& v) override {
    v.field("beta", beta, {.help = "strength of the pull to the reference model", .min = 1e-6});
    if (kind == "bco_pair") {
      v.field("shift", shift,
              {.help = "what rewards are measured from: 0, or their mean over the step",
               .choices = {"none", "step"}});
    }
  }
  std::unique_ptr<PreferenceLoss> make() const override;
};

class RatioLoss : public PreferenceLoss {
 public:
  explicit RatioLoss(const RatioOptions& options) : o_(options) {}
  PreferenceNeeds needs() const override { return {.logp_ref = true, .step = o_.shift == "step"}; }
  at::Tensor reward(const Responses& r) const override { return o_.beta * r.ratio(); }

  void prepare(const PreferenceNumbers& step) override {
    if (o_.shift != "step") return;
    const at::Tensor both = 0.5 * (reward(step.chosen) + reward(step.rejected)).detach() * step.include;
    shift_ = (both.sum() / step.include.sum().clamp_min(1)).item<double>();
  }

  at::Tensor operator()(const PreferenceNumbers& n) const override {
    const at::Tensor w = reward(n.chosen), l = reward(n.rejected);
    if (o_.kind == "nca_pair")
      return -at::log_sigmoid(w) - 0.5 * at::log_sigmoid(-w) - 0.5 * at::log_sigmoid(-l);
    if (o_.kind == "bco_pair") return -at::log_sigmoid(w - shift_) - at::log_sigmoid(shift_ - l);
    if (o_.kind == "sppo_hard") {
      const double goal = 1 / (2 * o_.beta);
      return (n.chosen.ratio() - goal).square() + (n.rejected.ratio() + goal).square();
    }
    if (o_.kind == "apo_zero") return 1 - at::sigmoid(w) + at::sigmoid(l);
    if (o_.kind == "apo_down") return at::sigmoid(w) + 1 - at::sigmoid(w - l);
    bug("unknown ratio loss \"{}\"", o_.kind);
  }

 private:
  RatioOptions o_;
  double shift_ = 0.0;
};

std::unique_ptr<PreferenceLoss> RatioOptions::make() const {
  return std::make_unique<RatioLoss>(*this);
}

}  // namespace

std::unique_ptr<PreferenceLossOptions> nca_pair() {
  return std::make_unique<RatioOptions>("nca_pair");
}
std::unique_ptr<PreferenceLossOptions> bco_pair() {
  return std::make_unique<RatioOptions>("bco_pair");
}
std::unique_ptr<PreferenceLossOptions> sppo_hard() {
  return std::make_unique<RatioOptions>("sppo_hard");
}
std::unique_ptr<PreferenceLossOptions> apo_zero() {
  return std::make_unique<RatioOptions>("apo_zero");
}
std::unique_ptr<PreferenceLossOptions> apo_down() {
  return std::make_unique<RatioOptions>("apo_down");
}

}  // namespace temper::objective
