#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#if defined(__AVX512BW__)
#include <immintrin.h>
#endif

#include "tensor/gemm.h"
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

// Elements that are dequantised at a time: few enough to stay in the cache until the product has read them,
// enough for the product to be worth its call.
constexpr int64_t kSlab = 1 << 20;

template <typename T>
void int8_rows(const QuantisedMatrix& m, int64_t begin, int64_t end, T* out) {
  const vec::Floats over_127(7.874015718698502e-3f);
  const auto* codes = m.codes.const_data_ptr<int8_t>() + begin * m.columns;
  const auto* absmax = m.absmax.const_data_ptr<float>();
  for (int64_t r = begin; r < end; ++r, codes += m.columns, out += m.columns) {
    const vec::Floats scale(absmax[r]);
    vec::for_each(m.columns, [&](int64_t i, int64_t n) {
      float lanes[vec::kWidth] = {};
      if (n == vec::kWidth) {
#pragma omp simd
        for (int64_t k = 0; k < vec::kWidth; ++k) lanes[k] = codes[i + k];
      } else {
        for (int64_t k = 0; k < n; ++k) lanes[k] = codes[i + k];
      }
      vec::store(out + i, vec::Floats::loadu(lanes) * scale * over_127, n);
    });
  }
}

// A whole block: 32 bytes of codes to 64 values of its table.
template <typename T>
void nf4_block(const uint8_t* codes, const T* table, T* out) {
  for (int64_t i = 0; i < kNf4Block / 2; ++i) {
    out[2 * i] = table[codes[i] >> 4];
    out[2 * i + 1] = table[codes[i] & 15];
  }
}
#if defined(__AVX512BW__)
void nf4_block(const uint8_t* codes, const c10::BFloat16* table, c10::BFloat16* out) {
  const __m512i values = _mm512_broadcast_i64x4(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(table)));
  for (int64_t i = 0; i < kNf4Block / 2; i += 16) {
    // A byte in 32 bits becomes two 16-bit places in the table, the high nibble's first.
    const __m512i bytes = _mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(codes + i)));
    const __m512i low = _mm512_slli_epi32(_mm512_and_si512(bytes, _mm512_set1_epi32(15)), 16);
    const __m512i places = _mm512_or_si512(_mm512_srli_epi32(bytes, 4), low);
    _mm512_storeu_si512(out + 2 * i, _mm512_permutexvar_epi16(places, values));
  }
}
#endif

float absmax_of(const QuantisedMatrix& m, int64_t block) {
  if (!m.format.double_quantisation) return m.absmax.const_data_ptr<float>()[block];
  return signed_dynamic_map()[m.absmax.const_data_ptr<uint8_t>()[block]] *
             m.absmax_scale.const_data_ptr<float>()[block / kAbsmaxBlock] +
         m.absmax_mean;
}

template <typename T>
void nf4_rows(const QuantisedMatrix& m, int64_t begin_row, int64_t end_row, T* out) {
  const auto* codes = m.codes.const_data_ptr<uint8_t>();
  const int64_t end = end_row * m.columns;
  for (int64_t i = begin_row * m.columns; i < end;) {
    const int64_t block = i / kNf4Block, stop = std::min(end, (block + 1) * kNf4Block);
    const vec::Floats absmax(absmax_of(m, block));
    T table[kNf4Values.size()];
    vec::for_each(kNf4Values.size(), [&](int64_t k, int64_t n) {
      vec::store(table + k, vec::load(kNf4Values.data() + k, n) * absmax, n);
    });
    if (stop - i == kNf4Block) {
      nf4_block(codes + i / 2, table, out);
      out += kNf4Block;
      i = stop;
    }
    for (; i < stop; ++i) *out++ = table[i % 2 == 0 ? codes[i / 2] >> 4 : codes[i / 2] & 15];
  }
}

// Rows [begin, end) into out [end - begin, columns].
void dequantise_into(const QuantisedMatrix& m, int64_t begin, int64_t end, const Tensor& out) {
  if (!out.is_cpu()) {
    at::Tensor(out).copy_(reference::dequantise(m, out.scalar_type()).narrow(0, begin, end - begin));
    return;
  }
  dispatch(out.scalar_type(), "dequantise", [&](auto zero) {
    using T = decltype(zero);
    T* to = out.mutable_data_ptr<T>();
    at::parallel_for(begin, end, std::max<int64_t>(1, 32768 / m.columns), [&](int64_t first, int64_t last) {
      T* rows = to + (first - begin) * m.columns;
      if (m.format.kind == QuantFormat::Kind::kInt8)
        int8_rows(m, first, last, rows);
      else
        nf4_rows(m, first, last, rows);
    });
  });
}

// f(first output column, dense rows) over all rows of the matrices, a slab at a time, in one piece of memory.
template <typename F>
void for_each_slab(const QuantisedMatrices& weights, at::ScalarType dtype, const F& f) {
  const int64_t columns = weights[0]->columns, most = std::max<int64_t>(1, kSlab / columns);
  int64_t height = 0, column = 0;
  for (const auto& m : weights) height = std::max(height, std::min(most, m->rows));
  const Tensor memory = at::empty({height, columns}, weights[0]->codes.options().dtype(dtype));
  for (const auto& m : weights) {
    for (int64_t begin = 0; begin < m->rows; begin += most) {
      const int64_t end = std::min(m->rows, begin + most);
      const Tensor rows = memory.narrow(0, 0, end - begin);
      dequantise_into(*m, begin, end, rows);
      f(column + begin, rows);
    }
    column += m->rows;
  }
}

Tensor forward_product(const Tensor& x, const QuantisedMatrices& weights, const Tensor& bias) {
  int64_t outs = 0;
  for (const auto& m : weights) outs += m->rows;
  const Tensor y = at::empty({x.size(0), outs}, x.options());
  for_each_slab(weights, x.scalar_type(), [&](int64_t column, const Tensor& rows) {
    const int64_t n = rows.size(0);
    y.narrow(1, column, n).copy_(product(x, rows, bias.defined() ? bias.narrow(0, column, n) : bias));
  });
  return y;
}

// dy W, added up in fp32.
Tensor input_gradient(const Tensor& dy, const QuantisedMatrices& weights) {
  const int64_t n = dy.size(0), outs = dy.size(1), in = weights[0]->columns;
  const Tensor dx = at::empty({n, in}, dy.options().dtype(at::kFloat));
  for_each_slab(weights, dy.scalar_type(), [&](int64_t column, const Tensor& rows) {
    const int64_t k = rows.size(0);
    if (!has_kernel(dy)) {
      const Tensor part = at::mm(dy.narrow(1, column, k).to(at::kFloat), rows.to(at::kFloat));
      column == 0 ? dx.copy_(part) : dx.add_(part);
      return;
    }
    dispatch(dy.scalar_type(), "quantised_linear", [&](auto zero) {
      using T = decltype(zero);
      gemm(Trans::kNo, Trans::kNo, n, in, k, dy.const_data_ptr<T>() + column, outs, rows.const_data_ptr<T>(),
           in, column > 0, dx.mutable_data_ptr<float>(), in);
    });
  });
  return dx.to(dy.scalar_type());
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
  dequantise_into(m, begin, end, out);
  return out;
}

Tensor quantised_linear(const Tensor& x, const QuantisedMatrices& weights, const Tensor& bias) {
  if (!wants_grad({&x})) return forward_product(x, weights, bias);
  return QuantisedLinear::apply(x, weights, maybe(bias));
}

}  // namespace temper
