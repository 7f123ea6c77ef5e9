// What the kernels share that make logits chunk by chunk and recompute them in backward: [rows, V] exists for
// one chunk at a time. H width, V vocabulary.
#pragma once

#include <ATen/ATen.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "tensor/logits_law.h"
#include "tensor/product/gemm.h"
#include "tensor/vec.h"

namespace temper {

// A chunk of fp32 logits of about 12 MB: large enough for the product, small enough to stay near the cache.
inline int64_t default_chunk_rows(int64_t vocab) {
  return std::clamp<int64_t>((12 << 20) / (4 * std::max<int64_t>(vocab, 1)), 16, 512);
}

inline float max_of(const float* row, int64_t vocab) {
  vec::Floats tops(-std::numeric_limits<float>::infinity());
  int64_t i = 0;
  for (; i + vec::kWidth <= vocab; i += vec::kWidth) tops = at::vec::maximum(tops, vec::load(row + i));
  float top = vec::max(tops);
  for (; i < vocab; ++i) top = std::max(top, row[i]);
  return top;
}

// log sum exp(scale * row[i]), scale > 0.
inline float log_sum_exp(const float* row, int64_t vocab, float scale = 1.0f) {
  const float top = max_of(row, vocab);
  const vec::Floats shift(top), by(scale);
  const float total = vec::sum_over(
      vocab, [&](int64_t c, int64_t n) { return ((vec::load(row + c, n) - shift) * by).exp_u20(); });
  return top * scale + std::log(total);
}

// Products of the head as logits; differentiable.
inline at::Tensor lawful(at::Tensor z, const LogitsLaw& law) {
  if (law.scale != 1.0) z = z * law.scale;
  return law.softcap > 0 ? at::tanh(z / law.softcap) * law.softcap : z;
}

// Products of the head, [rows, V], become logits in place.
inline void apply_law(const LogitsLaw& law, float* z, int64_t rows, int64_t vocab) {
  if (law.plain()) return;
  const vec::Floats scale(static_cast<float>(law.scale)), cap(static_cast<float>(law.softcap)),
      to_cap(static_cast<float>(law.softcap > 0 ? law.scale / law.softcap : 0.0));
  vec::for_each(rows * vocab, [&](int64_t i, int64_t n) {
    const auto raw = vec::load(z + i, n);
    vec::store(z + i, law.softcap > 0 ? (raw * to_cap).tanh() * cap : raw * scale, n);
  });
}

// The gradient of logits z of a row becomes that of the head's products, in place.
template <typename T>
void law_backward(const LogitsLaw& law, const float* z, int64_t vocab, T* d) {
  if (law.plain()) return;
  const vec::Floats scale(static_cast<float>(law.scale)), one(1.0f),
      by_cap(static_cast<float>(law.softcap > 0 ? 1.0 / law.softcap : 0.0));
  vec::for_each(vocab, [&](int64_t i, int64_t n) {
    const auto unit = vec::load(z + i, n) * by_cap;
    vec::store(d + i, vec::load(d + i, n) * scale * (one - unit * unit), n);
  });
}

// Hands the gradient of a chunk's logits, d [n, V], on: drows [n, H] is set, dhead [V, H] is added to; either
// may be null. h [n, H] are the chunk's hidden rows.
template <typename T>
void logits_backward(const T* d, const T* h, const T* head, int64_t n, int64_t width, int64_t vocab,
                     float* drows, float* dhead) {
  if (drows != nullptr)
    gemm(Trans::kNo, Trans::kNo, n, width, vocab, d, vocab, head, width, false, drows, width);
  if (dhead != nullptr)
    gemm(Trans::kYes, Trans::kNo, vocab, width, n, d, vocab, h, width, true, dhead, width);
}

}  // namespace temper
