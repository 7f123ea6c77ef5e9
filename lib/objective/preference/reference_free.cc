// Preference losses without a reference model; lp sums over tokens, a = lp / length:
//   simpo  -logsigmoid(beta (a_w - a_l) - gamma)               arXiv 2405.14734
//   cpo    -logsigmoid(beta (lp_w - lp_l)), plus the NLL of the chosen (sft_weight)    arXiv 2401.08417
//   orpo   -lambda logsigmoid(log odds_w - log odds_l), odds = e^a / (1 - e^a), plus the NLL   arXiv
//   2403.07691
// label_smoothing e of simpo and cpo: -(1-e) logsigmoid(u) - e logsigmoid(-u).
#include "objective/math.h"
#include "objective/preference/kinds.h"
#include "objective/preference/math.h"

namespace temper::objective {
namespace {

struct SimpoOptions : PreferenceLossOptions {
  double beta = 2.0, gamma = 0.5, label_smoothing = 0.0;
  void fields(FieldVisitor& v) override {
    v.field("beta", beta, {.help = "scale of the mean log-probs", .min = 1e-6});
    v.field("gamma", gamma, {.help = "margin that the chosen response must win by"});
    v.field("label_smoothing", label_smoothing,
            {.help = "share of labels that are taken to be wrong", .min = 0, .max = 0.499});
  }
  std::unique_ptr<PreferenceLoss> make() const override;
};

struct Simpo : PreferenceLoss {
  explicit Simpo(const SimpoOptions& options) : o(options) {}
  PreferenceNeeds needs() const override { return {}; }
  at::Tensor reward(const Responses& r) const override { return o.beta * r.logp / r.length; }
  at::Tensor operator()(const PreferenceNumbers& n) const override {
    return smoothed_logistic(reward(n.chosen) - reward(n.rejected) - o.gamma, o.label_smoothing);
  }
  SimpoOptions o;
};

struct CpoOptions : PreferenceLossOptions {
  double beta = 0.1, label_smoothing = 0.0;
  void fields(FieldVisitor& v) override {
    v.field("beta", beta, {.help = "scale of the log-probs", .min = 1e-6});
    v.field("label_smoothing", label_smoothing,
            {.help = "share of labels that are taken to be wrong", .min = 0, .max = 0.499});
  }
  std::unique_ptr<PreferenceLoss> make() const override;
};

struct Cpo : PreferenceLoss {
  explicit Cpo(const CpoOptions& options) : o(options) {}
  PreferenceNeeds needs() const override { return {}; }
  at::Tensor reward(const Responses& r) const override { return o.beta * r.logp; }
  at::Tensor operator()(const PreferenceNumbers& n) const override {
    return smoothed_logistic(reward(n.chosen) - reward(n.rejected), o.label_smoothing);
  }
  CpoOptions o;
};

struct OrpoOptions : PreferenceLossOptions {
  double lambda = 0.1;
  void fields(FieldVisitor& v) override {
    v.field("lambda", lambda, {.help = "weight of the odds-ratio term", .min = 0});
  }
  std::unique_ptr<PreferenceLoss> make() const override;
};

struct Orpo : PreferenceLoss {
  explicit Orpo(const OrpoOptions& options) : o(options) {}
  PreferenceNeeds needs() const override { return {}; }
  at::Tensor reward(const Responses& r) const override { return o.lambda * r.logp / r.length; }
  at::Tensor operator()(const PreferenceNumbers& n) const override {
    const auto log_odds = [](const Responses& r) {
      const at::Tensor mean = r.logp / r.length;
      return mean - log1mexp(mean);
    };
    return -o.lambda * at::log_sigmoid(log_odds(n.chosen) - log_odds(n.rejected));
  }
  OrpoOptions o;
};

std::unique_ptr<PreferenceLoss> SimpoOptions::make() const {
  return std::make_unique<Simpo>(*this);
}
std::unique_ptr<PreferenceLoss> CpoOptions::make() const {
  return std::make_unique<Cpo>(*this);
}
std::unique_ptr<PreferenceLoss> OrpoOptions::make() const {
  return std::make_unique<Orpo>(*this);
}

}  // namespace

std::unique_ptr<PreferenceLossOptions> simpo() {
  return std::make_unique<SimpoOptions>();
}
std::unique_ptr<PreferenceLossOptions> cpo() {
  return std::make_unique<CpoOptions>();
}
std::unique_ptr<PreferenceLossOptions> orpo() {
  return std::make_unique<OrpoOptions>();
}

}  // namespace temper::objective
