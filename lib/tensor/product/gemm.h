// Row-major matrix products with fp32 results, from fp32 or bf16 inputs, through the BLAS inside libtorch.
// ATen has no product that reads bf16 and accumulates into an fp32 matrix, which weight gradients and logits
// want.
#pragma once

#include <c10/util/BFloat16.h>

#include <cstdint>

namespace temper {

enum class Trans { kNo, kYes };

// c [m,n] = op(a) op(b) + (accumulate ? c : 0). op(a) is [m,k], op(b) [k,n]; ld* are row strides of the
// stored matrices. Inside at::parallel_for it runs on the calling thread alone.
void gemm(Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b,
          int64_t ldb, bool accumulate, float* c, int64_t ldc);
void gemm(Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, const c10::BFloat16* a, int64_t lda,
          const c10::BFloat16* b, int64_t ldb, bool accumulate, float* c, int64_t ldc);

}  // namespace temper
