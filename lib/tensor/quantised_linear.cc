#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#if defined(__AVX2__)
#include <immintrin.h>
#endif

#include <cstring>
#include <type_traits>
#include <vector>

#include "tensor/kernels.h"
#include "tensor/product/dots.h"
#include "tensor/product/mm.h"
#include "tensor/quantised.h"
#include "tensor/vec.h"

// Quantised matrices back into numbers, and products with them.

namespace temper {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// Elements that are dequantised at a time: few enough to be in the cache still when the product reads them,
// enough for the product to be worth its call.
constexpr int64_t kSlab = 1 << 20;
// Elements that are worth another thread.
constexpr int64_t kGrain = 1 << 15;
// Up to so many rows of x, a slab's way through memory costs more than the product itself.
constexpr int64_t kFewRows = 24;
constexpr int64_t kTogether = dots::kTogether;

template <typename T>
void int8_row(const int8_t* codes, float absmax, int64_t n, T* out) {
  const vec::Floats scale(absmax), over_127(kOver127);
  int64_t i = 0;
  for (; i + vec::kWidth <= n; i += vec::kWidth) vec::store(out + i, vec::load(codes + i) * scale * over_127);
  for (; i < n; ++i) out[i] = static_cast<float>(codes[i]) * absmax * kOver127;
}

// A whole block: 32 bytes of codes to 64 values.
template <typename T>
void nf4_block(const uint8_t* codes, float absmax, T* out) {
  T table[kNf4Values.size()];
  for (size_t k = 0; k < kNf4Values.size(); ++k) table[k] = kNf4Values[k] * absmax;
  for (int64_t i = 0; i < kNf4Block / 2; ++i) {
    out[2 * i] = table[codes[i] >> 4];
    out[2 * i + 1] = table[codes[i] & 15];
  }
}
#if defined(__AVX512BW__)
// The same with the table in a register.
void nf4_block(const uint8_t* codes, float absmax, c10::BFloat16* out) {
  const vec::Floats scaled = vec::load(kNf4Values.data()) * vec::Floats(absmax);
  const __m512i rounded = at::vec::convert<c10::BFloat16>(scaled);
  const __m512i table = _mm512_broadcast_i64x4(_mm512_castsi512_si256(rounded));
  for (int64_t i = 0; i < kNf4Block / 2; i += 16) {
    // A byte in 32 bits becomes two 16-bit places in the table, the high nibble's first.
    const __m512i bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + i)));
    const __m512i low = _mm512_slli_epi32(_mm512_and_si512(bytes, _mm512_set1_epi32(15)), 16);
    const __m512i places = _mm512_or_si512(_mm512_srli_epi32(bytes, 4), low);
    _mm512_storeu_si512(out + 2 * i, _mm512_permutexvar_epi16(places, table));
  }
}
#elif defined(CPU_CAPABILITY_AVX2)
// The same with the table in two registers.
template <>
void nf4_block(const uint8_t* codes, float absmax, float* out) {
  const __m256 scale = _mm256_set1_ps(absmax);
  const __m256 low = _mm256_mul_ps(_mm256_loadu_ps(kNf4Values.data()), scale),
               high = _mm256_mul_ps(_mm256_loadu_ps(kNf4Values.data() + 8), scale);
  const __m256i shifts = _mm256_setr_epi32(4, 0, 12, 8, 20, 16, 28, 24);  // the high nibble of a byte first
  for (int64_t i = 0; i < kNf4Block / 2; i += 4) {
    int32_t four;
    std::memcpy(&four, codes + i, sizeof four);
    const __m256i places = _mm256_srlv_epi32(_mm256_set1_epi32(four), shifts);
    const __m256 above = _mm256_castsi256_ps(_mm256_slli_epi32(places, 28));  // bit 3 as the sign
    _mm256_storeu_ps(out + 2 * i, _mm256_blendv_ps(_mm256_permutevar8x32_ps(low, places),
                                                   _mm256_permutevar8x32_ps(high, places), above));
  }
}
template <>
void nf4_block(const uint8_t* codes, float absmax, c10::BFloat16* out) {
  float wide[kNf4Block];
  nf4_block(codes, absmax, wide);
  for (int64_t i = 0; i < kNf4Block; i += vec::kWidth) vec::store(out + i, vec::load(wide + i));
}
#endif

// The numbers of a matrix behind plain pointers.
struct Source {
  explicit Source(const QuantisedMatrix& m)
      : columns(m.columns), int8(m.format.kind == QuantFormat::Kind::kInt8), mean(m.absmax_mean) {
    if (int8)
      int8_codes = m.codes.const_data_ptr<int8_t>();
    else
      nf4_codes = m.codes.const_data_ptr<uint8_t>();
    if (m.absmax_scale.defined()) {
      absmax_codes = m.absmax.const_data_ptr<uint8_t>();
      absmax_scale = m.absmax_scale.const_data_ptr<float>();
    } else {
      absmax = m.absmax.const_data_ptr<float>();
    }
  }
  float block_absmax(int64_t block) const {
    if (absmax_codes == nullptr) return absmax[block];
    return map[absmax_codes[block]] * absmax_scale[block / kBlockSize8] + mean;
  }

  int64_t columns;
  bool int8;
  float mean;
  const int8_t* int8_codes = nullptr;
  const uint8_t *nf4_codes = nullptr, *absmax_codes = nullptr;  // absmax_codes: doubly quantised
  const float *absmax = nullptr, *absmax_scale = nullptr, *map = signed_map().values();
};

// Elements [begin, end) of the matrix laid flat.
template <typename T>
void nf4_range(const Source& m, int64_t begin, int64_t end, T* out) {
  const uint8_t* codes = m.nf4_codes;
  for (int64_t i = begin; i < end;) {
    const int64_t block = i / kNf4Block, stop = std::min(end, (block + 1) * kNf4Block);
    const float absmax = m.block_absmax(block);
    if (stop - i == kNf4Block) {
      nf4_block(codes + i / 2, absmax, out);
      out += kNf4Block;
      i = stop;
    }
    for (; i < stop; ++i) *out++ = kNf4Values[i % 2 == 0 ? codes[i / 2] >> 4 : codes[i / 2] & 15] * absmax;
  }
}

struct Range {
  int64_t begin, end;
  int64_t size() const { return end - begin; }
};

template <typename T>
void row_range(const Source& m, int64_t row, const Range& columns, T* out) {
  const int64_t begin = row * m.columns + columns.begin;
  if (m.int8)
    int8_row(m.int8_codes + begin, m.absmax[row], columns.size(), out);
  else
    nf4_range(m, begin, begin + columns.size(), out);
}

// Part of a matrix into the contiguous out [rows, columns].
void dequantise_into(const QuantisedMatrix& m, const Range& rows, const Range& columns, const Tensor& out) {
  if (!out.is_cpu()) {
    const Tensor whole = reference::dequantise(m, rows.begin, rows.end, out.scalar_type());
    at::Tensor(out).copy_(whole.narrow(1, columns.begin, columns.size()));
    return;
  }
  dispatch(out.scalar_type(), "dequantise", [&](auto zero) {
    using T = decltype(zero);
    T* to = out.mutable_data_ptr<T>();
    const Source source(m);
    at::parallel_for(rows.begin, rows.end, kGrain / columns.size() + 1, [&](int64_t first, int64_t last) {
      for (int64_t r = first; r < last; ++r)
        row_range(source, r, columns, to + (r - rows.begin) * columns.size());
    });
  });
}

int64_t total_rows(const QuantisedParts& weights) {
  int64_t out = 0;
  for (const QuantisedRows& w : weights) out += w.rows();
  return out;
}

#if defined(__AVX512BF16__) && defined(__AVX512BW__)
constexpr bool kPairs = true;
// out[j] = w_j x by products of pairs of bf16, rows of w one after the other.
void pair_dots(const c10::BFloat16* w, const c10::BFloat16* x, int64_t n, float* out) {
  __m512 sums[kTogether] = {};
  for (int64_t i = 0; i < n; i += 32) {
    const __mmask32 there = n - i >= 32 ? ~0u : (1u << (n - i)) - 1;
    const auto load = [&](const c10::BFloat16* p) {
      return reinterpret_cast<__m512bh>(_mm512_maskz_loadu_epi16(there, p + i));
    };
    const __m512bh right = load(x);
    for (int64_t j = 0; j < kTogether; ++j) sums[j] = _mm512_dpbf16_ps(sums[j], load(w + j * n), right);
  }
  for (int64_t j = 0; j < kTogether; ++j) out[j] = _mm512_reduce_add_ps(sums[j]);
}
#else
constexpr bool kPairs = false;
[[maybe_unused]] void pair_dots(const c10::BFloat16*, const c10::BFloat16*, int64_t, float*) {}
#endif

// Rows of x as the dot products read them: in pairs of bf16, or as floats.
template <typename T>
struct FewRows {
  static constexpr bool kInPairs = kPairs && std::is_same_v<T, c10::BFloat16>;
  const T* x;
  int64_t rows, in;
  std::vector<float> floats;

  FewRows(const T* x, int64_t rows, int64_t in) : x(x), rows(rows), in(in) {
    if constexpr (kInPairs || std::is_same_v<T, float>) return;
    floats.resize(rows * in);
    vec::for_each(rows * in,
                  [&](int64_t i, int64_t n) { vec::store(floats.data() + i, vec::load(x + i, n), n); });
  }
  // f(row, sums of kTogether rows of w) for all rows. W: T, or int8 codes, which need not be written down as
  // floats.
  template <typename W, typename F>
  void for_each(const W* w, const F& f) const {
    float sums[dots::kMost * kTogether];
    const int64_t most = kInPairs ? 1 : dots::kMost;
    for (int64_t r = 0; r < rows; r += most) {
      const int64_t n = std::min(most, rows - r);
      if constexpr (kInPairs && std::is_same_v<W, T>)
        pair_dots(w, x + r * in, in, sums);
      else if constexpr (std::is_same_v<T, float>)
        dots::of(n, x + r * in, w, in, sums);
      else
        dots::of(n, floats.data() + r * in, w, in, sums);
      for (int64_t i = 0; i < n; ++i) f(r + i, sums + i * kTogether);
    }
  }
};

// y's columns of one part, from a few rows of x: rows of W never leave the innermost cache.
template <typename T>
void few_rows_product(const Tensor& x, const QuantisedRows& part, const T* bias, T* y, int64_t y_stride) {
  const int64_t in = part.matrix->columns;
  const FewRows<T> rows_of_x(x.const_data_ptr<T>(), x.size(0), in);
  const Source source(*part.matrix);
  // Into bf16 every weight is rounded first, as where there are many rows.
  const bool by_codes = std::is_same_v<T, float> && source.int8;
  const int64_t groups = (part.rows() + kTogether - 1) / kTogether;
  at::parallel_for(0, groups, kGrain / (in * kTogether) + 1, [&](int64_t first, int64_t last) {
    std::vector<T> w;
    for (int64_t group = first; group < last; ++group) {
      const int64_t row = group * kTogether, count = std::min(kTogether, part.rows() - row);
      const auto put = [&](int64_t r, int64_t j, float sum) {
        const float offset = bias == nullptr ? 0.0f : static_cast<float>(bias[row + j]);
        y[r * y_stride + row + j] = static_cast<T>(sum + offset);
      };
      if (by_codes && count == kTogether) {
        const int64_t begin = part.begin + row;
        rows_of_x.for_each(source.int8_codes + begin * in, [&](int64_t r, const float* sums) {
          for (int64_t j = 0; j < count; ++j) put(r, j, sums[j] * source.absmax[begin + j] * kOver127);
        });
        continue;
      }
      w.resize(static_cast<size_t>(kTogether * in));
      for (int64_t j = 0; j < count; ++j) row_range(source, part.begin + row + j, {0, in}, w.data() + j * in);
      rows_of_x.for_each(w.data(), [&](int64_t r, const float* sums) {
        for (int64_t j = 0; j < count; ++j) put(r, j, sums[j]);
      });
    }
  });
}

Tensor few_rows_product(const Tensor& x, const QuantisedParts& weights, const Tensor& bias) {
  const int64_t outs = total_rows(weights);
  const Tensor y = at::empty({x.size(0), outs}, x.options()), input = x.contiguous();
  dispatch(x.scalar_type(), "quantised_linear", [&](auto zero) {
    using T = decltype(zero);
    const Tensor offsets = bias.defined() ? bias.to(x.scalar_type()).contiguous() : bias;
    int64_t column = 0;
    for (const QuantisedRows& part : weights) {
      few_rows_product<T>(input, part, bias.defined() ? offsets.const_data_ptr<T>() + column : nullptr,
                          y.mutable_data_ptr<T>() + column, outs);
      column += part.rows();
    }
  });
  return y;
}

// A slab is some rows of one part and gives as many columns of y; on an accelerator all of them.
Tensor forward_product(const Tensor& x, const QuantisedParts& weights, const Tensor& bias) {
  if (x.is_cpu() && x.size(0) <= kFewRows) return few_rows_product(x, weights, bias);
  const int64_t in = x.size(1);
  int64_t height = std::max<int64_t>(1, kSlab / in);
  if (!x.is_cpu())
    for (const QuantisedRows& part : weights) height = std::max(height, part.rows());
  const Tensor y = at::empty({x.size(0), total_rows(weights)}, x.options()),
               memory = at::empty({height, in}, x.options());
  int64_t column = 0;
  for (const QuantisedRows& w : weights) {
    for (int64_t begin = w.begin; begin < w.end; begin += height) {
      const Range rows = {begin, std::min(w.end, begin + height)};
      const Tensor slab = memory.narrow(0, 0, rows.size());
      dequantise_into(*w.matrix, rows, {0, in}, slab);
      const Tensor part = bias.defined() ? bias.narrow(0, column, rows.size()) : bias;
      y.narrow(1, column, rows.size()).copy_(training_product(x, slab, part));
      column += rows.size();
    }
  }
  return y;
}

// dx = dy W. A slab is some columns of all parts (on an accelerator all columns) and gives as many columns
// of dx, each the whole sum of its products, rounded once.
Tensor input_gradient(const Tensor& dy, const QuantisedParts& weights) {
  const int64_t outs = dy.size(1), in = weights[0].matrix->columns;
  const int64_t width = dy.is_cpu() ? std::max<int64_t>(128, kSlab / outs / kNf4Block * kNf4Block) : in;
  const Tensor dx = at::empty({dy.size(0), in}, dy.options()),
               memory = at::empty({outs * width}, dy.options());
  for (int64_t begin = 0; begin < in; begin += width) {
    const Range columns = {begin, std::min(in, begin + width)};
    const Tensor slab = memory.narrow(0, 0, outs * columns.size()).view({outs, columns.size()});
    int64_t row = 0;
    for (const QuantisedRows& part : weights) {
      dequantise_into(*part.matrix, {part.begin, part.end}, columns, slab.narrow(0, row, part.rows()));
      row += part.rows();
    }
    dx.narrow(1, begin, columns.size()).copy_(matrix_product(dy, slab));
  }
  return dx;
}

struct QuantisedLinear : Function<QuantisedLinear> {
  struct Holder : torch::CustomClassHolder {
    explicit Holder(QuantisedParts weights) : weights(std::move(weights)) {}
    QuantisedParts weights;
  };
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const QuantisedParts& weights,
                        const std::optional<Tensor>& bias) {
    ctx->saved_data["weights"] = c10::IValue::make_capsule(c10::make_intrusive<Holder>(weights));
    return forward_product(x, weights, bias.value_or(Tensor()));
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto holder = ctx->saved_data["weights"].toCapsule();
    return {input_gradient(grads[0].contiguous(), static_cast<Holder*>(holder.get())->weights), Tensor(),
            Tensor()};
  }
};

}  // namespace

Tensor dequantise(const QuantisedMatrix& m, int64_t begin, int64_t end, at::ScalarType dtype) {
  const Tensor out = at::empty({end - begin, m.columns}, m.codes.options().dtype(dtype));
  dequantise_into(m, {begin, end}, {0, m.columns}, out);
  return out;
}

Tensor quantised_linear(const Tensor& x, const QuantisedParts& weights, const Tensor& bias) {
  if (!wants_grad({&x})) return forward_product(x, weights, bias);
  return QuantisedLinear::apply(x, weights, maybe(bias));
}

}  // namespace temper
