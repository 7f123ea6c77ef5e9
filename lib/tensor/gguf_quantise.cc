// Weights into ggml's blocks, with the choices of ggml's reference quantisers (ggml-quants.c without an
// importance matrix), to the bit: each sum is taken in order, in fp32 and without fused multiply-adds
// (-ffp-contract=off). Layouts: gguf_blocks.cc.
#include <ATen/Parallel.h>
#include <c10/util/Half.h>

#include <algorithm>
#include <cmath>
#include <cstring>

#include "base/error.h"
#include "tensor/gguf.h"

namespace temper {
namespace {

// Halves to even.
int nearest(float x) {
  return static_cast<int>(std::nearbyint(x));
}

// Stores x in fp16 and gives what was stored.
float put_half(float x, uint8_t* p) {
  const c10::Half h(x);
  std::memcpy(p, &h.x, 2);
  return static_cast<float>(h);
}

float inverse(float d) {
  return d != 0 ? 1.0f / d : 0.0f;
}

// The number of largest size, with its sign.
float extreme(const float* x, int n) {
  float size = 0, out = 0;
  for (int i = 0; i < n; ++i) {
    if (std::fabs(x[i]) > size) size = std::fabs(x[i]), out = x[i];
  }
  return out;
}

void q8_0(const float* x, uint8_t* p) {
  const float d = std::fabs(extreme(x, 32)) / 127, to = inverse(d);
  put_half(d, p);
  for (int i = 0; i < 32; ++i) p[2 + i] = static_cast<uint8_t>(static_cast<int8_t>(std::round(x[i] * to)));
}

// The extreme becomes -8: that end of the range has one value more.
void q4_0(const float* x, uint8_t* p) {
  const float d = extreme(x, 32) / -8, to = inverse(d);
  put_half(d, p);
  const auto q = [&](int i) { return std::min(15, static_cast<int>(static_cast<int8_t>(x[i] * to + 8.5f))); };
  for (int i = 0; i < 16; ++i) p[2 + i] = static_cast<uint8_t>(q(i) | q(i + 16) << 4);
}

// 32 numbers of five bits: the low four in nibbles, the fifth in a word of their own.
void put_five_bits(const int* q, uint8_t* high, uint8_t* nibbles) {
  uint32_t fifth = 0;
  for (int i = 0; i < 16; ++i) {
    nibbles[i] = static_cast<uint8_t>((q[i] & 15) | (q[i + 16] & 15) << 4);
    fifth |= static_cast<uint32_t>(q[i] >> 4 & 1) << i | static_cast<uint32_t>(q[i + 16] >> 4 & 1)
                                                             << (i + 16);
  }
  std::memcpy(high, &fifth, 4);
}

void q5_0(const float* x, uint8_t* p) {
  const float d = extreme(x, 32) / -16, to = inverse(d);
  put_half(d, p);
  int q[32];
  for (int i = 0; i < 32; ++i) q[i] = std::min(31, static_cast<int>(static_cast<int8_t>(x[i] * to + 16.5f)));
  put_five_bits(q, p + 2, p + 6);
}

void q5_1(const float* x, uint8_t* p) {
  const auto [low, high] = std::minmax_element(x, x + 32);
  const float d = (*high - *low) / 31, to = inverse(d);
  put_half(d, p);
  put_half(*low, p + 2);
  int q[32];
  for (int i = 0; i < 32; ++i) q[i] = static_cast<uint8_t>((x[i] - *low) * to + 0.5f);
  put_five_bits(q, p + 4, p + 8);
}

// x ~ scale q - shift, q in [0, top].
struct Affine {
  float scale = 0, shift = 0;
};

// The best of some steps around (max - min) / top: with q rounded by a step, scale and shift are those of
// weighted least squares, and the step with the least weighted squared error is kept. The steps try widths of
// top + first, top + first + 0.1 ... between the bottom of the best so far and the maximum; q is left as it
// is rounded by the kept one.
Affine fit_affine(const float* x, const float* weight, int top, float first, int steps, uint8_t* q) {
  constexpr int kGroup = 32;
  float low = x[0], high = x[0], sum_w = weight[0], sum_x = sum_w * x[0];
  for (int i = 1; i < kGroup; ++i) {
    low = std::min(low, x[i]);
    high = std::max(high, x[i]);
    sum_w += weight[i];
    sum_x += weight[i] * x[i];
  }
  low = std::min(low, 0.0f);
  if (high == low) {
    std::fill_n(q, kGroup, uint8_t{0});
    return {0, -low};
  }
  float bottom = low;
  const auto round_by = [&](float to, uint8_t* out) {
    for (int i = 0; i < kGroup; ++i)
      out[i] = static_cast<uint8_t>(std::clamp(nearest(to * (x[i] - bottom)), 0, top));
  };
  const auto error_of = [&](float scale, float bottom, const uint8_t* with) {
    float sum = 0;
    for (int i = 0; i < kGroup; ++i) {
      const float off = scale * static_cast<float>(with[i]) + bottom - x[i];
      sum += weight[i] * (off * off);
    }
    return sum;
  };
  const float plain = static_cast<float>(top) / (high - low);
  float scale = 1 / plain;
  round_by(plain, q);
  float least = error_of(scale, bottom, q);
  for (int step = 0; step <= steps; ++step) {
    uint8_t tried[kGroup];
    round_by((first + 0.1f * static_cast<float>(step) + static_cast<float>(top)) / (high - bottom), tried);
    float sum_q = 0, sum_qq = 0, sum_xq = 0;
    for (int i = 0; i < kGroup; ++i) {
      const auto v = static_cast<float>(tried[i]);
      sum_q += weight[i] * v;
      sum_qq += weight[i] * v * v;
      sum_xq += weight[i] * v * x[i];
    }
    const float determinant = sum_w * sum_qq - sum_q * sum_q;
    if (!(determinant > 0)) continue;
    float s = (sum_w * sum_xq - sum_x * sum_q) / determinant,
          b = (sum_qq * sum_x - sum_q * sum_xq) / determinant;
    if (b > 0) b = 0, s = sum_xq / sum_qq;
    const float error = error_of(s, b, tried);
    if (error < least) {
      least = error, scale = s, bottom = b;
      std::copy_n(tried, kGroup, q);
    }
  }
  return {scale, -bottom};
}

// What Q4_K and Q5_K share: 256 weights in eight groups, whose scales and shifts have six bits of a scale of
// their own. Writes d, dmin and the 12 packed bytes, and gives the weights' numbers in [0, top].
void k_groups(const float* x, int top, float first, int steps, uint8_t* p, uint8_t* q) {
  float scales[8], shifts[8], most_scale = 0, most_shift = 0;
  for (int j = 0; j < 8; ++j) {
    const float* g = x + 32 * j;
    float squares = 0, weight[32];
    for (int i = 0; i < 32; ++i) squares += g[i] * g[i];
    const float mean = std::sqrt(squares / 32);
    for (int i = 0; i < 32; ++i) weight[i] = mean + std::fabs(g[i]);
    const Affine fit = fit_affine(g, weight, top, first, steps, q + 32 * j);
    scales[j] = fit.scale, shifts[j] = fit.shift;
    most_scale = std::max(most_scale, fit.scale), most_shift = std::max(most_shift, fit.shift);
  }
  const float to_scale = most_scale > 0 ? 63.0f / most_scale : 0.0f,
              to_shift = most_shift > 0 ? 63.0f / most_shift : 0.0f;
  const float d = put_half(most_scale / 63.0f, p), dmin = put_half(most_shift / 63.0f, p + 2);
  uint8_t* packed = p + 4;
  std::fill_n(packed, 12, uint8_t{0});
  for (int j = 0; j < 8; ++j) {
    const int s = std::min<int>(63, static_cast<uint8_t>(nearest(to_scale * scales[j]))),
              m = std::min<int>(63, static_cast<uint8_t>(nearest(to_shift * shifts[j])));
    if (j < 4) {
      packed[j] = static_cast<uint8_t>(packed[j] | s);
      packed[j + 4] = static_cast<uint8_t>(packed[j + 4] | m);
    } else {
      packed[j + 4] = static_cast<uint8_t>((s & 15) | (m & 15) << 4);
      packed[j - 4] = static_cast<uint8_t>(packed[j - 4] | (s >> 4) << 6);
      packed[j] = static_cast<uint8_t>(packed[j] | (m >> 4) << 6);
    }
    const float step = d * static_cast<float>(s), shift = dmin * static_cast<float>(m);
    if (step == 0) continue;
    for (int i = 32 * j; i < 32 * (j + 1); ++i)
      q[i] = static_cast<uint8_t>(std::clamp(nearest((x[i] + shift) / step), 0, top));
  }
}

void q4_k(const float* x, uint8_t* p) {
  uint8_t q[256];
  k_groups(x, 15, -1.0f, 20, p, q);
  for (int half = 0; half < 4; ++half)
    for (int i = 0; i < 32; ++i)
      p[16 + 32 * half + i] = static_cast<uint8_t>(q[64 * half + i] | q[64 * half + 32 + i] << 4);
}

void q5_k(const float* x, uint8_t* p) {
  uint8_t q[256];
  k_groups(x, 31, -0.5f, 15, p, q);
  uint8_t *high = p + 16, *nibbles = p + 48;
  std::fill_n(high, 32, uint8_t{0});
  for (int j = 0; j < 8; ++j)
    for (int i = 0; i < 32; ++i) high[i] = static_cast<uint8_t>(high[i] | (q[32 * j + i] >> 4) << j);
  for (int half = 0; half < 4; ++half)
    for (int i = 0; i < 32; ++i)
      nibbles[32 * half + i] =
          static_cast<uint8_t>((q[64 * half + i] & 15) | (q[64 * half + 32 + i] & 15) << 4);
}

constexpr float kNothing = 1e-15f;  // a group this small is zero

// x ~ scale (q - 32), q in [0, 63], of 16 weights: the best of some steps around the extreme's, scale by
// least squares weighted by x^2. q: as the best step rounds; 0 where there is nothing.
float fit_symmetric(const float* x, uint8_t* q) {
  constexpr int kGroup = 16, kHalf = 32;
  const float most = extreme(x, kGroup);
  if (std::fabs(most) < kNothing) {
    std::fill_n(q, kGroup, uint8_t{0});
    return 0;
  }
  const auto rounded = [&](float to, int i) { return std::clamp(nearest(to * x[i]), -kHalf, kHalf - 1); };
  const auto keep = [&](float to) {
    for (int i = 0; i < kGroup; ++i) q[i] = static_cast<uint8_t>(rounded(to, i) + kHalf);
  };
  const auto sums = [&](float to, float& xq, float& qq) {
    xq = qq = 0;
    for (int i = 0; i < kGroup; ++i) {
      const auto v = static_cast<float>(rounded(to, i));
      const float w = x[i] * x[i];
      xq += w * x[i] * v;
      qq += w * v * v;
    }
  };
  float xq = 0, qq = 0;
  const float plain = -static_cast<float>(kHalf) / most;
  sums(plain, xq, qq);
  keep(plain);
  float scale = qq != 0 ? xq / qq : 0.0f, best = scale * xq;
  for (int step = -9; step <= 9; ++step) {
    if (step == 0) continue;
    const float to = -(static_cast<float>(kHalf) + 0.1f * static_cast<float>(step)) / most;
    sums(to, xq, qq);
    if (!(qq > 0 && xq * xq > best * qq)) continue;
    keep(to);
    scale = xq / qq, best = scale * xq;
  }
  return scale;
}

void q6_k(const float* x, uint8_t* p) {
  float scales[16];
  uint8_t q[256];
  for (int j = 0; j < 16; ++j) scales[j] = fit_symmetric(x + 16 * j, q + 16 * j);
  const float most = extreme(scales, 16);
  std::fill_n(p, 210, uint8_t{0});
  if (std::fabs(most) < kNothing) return;
  const float to = -128.0f / most, d = put_half(1 / to, p + 208);
  for (int j = 0; j < 16; ++j) {
    const int s = std::min(127, nearest(to * scales[j]));
    p[192 + j] = static_cast<uint8_t>(static_cast<int8_t>(s));
    const float step = d * static_cast<float>(static_cast<int8_t>(s));
    if (step == 0) continue;
    for (int i = 16 * j; i < 16 * (j + 1); ++i)
      q[i] = static_cast<uint8_t>(std::clamp(nearest(x[i] / step), -32, 31) + 32);
  }
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128, within = i % 128, part = within / 32, column = within % 32;
    uint8_t &low = p[half * 64 + (part % 2) * 32 + column], &high = p[128 + half * 32 + column];
    low = static_cast<uint8_t>(low | (q[i] & 15) << (part / 2 * 4));
    high = static_cast<uint8_t>(high | (q[i] >> 4) << (part * 2));
  }
}

using Quantise = void (*)(const float*, uint8_t*);

Quantise quantiser_of(GgmlType type) {
  switch (type) {
    case GgmlType::kQ8_0:
      return q8_0;
    case GgmlType::kQ4_0:
      return q4_0;
    case GgmlType::kQ5_0:
      return q5_0;
    case GgmlType::kQ5_1:
      return q5_1;
    case GgmlType::kQ4_K:
      return q4_k;
    case GgmlType::kQ5_K:
      return q5_k;
    case GgmlType::kQ6_K:
      return q6_k;
    default:
      bug("weights are not quantised to {}", ggml_type_name(type));
  }
}

}  // namespace

void ggml_quantise(GgmlType type, const float* values, int64_t elements, uint8_t* out) {
  const Quantise quantise = quantiser_of(type);
  const auto each = static_cast<int64_t>(ggml_block_elements(type)),
             bytes = static_cast<int64_t>(ggml_block_bytes(type));
  at::parallel_for(0, elements / each, 4096 / each, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) quantise(values + b * each, out + b * bytes);
  });
}

}  // namespace temper
