// Rows of fp32 or bf16 read and written as vectors of floats. Only for the kernels of tensor, rollout and
// optim.
#pragma once

#include <ATen/cpu/vec/functional.h>
#include <ATen/cpu/vec/vec.h>
#include <c10/util/BFloat16.h>

#include <algorithm>
#include <cstdint>
#include <cstring>

namespace temper::vec {

using Floats = at::vec::Vectorized<float>;
constexpr int64_t kWidth = Floats::size();
#if defined(CPU_CAPABILITY_AVX512)
using Register = __m512;
using Half = __m256i;
#elif defined(CPU_CAPABILITY_AVX2)
using Register = __m256;
using Half = __m128i;
#endif

inline Floats load(const float* p, int64_t n = kWidth) {
  return n == kWidth ? Floats::loadu(p) : Floats::loadu(p, n);
}
// Whole vectors by hand: ATen's loads and stores of part of a register, as 16 bytes of bf16 are, go through
// memory.
[[gnu::always_inline]] inline Floats load(const c10::BFloat16* p, int64_t n = kWidth) {
#if defined(CPU_CAPABILITY_AVX512) || defined(CPU_CAPABILITY_AVX2)
  if (n == kWidth) {
    Half half;
    std::memcpy(&half, p, sizeof half);
    Register wide;
    at::vec::cvtbf16_fp32(half, wide);
    return wide;
  }
#endif
  return at::vec::convert<float>(at::vec::Vectorized<c10::BFloat16>::loadu(p, n));
}
// int8 codes as floats.
[[gnu::always_inline]] inline Floats load(const int8_t* p, int64_t n = kWidth) {
#if defined(CPU_CAPABILITY_AVX512)
  if (n == kWidth)
    return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))));
#elif defined(CPU_CAPABILITY_AVX2)
  if (n == kWidth)
    return _mm256_cvtepi32_ps(_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))));
#endif
  float lanes[kWidth] = {};
  std::copy_n(p, n, lanes);
  return Floats::loadu(lanes);
}
inline void store(float* p, const Floats& v, int64_t n = kWidth) {
  if (n == kWidth)
    v.store(p);
  else
    v.store(p, static_cast<int>(n));
}
[[gnu::always_inline]] inline void store(c10::BFloat16* p, const Floats& v, int64_t n = kWidth) {
#if defined(CPU_CAPABILITY_AVX512) || defined(CPU_CAPABILITY_AVX2)
  if (n == kWidth) {
    const Half half = at::vec::cvtfp32_bf16(v);
    std::memcpy(p, &half, sizeof half);
    return;
  }
#endif
  at::vec::convert<c10::BFloat16>(v).store(p, static_cast<int>(n));
}

inline float sum(const Floats& v) {
  return at::vec::vec_reduce_all<float>([](const Floats& a, const Floats& b) { return a + b; }, v);
}
inline float max(const Floats& v) {
  return at::vec::vec_reduce_all<float>(
      [](const Floats& a, const Floats& b) { return at::vec::maximum(a, b); }, v);
}

// f(offset, count) over [0, n) in steps of one vector; count < kWidth in the last.
template <typename F>
inline void for_each(int64_t n, const F& f) {
  int64_t i = 0;
  for (; i + kWidth <= n; i += kWidth) f(i, kWidth);
  if (i < n) f(i, n - i);
}

// Sums over a row: lanes beyond n do not count, because partial loads fill them with zeros.
template <typename F>
inline float sum_over(int64_t n, const F& f) {
  // Block by block into a double: one by one, a large sum would swallow what a vocabulary's many small
  // probabilities add up to.
  constexpr int64_t kBlock = 64 * kWidth;
  double total = 0;
  int64_t i = 0;
  while (i + kWidth <= n) {
    Floats block(0.0f);
    for (const int64_t end = std::min(n, i + kBlock); i + kWidth <= end; i += kWidth)
      block = block + f(i, kWidth);
    total += sum(block);
  }
  if (i < n) {
    float lanes[kWidth];
    f(i, n - i).store(lanes);
    for (int64_t j = 0; j < n - i; ++j) total += lanes[j];
  }
  return static_cast<float>(total);
}

}  // namespace temper::vec
