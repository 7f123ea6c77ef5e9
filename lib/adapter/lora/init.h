// How LoRA's A and B begin. The default (kaiming-uniform A, zero B) changes nothing; the others take both
// from the base weight W and leave the residual W - s B A frozen, so that the model as a whole starts where
// the base is.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace temper {

struct LoraFactors {
  at::Tensor a, b;  // [r, in], [out, r], fp32
};

// Within 1/sqrt(in), as torch.nn.Linear and PEFT have it: kaiming_uniform(a = sqrt 5). B zero.
LoraFactors kaiming_start(int64_t out, int64_t in, int64_t rank, uint64_t seed, const std::string& path);
// A normal(0, deviation), B zero.
LoraFactors gaussian_start(int64_t out, int64_t in, int64_t rank, double deviation, uint64_t seed,
                           const std::string& path);

// PiSSA (Meng et al. 2024, arXiv:2404.02948): the r largest singular triples of W, A = sqrt(S/s) V^T, B = U
// sqrt(S/s). iterations 0: an exact decomposition; n: a randomised one with n power iterations (Halko et al.
// 2011, PEFT's pissa_niter_n).
LoraFactors pissa_start(const at::Tensor& weight, int64_t rank, double scale, int64_t iterations,
                        uint64_t seed, const std::string& path);

// OLoRA (Büyükakyüz 2024, arXiv:2406.01775): W = Q R; B the first r columns of Q, A the first r rows of R.
LoraFactors olora_start(const at::Tensor& weight, int64_t rank);

// CorDA (Yang et al. 2024, arXiv:2406.05223): with C the mean of X^T X of the linear's input over samples, C'
// = C + d mean(diag C) I, U S V^T = SVD(W C'): A = sqrt(S/s) V^T C'^-1, B = U sqrt(S/s) of the r largest
// triples (instruction-previewed, "ipm") or the r smallest (knowledge-preserved, "kpm"). d is .01, doubled
// until |C' C'^-1 - I| < .05. covariance: C, [in, in].
LoraFactors corda_start(const at::Tensor& weight, const at::Tensor& covariance, int64_t rank, double scale,
                        bool largest);

}  // namespace temper
