// Losses of single responses that are labelled desirable or not; x the log-ratio summed over tokens, s =
// sigmoid:
//   kto                desirable: 1 - s(beta (x - z)), undesirable: 1 - s(beta (z - x)); z = max(0, mean
//   mismatch) over
//                      the step, detached: an estimate of the KL from responses that belong to other prompts
//   apo_zero_unpaired  1 - s(beta x), s(beta x)
//   bco                -logsigmoid(beta x - d), -logsigmoid(d - beta x); d halfway between the mean rewards
//   of the
//                      step's desirable and undesirable responses (the paper keeps a running mean of it)
// Each side has its own weight; the mean is over all responses. Sources: arXiv 2402.01306, 2408.06266,
// 2404.04656.
#include "base/error.h"
#include "objective/preference/kinds.h"

namespace temper::objective {
namespace {

struct UnpairedOptions : PreferenceLossOptions {
  explicit UnpairedOptions(std::string kind) : kind(std::move(kind)) {}
  const std::string kind;  // not a field
  double beta = 0.1, desirable_weight = 1.0, undesirable_weight = 1.0;
  void fields(FieldVisitor& v) override {
    v.field("beta", beta, {.help = "strength of the pull to the reference model", .min = 1e-6});
    v.field("desirable_weight", desirable_weight, {.help = "weight of the desirable responses", .min = 0});
    v.field("undesirable_weight", undesirable_weight,
            {.help = "weight of the undesirable responses", .min = 0});
  }
  std::unique_ptr<PreferenceLoss> make() const override;
};

class Unpaired : public PreferenceLoss {
 public:
  explicit Unpaired(const UnpairedOptions& options) : o_(options) {}
  PreferenceNeeds needs() const override {
    return {.logp_ref = true,
            .label = true,
            .mismatch = o_.kind == "kto",
            .step = o_.kind != "apo_zero_unpaired"};
  }
  at::Tensor reward(const Responses& r) const override { return o_.beta * r.ratio(); }

  void prepare(const PreferenceNumbers& step) override {
    const auto mean_of = [&](const at::Tensor& value, const at::Tensor& weight) {
      return ((value * weight).sum() / weight.sum().clamp_min(1)).item<double>();
    };
    if (o_.kind == "kto") {
      if (!step.mismatch.defined()) bug("kto: the preference batch has no mismatch");
      const at::Tensor mismatch = step.mismatch.detach().to(step.include.scalar_type());
      origin_ = o_.beta * std::max(0.0, mean_of(mismatch, step.include));
    } else if (o_.kind == "bco") {
      const at::Tensor r = reward(step.response).detach(),
                       good = step.label.to(r.scalar_type()) * step.include;
      origin_ = 0.5 * (mean_of(r, good) + mean_of(r, step.include - good));
    }
  }

  at::Tensor operator()(const PreferenceNumbers& n) const override {
    const at::Tensor r = reward(n.response) - origin_;
    const bool logistic = o_.kind == "bco";
    const at::Tensor good = logistic ? -at::log_sigmoid(r) : 1 - at::sigmoid(r);
    const at::Tensor bad = logistic ? -at::log_sigmoid(-r) : 1 - at::sigmoid(-r);
    return at::where(n.label, o_.desirable_weight * good, o_.undesirable_weight * bad);
  }

 private:
  UnpairedOptions o_;
  double origin_ = 0.0;  // what rewards are measured from
};

std::unique_ptr<PreferenceLoss> UnpairedOptions::make() const {
  return std::make_unique<Unpaired>(*this);
}

}  // namespace

std::unique_ptr<PreferenceLossOptions> kto() {
  return std::make_unique<UnpairedOptions>("kto");
}
std::unique_ptr<PreferenceLossOptions> apo_zero_unpaired() {
  return std::make_unique<UnpairedOptions>("apo_zero_unpaired");
}
std::unique_ptr<PreferenceLossOptions> bco() {
  return std::make_unique<UnpairedOptions>("bco");
}

}  // namespace temper::objective
