// ggml's weight types, block by block. A block is `elements` weights in `bytes` bytes; scales are fp16.
#include <ATen/Parallel.h>
#include <c10/util/BFloat16.h>
#include <c10/util/Half.h>

#include <cmath>
#include <cstring>

#include "base/error.h"
#include "tensor/gguf.h"

namespace temper {
namespace {

float half_at(const uint8_t* p) {
  c10::Half h;
  std::memcpy(&h.x, p, 2);
  return static_cast<float>(h);
}

uint32_t u32_at(const uint8_t* p) {
  uint32_t v;
  std::memcpy(&v, p, 4);
  return v;
}

void f32(const uint8_t* p, float* y) {
  std::memcpy(y, p, 4);
}
void f16(const uint8_t* p, float* y) {
  *y = half_at(p);
}
void bf16(const uint8_t* p, float* y) {
  c10::BFloat16 v;
  std::memcpy(&v.x, p, 2);
  *y = static_cast<float>(v);
}

// d, 32 signed bytes
void q8_0(const uint8_t* p, float* y) {
  const float d = half_at(p);
  for (int i = 0; i < 32; ++i) y[i] = d * static_cast<float>(static_cast<int8_t>(p[2 + i]));
}

// d, 16 bytes: weights 0..15 in the low nibbles, 16..31 in the high ones, minus 8
void q4_0(const uint8_t* p, float* y) {
  const float d = half_at(p);
  for (int i = 0; i < 16; ++i) {
    y[i] = d * static_cast<float>((p[2 + i] & 15) - 8);
    y[i + 16] = d * static_cast<float>((p[2 + i] >> 4) - 8);
  }
}

// d, minimum, nibbles as q4_0
void q4_1(const uint8_t* p, float* y) {
  const float d = half_at(p), m = half_at(p + 2);
  for (int i = 0; i < 16; ++i) {
    y[i] = d * static_cast<float>(p[4 + i] & 15) + m;
    y[i + 16] = d * static_cast<float>(p[4 + i] >> 4) + m;
  }
}

// d, 32 fifth bits, nibbles
void q5_0(const uint8_t* p, float* y) {
  const float d = half_at(p);
  const uint32_t high = u32_at(p + 2);
  for (int i = 0; i < 16; ++i) {
    const int low = (p[6 + i] & 15) | ((high >> i & 1) << 4),
              up = (p[6 + i] >> 4) | ((high >> (i + 16) & 1) << 4);
    y[i] = d * static_cast<float>(low - 16);
    y[i + 16] = d * static_cast<float>(up - 16);
  }
}

// d, minimum, 32 fifth bits, nibbles
void q5_1(const uint8_t* p, float* y) {
  const float d = half_at(p), m = half_at(p + 2);
  const uint32_t high = u32_at(p + 4);
  for (int i = 0; i < 16; ++i) {
    const int low = (p[8 + i] & 15) | ((high >> i & 1) << 4),
              up = (p[8 + i] >> 4) | ((high >> (i + 16) & 1) << 4);
    y[i] = d * static_cast<float>(low) + m;
    y[i + 16] = d * static_cast<float>(up) + m;
  }
}

// The 6-bit scale and minimum of the j-th of eight groups of 32, packed in 12 bytes.
void scale_and_min(const uint8_t* s, int j, float* scale, float* minimum) {
  int a = 0, b = 0;
  if (j < 4) {
    a = s[j] & 63;
    b = s[j + 4] & 63;
  } else {
    a = (s[j + 4] & 15) | ((s[j - 4] >> 6) << 4);
    b = (s[j + 4] >> 4) | ((s[j] >> 6) << 4);
  }
  *scale = static_cast<float>(a);
  *minimum = static_cast<float>(b);
}

// d, dmin, scales, 128 bytes: per 64 weights the low nibbles of 32 bytes, then their high ones
void q4_k(const uint8_t* p, float* y) {
  const float d = half_at(p), dmin = half_at(p + 2);
  for (int j = 0; j < 8; ++j) {
    float scale, minimum;
    scale_and_min(p + 4, j, &scale, &minimum);
    const float step = d * scale, shift = dmin * minimum;
    const uint8_t* q = p + 16 + (j / 2) * 32;
    for (int i = 0; i < 32; ++i)
      y[j * 32 + i] = step * static_cast<float>((q[i] >> (j % 2 * 4)) & 15) - shift;
  }
}

// d, dmin, scales, 32 bytes whose j-th bits are the fifth bits of group j, nibbles as q4_k
void q5_k(const uint8_t* p, float* y) {
  const float d = half_at(p), dmin = half_at(p + 2);
  for (int j = 0; j < 8; ++j) {
    float scale, minimum;
    scale_and_min(p + 4, j, &scale, &minimum);
    const float step = d * scale, shift = dmin * minimum;
    const uint8_t *high = p + 16, *q = p + 48 + (j / 2) * 32;
    for (int i = 0; i < 32; ++i) {
      const int value = ((q[i] >> (j % 2 * 4)) & 15) | ((high[i] >> j & 1) << 4);
      y[j * 32 + i] = step * static_cast<float>(value) - shift;
    }
  }
}

// 128 bytes of low nibbles, 64 of upper bit pairs, 16 signed scales (of 16 weights each), d
void q6_k(const uint8_t* p, float* y) {
  const float d = half_at(p + 208);
  const auto* scales = reinterpret_cast<const int8_t*>(p + 192);
  for (int i = 0; i < 256; ++i) {
    const int half = i / 128, within = i % 128, part = within / 32, column = within % 32;
    const int low = p[half * 64 + (part % 2) * 32 + column] >> (part / 2 * 4) & 15;
    const int high = p[128 + half * 32 + column] >> (part * 2) & 3;
    y[i] = d * static_cast<float>(scales[i / 16]) * static_cast<float>((low | high << 4) - 32);
  }
}

// an exponent of 2 with bias 127, 32 E2M1 numbers in nibbles as q4_0 (OCP Microscaling)
void mxfp4(const uint8_t* p, float* y) {
  static constexpr float kValues[] = {0.0f,  0.5f,  1.0f,  1.5f,  2.0f,  3.0f,  4.0f,  6.0f,
                                      -0.0f, -0.5f, -1.0f, -1.5f, -2.0f, -3.0f, -4.0f, -6.0f};
  for (int i = 0; i < 16; ++i) {
    y[i] = std::ldexp(kValues[p[1 + i] & 15], p[0] - 127);
    y[i + 16] = std::ldexp(kValues[p[1 + i] >> 4], p[0] - 127);
  }
}

struct Kind {
  GgmlType type;
  const char* name;
  uint64_t elements, bytes;
  void (*dequantize)(const uint8_t*, float*);
};

constexpr Kind kKinds[] = {
    {GgmlType::kF32, "F32", 1, 4, f32},        {GgmlType::kF16, "F16", 1, 2, f16},
    {GgmlType::kBF16, "BF16", 1, 2, bf16},     {GgmlType::kQ8_0, "Q8_0", 32, 34, q8_0},
    {GgmlType::kQ4_0, "Q4_0", 32, 18, q4_0},   {GgmlType::kQ4_1, "Q4_1", 32, 20, q4_1},
    {GgmlType::kQ5_0, "Q5_0", 32, 22, q5_0},   {GgmlType::kQ5_1, "Q5_1", 32, 24, q5_1},
    {GgmlType::kQ4_K, "Q4_K", 256, 144, q4_k}, {GgmlType::kQ5_K, "Q5_K", 256, 176, q5_k},
    {GgmlType::kQ6_K, "Q6_K", 256, 210, q6_k}, {GgmlType::kMXFP4, "MXFP4", 32, 17, mxfp4}};

const Kind& kind(GgmlType type) {
  for (const Kind& k : kKinds) {
    if (k.type == type) return k;
  }
  bug("ggml type {} is not in the table", static_cast<uint32_t>(type));
}

}  // namespace

const char* ggml_type_name(GgmlType type) {
  return kind(type).name;
}
uint64_t ggml_block_elements(GgmlType type) {
  return kind(type).elements;
}
uint64_t ggml_block_bytes(GgmlType type) {
  return kind(type).bytes;
}

void ggml_dequantize(GgmlType type, const uint8_t* bytes, int64_t elements, float* out) {
  const Kind& k = kind(type);
  const int64_t blocks = elements / static_cast<int64_t>(k.elements),
                grain = 16384 / static_cast<int64_t>(k.elements);
  at::parallel_for(0, blocks, grain, [&](int64_t begin, int64_t end) {
    for (int64_t b = begin; b < end; ++b) k.dequantize(bytes + b * k.bytes, out + b * k.elements);
  });
}

}  // namespace temper
