#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "tensor/kernels.h"
#include "tensor/ops.h"
#include "tensor/product/add_rows.h"
#include "tensor/product/gemm.h"
#include "tensor/product/mm.h"

// Products with weights whose gradients go to masters, and the embedding.

namespace temper {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// Gradients of masters are summed where they stay: a micro-batch's product is added to those before it,
// rather than made, kept and added by autograd. What is no leaf, or no fp32 on the CPU, gets its gradient
// from autograd.
bool sums_in_place(const Tensor& master, const Tensor& x) {
  return master.is_leaf() && master.is_cpu() && master.scalar_type() == at::kFloat && has_kernel(x);
}

// master.grad += dy^T x of columns [column, column + rows of the master) of dy.
void add_weight_gradient(const Tensor& master, const Tensor& dy, const Tensor& x, int64_t column) {
  const int64_t n = dy.size(0), rows = master.size(0), in = master.size(1);
  Tensor& sum = master.mutable_grad();
  const bool adds = sum.defined();
  if (!adds)
    sum = at::empty(master.sizes(), master.options());
  else if (!sum.is_contiguous())
    sum = sum.contiguous();
  dispatch(x.scalar_type(), "linear", [&](auto zero) {
    using T = decltype(zero);
    gemm(Trans::kYes, Trans::kNo, rows, in, n, dy.const_data_ptr<T>() + column, dy.stride(0),
         x.const_data_ptr<T>(), in, adds, sum.mutable_data_ptr<float>(), in);
  });
}

// Rows of a gradient, each in its own storage so that no master keeps the whole alive.
Tensor own_rows(const Tensor& whole, const Tensor& master, int64_t row) {
  const Tensor part = whole.narrow(0, row, master.size(0)).to(master.scalar_type());
  return part.size(0) == whole.size(0) ? part : part.contiguous();
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
    return training_product(x, compute, bias.value_or(Tensor()));
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &compute = saved[1];
    const std::vector<Tensor> masters(saved.begin() + 2, saved.end());
    const auto weights = static_cast<size_t>(ctx->saved_data["weights"].toInt());
    const Tensor dy = grads[0].contiguous();
    variable_list out(2 + masters.size() + 2);
    if (ctx->needs_input_grad(0)) out[0] = matrix_product(dy, compute);
    Tensor whole_weight, whole_bias;  // made when a master wants its part of them
    for (size_t i = 0, row = 0; i < masters.size(); ++i) {
      if (i == weights) row = 0;
      const Tensor& master = masters[i];
      const auto first = static_cast<int64_t>(row);
      row += static_cast<size_t>(master.size(0));
      if (!ctx->needs_input_grad(2 + i)) continue;
      if (i < weights && sums_in_place(master, x)) {
        add_weight_gradient(master, dy, x, first);
      } else if (i < weights) {
        if (!whole_weight.defined()) whole_weight = mm_f32(dy.t(), x);
        out[2 + i] = own_rows(whole_weight, master, first);
      } else {
        if (!whole_bias.defined()) whole_bias = at::sum(dy, {0}, false, at::kFloat);
        out[2 + i] = own_rows(whole_bias, master, first);
      }
    }
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
    const Tensor &ids = saved[0], &master = saved[1], rows = grads[0].to(at::kFloat);
    if (!sums_in_place(master, rows)) {
      Tensor d = at::zeros(master.sizes(), master.options().dtype(at::kFloat));
      d.index_add_(0, ids, rows);
      return {Tensor(), Tensor(), d.to(master.scalar_type())};
    }
    Tensor& sum = master.mutable_grad();
    if (!sum.defined()) sum = at::zeros(master.sizes(), master.options());
    add_rows(sum, ids, rows);
    return {Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace

Tensor linear(const Tensor& x, const Tensor& compute, const std::vector<Tensor>& masters,
              const Tensor& compute_bias, const std::vector<Tensor>& bias_masters) {
  bool grad = wants_grad({&x});
  for (const Tensor& m : masters) grad = grad || wants_grad({&m});
  for (const Tensor& m : bias_masters) grad = grad || wants_grad({&m});
  if (!grad) return training_product(x, compute, compute_bias);
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
