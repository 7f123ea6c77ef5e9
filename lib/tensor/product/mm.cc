#include "tensor/product/mm.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>

#include "tensor/accelerator/ops.h"
#include "tensor/kernels.h"
#include "tensor/product/few_rows.h"
#include "tensor/product/gemm.h"
#include "tensor/vec.h"

namespace temper {
namespace {

using at::Tensor;

// Where oneDNN has kernels for bf16. Elsewhere ATen falls back on loops that take up to a hundred times as
// long as the product in fp32, and oneMKL, which converts as it packs, takes as long.
bool aten_has_bf16() {
#if defined(__x86_64__)
  static const bool has = __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512dq") &&
                          __builtin_cpu_supports("avx512vl");
  return has;
#else
  return true;
#endif
}

bool by_aten(const Tensor& x) {
  return !x.is_cpu() || x.scalar_type() != at::kBFloat16 || aten_has_bf16();
}

// Up to so many rows our own loop over W is the fastest: with matrix units for as long as W's way through
// memory is all that counts. Sequences that are decoded together are as few, packed batches hardly ever.
int64_t few_rows(at::ScalarType dtype) {
  return dtype == at::kBFloat16 && aten_has_bf16() ? 4 : 32;
}

// Up to so many rows, y^T = W x^T and a transposition take less time than y = x W^T in oneDNN, which wants
// the larger matrix on the left.
constexpr int64_t kRowsToTranspose = 128;

// yt [out, rows] -> [rows, out]
Tensor transposed(const Tensor& yt) {
  const int64_t out = yt.size(0), rows = yt.size(1);
  Tensor y = at::empty({rows, out}, yt.options());
  dispatch(yt.scalar_type(), "linear", [&](auto zero) {
    using T = decltype(zero);
    const T* in = yt.const_data_ptr<T>();
    T* to = y.mutable_data_ptr<T>();
    constexpr int64_t kTile = 16;
    at::parallel_for(0, (out + kTile - 1) / kTile, 32, [&](int64_t begin, int64_t end) {
      for (int64_t o = begin * kTile; o < std::min(out, end * kTile); o += kTile) {
        for (int64_t r = 0; r < rows; r += kTile) {
          at::vec::transpose_mxn<T>(in + o * rows + r, rows, to + r * out + o, out,
                                    static_cast<int>(std::min(kTile, out - o)),
                                    static_cast<int>(std::min(kTile, rows - r)));
        }
      }
    });
  });
  return y;
}

// A matrix as the BLAS reads it.
struct Operand {
  Tensor held;
  Trans trans;
  int64_t stride;
  explicit Operand(const Tensor& t) : held(t) {
    const auto in_line = [](const Tensor& m) {
      return m.stride(1) == 1 && m.stride(0) >= std::max<int64_t>(1, m.size(1));
    };
    if (in_line(t.t()) && !in_line(t)) {
      held = t.t();
      trans = Trans::kYes;
    } else {
      if (!in_line(t)) held = t.contiguous();
      trans = Trans::kNo;
    }
    stride = std::max<int64_t>(1, held.stride(0));
  }
};

// c [n, m] fp32 = a b
void blas(const Tensor& a, const Tensor& b, float* c) {
  const int64_t n = a.size(0), k = a.size(1), m = b.size(1);
  if (n == 0 || m == 0) return;
  if (k == 0) return std::fill_n(c, n * m, 0.0f), void();
  const Operand left(a), right(b);
  dispatch(a.scalar_type(), "mm", [&](auto zero) {
    using T = decltype(zero);
    gemm(left.trans, right.trans, n, m, k, left.held.const_data_ptr<T>(), left.stride,
         right.held.const_data_ptr<T>(), right.stride, false, c, m);
  });
}

// Rows that few_rows_product() is the fastest for.
bool few_enough(at::ScalarType dtype, int64_t rows) {
  return rows > 0 && rows <= few_rows(dtype);
}

template <typename Out>
Tensor few(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const Tensor xc = x.contiguous(), w = weight.contiguous(), b = bias.defined() ? bias.contiguous() : bias;
  const Tensor y = at::empty({x.size(0), w.size(0)}, x.options().dtype(c10::CppTypeToScalarType<Out>::value));
  const auto run = [&](auto zero) {
    using In = decltype(zero);
    few_rows_product<In, Out>(xc.const_data_ptr<In>(), xc.size(0), w.const_data_ptr<In>(), w.size(0),
                              w.size(1), b.defined() ? b.const_data_ptr<In>() : nullptr,
                              y.mutable_data_ptr<Out>());
  };
  if constexpr (std::is_same_v<Out, float>) {
    dispatch(x.scalar_type(), "product", run);
  } else {
    run(Out{});
  }
  return y;
}

bool few_enough(const Tensor& x, const Tensor& weight) {
  return x.is_cpu() && has_kernel(x) && weight.scalar_type() == x.scalar_type() &&
         few_enough(x.scalar_type(), x.size(0)) && x.size(1) > 0;
}

}  // namespace

Tensor matrix_product(const Tensor& a, const Tensor& b) {
  if (by_aten(a)) return at::mm(a, b);
  // In slices of rows, so that what is not yet rounded stays small.
  constexpr int64_t kRows = 512;
  const int64_t n = a.size(0), m = b.size(1);
  const Tensor y = at::empty({n, m}, a.options()), sums = at::empty({std::min(n, kRows), m}, at::kFloat);
  for (int64_t row = 0; row < n; row += kRows) {
    const int64_t rows = std::min(kRows, n - row);
    blas(a.narrow(0, row, rows), b, sums.mutable_data_ptr<float>());
    y.narrow(0, row, rows).copy_(sums.narrow(0, 0, rows));
  }
  return y;
}

Tensor mm_f32(const Tensor& a, const Tensor& b) {
  if (!a.is_cpu()) return on_device::mm_f32(a, b);
  if (!has_kernel(a)) return at::mm(a.to(at::kFloat), b.to(at::kFloat));
  const Tensor c = at::empty({a.size(0), b.size(1)}, a.options().dtype(at::kFloat));
  blas(a, b, c.mutable_data_ptr<float>());
  return c;
}

Tensor product(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  if (wants_grad({&x, &weight, &bias})) bug("product: its result has no gradient; linear() has one");
  if (few_enough(x, weight))
    return x.scalar_type() == at::kFloat ? few<float>(x, weight, bias) : few<c10::BFloat16>(x, weight, bias);
  const bool bf16 = x.scalar_type() == at::kBFloat16 && weight.scalar_type() == at::kBFloat16;
  if (x.is_cpu() && bf16 && aten_has_bf16() && x.size(0) <= kRowsToTranspose) {
    const Tensor y = transposed(at::mm(weight, x.t()));
    return bias.defined() ? y.add_(bias) : y;
  }
  return training_product(x, weight, bias);
}

Tensor training_product(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  if (wants_grad({&x, &weight, &bias})) bug("product: its result has no gradient; linear() has one");
  if (by_aten(x)) return at::linear(x, weight, maybe(bias));
  const Tensor y = matrix_product(x, weight.t());
  return bias.defined() ? y.add_(bias) : y;
}

template <typename T>
void product_into(const T* x, int64_t rows, int64_t most, const T* w, int64_t outs, int64_t in, float* y) {
  if (few_enough(c10::CppTypeToScalarType<T>::value, most))
    few_rows_product<T, float>(x, rows, w, outs, in, nullptr, y);
  else
    gemm(Trans::kNo, Trans::kYes, rows, outs, in, x, in, w, in, false, y, outs);
}
template void product_into(const float*, int64_t, int64_t, const float*, int64_t, int64_t, float*);
template void product_into(const c10::BFloat16*, int64_t, int64_t, const c10::BFloat16*, int64_t, int64_t,
                           float*);

Tensor product_f32(const Tensor& x, const Tensor& weight) {
  if (few_enough(x, weight)) return few<float>(x, weight, {});
  return mm_f32(x, weight.t());
}

}  // namespace temper
