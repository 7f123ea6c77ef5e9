#include "tensor/product/gemm.h"

// oneMKL, statically inside libtorch_cpu, which exports the Fortran names: column-major, everything by
// pointer.
extern "C" {
void sgemm_(const char* ta, const char* tb, const int* m, const int* n, const int* k, const float* alpha,
            const float* a, const int* lda, const float* b, const int* ldb, const float* beta, float* c,
            const int* ldc);
void gemm_bf16bf16f32_(const char* ta, const char* tb, const int* m, const int* n, const int* k,
                       const float* alpha, const void* a, const int* lda, const void* b, const int* ldb,
                       const float* beta, float* c, const int* ldc);
}

namespace temper {
namespace {

// A row-major c = op(a) op(b) is the column-major c' = op(b)' op(a)': swap the operands, keep the letters.
template <typename T, typename F>
void row_major(const F& blas, Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, const T* a, int64_t lda,
               const T* b, int64_t ldb, bool accumulate, float* c, int64_t ldc) {
  const char letter_a = ta == Trans::kYes ? 'T' : 'N', letter_b = tb == Trans::kYes ? 'T' : 'N';
  const int mi = static_cast<int>(m), ni = static_cast<int>(n), ki = static_cast<int>(k);
  const int la = static_cast<int>(lda), lb = static_cast<int>(ldb), lc = static_cast<int>(ldc);
  const float alpha = 1.0f, beta = accumulate ? 1.0f : 0.0f;
  blas(&letter_b, &letter_a, &ni, &mi, &ki, &alpha, b, &lb, a, &la, &beta, c, &lc);
}

}  // namespace

void gemm(Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, const float* a, int64_t lda, const float* b,
          int64_t ldb, bool accumulate, float* c, int64_t ldc) {
  row_major(sgemm_, ta, tb, m, n, k, a, lda, b, ldb, accumulate, c, ldc);
}

void gemm(Trans ta, Trans tb, int64_t m, int64_t n, int64_t k, const c10::BFloat16* a, int64_t lda,
          const c10::BFloat16* b, int64_t ldb, bool accumulate, float* c, int64_t ldc) {
  row_major(gemm_bf16bf16f32_, ta, tb, m, n, k, a, lda, b, ldb, accumulate, c, ldc);
}

}  // namespace temper
