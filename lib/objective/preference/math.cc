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

at::Tensor log1mexp(const at::Tensor& x) {
  // Near 0 the first form, far below the second: each is inexact on the other's side, so each sees only its
  // own.
  const at::Tensor safe = x.clamp_max(-1e-6);
  const at::Tensor near = safe.ge(-std::log(2.0));
  const at::Tensor a = (-at::expm1(at::where(near, safe, at::full_like(safe, -0.5)))).log();
  const at::Tensor b = at::log1p(-at::where(near, at::full_like(safe, -1.0), safe).exp());
  return at::where(near, a, b);
}

at::Tensor smoothed_logistic(const at::Tensor& x, double smoothing) {
  const at::Tensor value = -(1 - smoothing) * at::log_sigmoid(x);
  return smoothing == 0 ? value : value - smoothing * at::log_sigmoid(-x);
}

}  // namespace temper::objective
