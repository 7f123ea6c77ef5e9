// Losses of one number a pair, the margin between the scores of its two responses. With x_w, x_l the
// log-ratios to the reference summed over tokens, s an f-divergence score and u = beta (s(x_w) - s(x_l)):
//   dpo           -logsigmoid(u); label_smoothing e: -(1-e) logsigmoid(u) - e logsigmoid(-u), which is cDPO
//   robust        (-(1-e) logsigmoid(u) + e logsigmoid(-u)) / (1 - 2e)
//   hinge         relu(1 - u)
//   ipo           (s(x_w)/|w| - s(x_l)/|l| - 1/(2 beta))^2; length_norm false: without the divisions
//   exo_pair      sigmoid(u)(logsigmoid(u) - log(1-e)) + sigmoid(-u)(logsigmoid(-u) - log e)
//   discopop      -logsigmoid(u)(1-m) + exp(-u) m, m = sigmoid(u / tau)
//   sigmoid_norm  -logsigmoid(beta (s(x_w)/|w| - s(x_l)/|l|))
#include <cmath>

#include "base/error.h"
#include "objective/preference/kinds.h"
#include "objective/preference/math.h"

namespace temper::objective {
namespace {

struct MarginOptions : PreferenceLossOptions {
  explicit MarginOptions(std::string kind) : kind(std::move(kind)) {}
  const std::string kind;  // not a field
  double beta = 0.1, label_smoothing = 0.0, tau = 0.05, divergence_alpha = 0.5;
  bool length_norm = true;
  std::string divergence = "reverse_kl";

  void fields(FieldVisitor& v) override {
    v.field("beta", beta, {.help = "strength of the pull to the reference model", .min = 1e-6});
    if (kind == "dpo" || kind == "robust" || kind == "exo_pair") {
      v.field("label_smoothing", label_smoothing,
              {.help = "share of labels that are taken to be wrong", .min = 0, .max = 0.499});
    }
    if (kind == "ipo")
      v.field("length_norm", length_norm, {.help = "divide each score by the response's length"});
    if (kind == "discopop")
      v.field("tau", tau, {.help = "width of the step from one loss to the other", .min = 1e-6});
    v.field("divergence", divergence,
            {.help = "f-divergence to the reference model",
             .choices = {"reverse_kl", "forward_kl", "js", "alpha"}});
    v.field("divergence_alpha", divergence_alpha,
            {.help = "of divergence \"alpha\"; 1 is reverse_kl, 0 forward_kl"});
  }
  void check(std::vector<std::string>& problems, const std::string& where) const override {
    if (kind == "exo_pair" && label_smoothing == 0) {
      problems.push_back(where + ": exo_pair needs a label_smoothing above 0: it compares with log of it");
    }
  }
  std::unique_ptr<PreferenceLoss> make() const override;
};

class MarginLoss : public PreferenceLoss {
 public:
  explicit MarginLoss(const MarginOptions& options) : o_(options) {}
  PreferenceNeeds needs() const override { return {.logp_ref = true}; }
  at::Tensor reward(const Responses& r) const override { return o_.beta * r.ratio(); }

  at::Tensor operator()(const PreferenceNumbers& n) const override {
    const at::Tensor u = o_.beta * margin(n);
    const double e = o_.label_smoothing;
    if (o_.kind == "dpo") return smoothed_logistic(u, e);
    if (o_.kind == "robust") return (-(1 - e) * at::log_sigmoid(u) + e * at::log_sigmoid(-u)) / (1 - 2 * e);
    if (o_.kind == "hinge") return at::relu(1 - u);
    if (o_.kind == "ipo") return (margin(n) - 1 / (2 * o_.beta)).square();
    if (o_.kind == "exo_pair") {
      return at::sigmoid(u) * (at::log_sigmoid(u) - std::log1p(-e)) +
             at::sigmoid(-u) * (at::log_sigmoid(-u) - std::log(e));
    }
    if (o_.kind == "discopop") {
      const at::Tensor m = at::sigmoid(u / o_.tau);
      return -at::log_sigmoid(u) * (1 - m) + bounded_score_exp(-u) * m;
    }
    if (o_.kind == "sigmoid_norm") return -at::log_sigmoid(u);
    bug("unknown margin loss \"{}\"", o_.kind);
  }

 private:
  at::Tensor margin(const PreferenceNumbers& n) const {
    const auto score = [&](const Responses& r) {
      const at::Tensor s = divergence_score(o_.divergence, o_.divergence_alpha, r.ratio());
      const bool mean = o_.kind == "sigmoid_norm" || (o_.kind == "ipo" && o_.length_norm);
      return mean ? s / r.length : s;
    };
    return score(n.chosen) - score(n.rejected);
  }

  MarginOptions o_;
};

std::unique_ptr<PreferenceLoss> MarginOptions::make() const {
  return std::make_unique<MarginLoss>(*this);
}

}  // namespace

std::unique_ptr<PreferenceLossOptions> dpo() {
  return std::make_unique<MarginOptions>("dpo");
}
std::unique_ptr<PreferenceLossOptions> hinge() {
  return std::make_unique<MarginOptions>("hinge");
}
std::unique_ptr<PreferenceLossOptions> ipo() {
  return std::make_unique<MarginOptions>("ipo");
}
std::unique_ptr<PreferenceLossOptions> discopop() {
  return std::make_unique<MarginOptions>("discopop");
}
std::unique_ptr<PreferenceLossOptions> sigmoid_norm() {
  return std::make_unique<MarginOptions>("sigmoid_norm");
}

std::unique_ptr<PreferenceLossOptions> robust() {
  auto options = std::make_unique<MarginOptions>("robust");
  options->label_smoothing = 0.1;
  return options;
}

std::unique_ptr<PreferenceLossOptions> exo_pair() {
  auto options = std::make_unique<MarginOptions>("exo_pair");
  options->label_smoothing = 1e-3;
  return options;
}

}  // namespace temper::objective
