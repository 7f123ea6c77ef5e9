#include "objective/preference/math.h"

#include <cmath>

#include "base/error.h"

namespace temper::objective {

at::Tensor bounded_score_exp(const at::Tensor& x) {
  return x.clamp_max(kMaxScore).exp();
}

at::Tensor divergence_score(const std::string& divergence, double alpha, const at::Tensor& x) {
  if (divergence == "reverse_kl") return x;
  if (divergence == "forward_kl") return 1 - bounded_score_exp(-x);
  if (divergence == "js") return std::log(2.0) + at::log_sigmoid(x);
  if (divergence == "alpha") {
    const double power = alpha - 1;
    return std::abs(power) < 1e-6 ? x : (bounded_score_exp(power * x) - 1) / power;
  }
  bug("unknown divergence \"{}\"", divergence);
}

at::Tensor smoothed_logistic(const at::Tensor& x, double smoothing) {
  const at::Tensor value = -(1 - smoothing) * at::log_sigmoid(x);
  return smoothing == 0 ? value : value - smoothing * at::log_sigmoid(-x);
}

}  // namespace temper::objective
