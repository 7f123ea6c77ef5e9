// One fused AdamW update of a list of parameters, for the kinds that take it for some of theirs.
#pragma once

#include <vector>

#include "optim/reference.h"

namespace temper {

// m = b1 m + (1-b1) g; v = b2 v + (1-b2) g^2; p *= 1 - lr wd; p -= lr m^ / (sqrt(v^) + eps), hats
// bias-corrected; in place, step counts from 1. Of one device and type. The plain form is
// reference::adamw_step.
void adamw_step(const std::vector<at::Tensor>& values, const std::vector<at::Tensor>& gradients,
                const std::vector<at::Tensor>& exp_avgs, const std::vector<at::Tensor>& exp_avg_sqs,
                int64_t step, const reference::AdamWConstants& constants);

}  // namespace temper
