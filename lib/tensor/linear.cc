#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "tensor/accelerator/ops.h"
#include "tensor/gemm.h"
#include "tensor/kernels.h"
#include "tensor/ops.h"
#include "tensor/vec.h"

// Products with weights whose gradients go to masters, and the embedding.

namespace temper {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// Up to so many rows, y^T = W x^T and a transposition take less time than y = x W^T: oneMKL and oneDNN want
// the larger matrix on the left.
int64_t few_rows(at::ScalarType dtype) {
  return dtype == at::kBFloat16 ? 128 : 40;
}

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

// dy^T x in fp32: [out, in].
Tensor weight_gradient(const Tensor& dy, const Tensor& x) {
  const int64_t n = dy.size(0), out = dy.size(1), in = x.size(1);
  if (!x.is_cpu()) return on_device::mm_f32(dy.t(), x);
  if (!has_kernel(x)) return at::mm(dy.to(at::kFloat).t(), x.to(at::kFloat));
  Tensor dw = at::empty({out, in}, x.options().dtype(at::kFloat));
  dispatch(x.scalar_type(), "linear", [&](auto zero) {
    using T = decltype(zero);
    gemm(Trans::kYes, Trans::kNo, out, in, n, dy.const_data_ptr<T>(), out, x.const_data_ptr<T>(), in, false,
         dw.mutable_data_ptr<float>(), in);
  });
  return dw;
}

// Rows of a gradient, each in its own storage so that no master keeps the whole alive.
void split_rows(const Tensor& whole, const std::vector<Tensor>& like, size_t first, size_t count,
                AutogradContext* ctx, variable_list& out) {
  int64_t row = 0;
  for (size_t i = 0; i < count; ++i) {
    const int64_t rows = like[first + i].size(0);
    if (ctx->needs_input_grad(2 + first + i)) {
      Tensor part = whole.narrow(0, row, rows).to(like[first + i].scalar_type());
      out[2 + first + i] = count == 1 ? part : part.contiguous();
    }
    row += rows;
  }
}

struct Linear : Function<Linear> {
  // masters: the weights' masters, then the biases'.
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& compute, at::TensorList masters,
                        int64_t weights, const std::optional<Tensor>& bias) {
    ctx->saved_data["weights"] = weights;
    // Frozen weights need no x in backward.
    const bool takes = std::any_of(masters.begin(), masters.begin() + weights,
                                   [](const Tensor& m) { return m.requires_grad(); });
    variable_list saved = {takes ? x : Tensor(), compute};
    saved.insert(saved.end(), masters.begin(), masters.end());
    ctx->save_for_backward(saved);
    return at::linear(x, compute, bias);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &compute = saved[1];
    const std::vector<Tensor> masters(saved.begin() + 2, saved.end());
    const auto weights = static_cast<size_t>(ctx->saved_data["weights"].toInt());
    const Tensor dy = grads[0].contiguous();
    variable_list out(2 + masters.size() + 2);
    if (ctx->needs_input_grad(0)) out[0] = at::mm(dy, compute);
    bool weight_grad = false, bias_grad = false;
    for (size_t i = 0; i < masters.size(); ++i)
      (i < weights ? weight_grad : bias_grad) |= ctx->needs_input_grad(2 + i);
    if (weight_grad) split_rows(weight_gradient(dy, x), masters, 0, weights, ctx, out);
    if (bias_grad)
      split_rows(at::sum(dy, {0}, false, at::kFloat), masters, weights, masters.size() - weights, ctx, out);
    return out;
  }
};

struct Embedding : Function<Embedding> {
  static Tensor forward(AutogradContext* ctx, const Tensor& ids, const Tensor& compute,
                        const Tensor& master) {
    ctx->save_for_backward({ids, master});
    return compute.index_select(0, ids);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    Tensor d = at::zeros(saved[1].sizes(), saved[1].options().dtype(at::kFloat));
    d.index_add_(0, saved[0], grads[0].to(at::kFloat));
    return {Tensor(), Tensor(), d.to(saved[1].scalar_type())};
  }
};

}  // namespace

Tensor product(const Tensor& x, const Tensor& weight, const Tensor& bias) {
  const bool few = x.is_cpu() && has_kernel(x) && weight.scalar_type() == x.scalar_type() && x.size(0) > 1 &&
                   x.size(0) <= few_rows(x.scalar_type());
  if (!few) return at::linear(x, weight, maybe(bias));
  const Tensor y = transposed(at::mm(weight, x.t()));
  return bias.defined() ? y.add(bias) : y;
}

Tensor linear(const Tensor& x, const Tensor& compute, const std::vector<Tensor>& masters,
              const Tensor& compute_bias, const std::vector<Tensor>& bias_masters) {
  bool grad = wants_grad({&x});
  for (const Tensor& m : masters) grad = grad || wants_grad({&m});
  for (const Tensor& m : bias_masters) grad = grad || wants_grad({&m});
  if (!grad) return product(x, compute, compute_bias);
  std::vector<Tensor> all = masters;
  all.insert(all.end(), bias_masters.begin(), bias_masters.end());
  return Linear::apply(x, compute.detach(), at::TensorList(all), static_cast<int64_t>(masters.size()),
                       maybe(compute_bias));
}

Tensor embedding(const Tensor& ids, const Tensor& compute, const Tensor& master) {
  if (!wants_grad({&master})) return compute.index_select(0, ids);
  return Embedding::apply(ids, compute.detach(), master);
}

}  // namespace temper
