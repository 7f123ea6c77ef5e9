// What the preference losses share.
#pragma once

#include <ATen/core/Tensor.h>

#include <string>

namespace temper::objective {

// exp() of anything above this is cut off (and has no gradient there): e^40 is 2e17, and its square still
// fits fp32.
inline constexpr double kMaxScore = 40.0;
at::Tensor bounded_score_exp(const at::Tensor& x);

// f-divergence score of a log-ratio x, the derivative of f at e^x as in TRL: reverse_kl x; forward_kl 1 -
// exp(-x); js log 2 + logsigmoid(x); alpha (exp((alpha - 1) x) - 1) / (alpha - 1), x at alpha = 1.
at::Tensor divergence_score(const std::string& divergence, double alpha, const at::Tensor& x);

// -(1 - smoothing) logsigmoid(x) - smoothing logsigmoid(-x).
at::Tensor smoothed_logistic(const at::Tensor& x, double smoothing);

}  // namespace temper::objective
