#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#if defined(__AVX512BW__)
#include <immintrin.h>
#endif

#include "tensor/kernels.h"
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

// 16 codes as floats, or as many as a vector has.
vec::Floats widened(const int8_t* codes) {
#if defined(__AVX512BW__)
  return _mm512_cvtepi32_ps(_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes))));
#else
  float lanes[vec::kWidth];
  for (int64_t k = 0; k < vec::kWidth; ++k) lanes[k] = codes[k];
  return vec::Floats::loadu(lanes);
#endif
}

template <typename T>
void int8_row(const int8_t* codes, float absmax, int64_t n, T* out) {
  const vec::Floats scale(absmax), over_127(kOver127);
  int64_t i = 0;
  for (; i + vec::kWidth <= n; i += vec::kWidth) vec::store(out + i, widened(codes + i) * scale * over_127);
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
#endif

float absmax_of(const QuantisedMatrix& m, int64_t block) {
  if (!m.format.double_quantisation) return m.absmax.const_data_ptr<float>()[block];
  return signed_dynamic_map()[m.absmax.const_data_ptr<uint8_t>()[block]] *
             m.absmax_scale.const_data_ptr<float>()[block / kAbsmaxBlock] +
         m.absmax_mean;
}

// Elements [begin, end) of the matrix laid flat.
template <typename T>
void nf4_range(const QuantisedMatrix& m, int64_t begin, int64_t end, T* out) {
  const auto* codes = m.codes.const_data_ptr<uint8_t>();
  for (int64_t i = begin; i < end;) {
    const int64_t block = i / kNf4Block, stop = std::min(end, (block + 1) * kNf4Block);
    const float absmax = absmax_of(m, block);
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

// Part of a matrix into the contiguous out [rows, columns].
void dequantise_into(const QuantisedMatrix& m, const Range& rows, const Range& columns, const Tensor& out) {
  if (!out.is_cpu()) {
    const Tensor whole = reference::dequantise(m, out.scalar_type());
    at::Tensor(out).copy_(whole.narrow(0, rows.begin, rows.size()).narrow(1, columns.begin, columns.size()));
    return;
  }
  dispatch(out.scalar_type(), "dequantise", [&](auto zero) {
    using T = decltype(zero);
    T* to = out.mutable_data_ptr<T>();
    const int64_t grain = 32768 / columns.size() + 1;
    at::parallel_for(rows.begin, rows.end, grain, [&](int64_t first, int64_t last) {
      for (int64_t r = first; r < last; ++r) {
        const int64_t begin = r * m.columns + columns.begin;
        T* row = to + (r - rows.begin) * columns.size();
        if (m.format.kind == QuantFormat::Kind::kInt8) {
          int8_row(m.codes.const_data_ptr<int8_t>() + begin, m.absmax.const_data_ptr<float>()[r],
                   columns.size(), row);
        } else {
          nf4_range(m, begin, begin + columns.size(), row);
        }
      }
    });
  });
}

int64_t total_rows(const QuantisedMatrices& weights) {
  int64_t out = 0;
  for (const auto& m : weights) out += m->rows;
  return out;
}

// A slab is some rows of one matrix and gives as many columns of y.
Tensor forward_product(const Tensor& x, const QuantisedMatrices& weights, const Tensor& bias) {
  const int64_t in = x.size(1), height = std::max<int64_t>(1, kSlab / in);
  const Tensor y = at::empty({x.size(0), total_rows(weights)}, x.options()),
               memory = at::empty({height, in}, x.options());
  int64_t column = 0;
  for (const auto& m : weights) {
    for (int64_t begin = 0; begin < m->rows; begin += height) {
      const Range rows = {begin, std::min(m->rows, begin + height)};
      const Tensor slab = memory.narrow(0, 0, rows.size());
      dequantise_into(*m, rows, {0, in}, slab);
      const Tensor part = bias.defined() ? bias.narrow(0, column, rows.size()) : bias;
      y.narrow(1, column, rows.size()).copy_(product(x, slab, part));
      column += rows.size();
    }
  }
  return y;
}

// dx = dy W. A slab is some columns of all matrices and gives as many columns of dx, each the whole sum of
// its products, rounded once.
Tensor input_gradient(const Tensor& dy, const QuantisedMatrices& weights) {
  const int64_t outs = dy.size(1), in = weights[0]->columns;
  const int64_t width = std::max<int64_t>(128, kSlab / outs / kNf4Block * kNf4Block);
  const Tensor dx = at::empty({dy.size(0), in}, dy.options()),
               memory = at::empty({outs * width}, dy.options());
  for (int64_t begin = 0; begin < in; begin += width) {
    const Range columns = {begin, std::min(in, begin + width)};
    const Tensor slab = memory.narrow(0, 0, outs * columns.size()).view({outs, columns.size()});
    int64_t row = 0;
    for (const auto& m : weights) {
      dequantise_into(*m, {0, m->rows}, columns, slab.narrow(0, row, m->rows));
      row += m->rows;
    }
    dx.narrow(1, begin, columns.size()).copy_(at::mm(dy, slab));
  }
  return dx;
}

struct QuantisedLinear : Function<QuantisedLinear> {
  struct Holder : torch::CustomClassHolder {
    explicit Holder(QuantisedMatrices weights) : weights(std::move(weights)) {}
    QuantisedMatrices weights;
  };
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const QuantisedMatrices& weights,
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

Tensor quantised_linear(const Tensor& x, const QuantisedMatrices& weights, const Tensor& bias) {
  if (!wants_grad({&x})) return forward_product(x, weights, bias);
  return QuantisedLinear::apply(x, weights, maybe(bias));
}

}  // namespace temper
