// One fused AdamW update, for the kinds that take it for some of their parameters.
#pragma once

#include "optim/reference.h"

namespace temper {

// m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2; p *= 1 - lr wd; p -= lr m^ / (sqrt(v^) + eps), hats
// bias-corrected; in place, step counts from 1. The plain form is reference::adamw_step.
void adamw_step(at::Tensor& value, const at::Tensor& grad, at::Tensor& exp_avg, at::Tensor& exp_avg_sq,
                int64_t step, const reference::AdamWConstants& constants);

}  // namespace temper
