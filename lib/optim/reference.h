// The plain form of the elementwise optimizers, one tensor operation after the other: what the fast passes
// are tested against, and what runs where they do not apply (another type).
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace temper::reference {

// One AdamW update (decoupled decay, Loshchilov & Hutter 2019), in place; step counts from 1.
struct AdamWConstants {
  double lr, beta1, beta2, eps, weight_decay;
};
void adamw_step(at::Tensor& value, const at::Tensor& grad, at::Tensor& exp_avg, at::Tensor& exp_avg_sq,
                int64_t step, const AdamWConstants& constants);

// One update of Lion (Chen et al., arXiv 2302.06675), in place.
struct LionConstants {
  double lr, beta1, beta2, weight_decay;
};
void lion_step(at::Tensor& value, const at::Tensor& grad, at::Tensor& exp_avg,
               const LionConstants& constants);

// One update of AdEMAMix (Pagliardini et al., arXiv 2409.03137), in place. alpha and beta3 are those of this
// step; exp_avg is not read and may be undefined when beta1 is 0.
struct AdEMAMixConstants {
  double lr, beta1, beta2, beta3, alpha, eps, weight_decay;
};
void ademamix_step(at::Tensor& value, const at::Tensor& grad, at::Tensor& exp_avg, at::Tensor& exp_avg_slow,
                   at::Tensor& exp_avg_sq, int64_t step, const AdEMAMixConstants& constants);

}  // namespace temper::reference
