#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <algorithm>

#include "tensor/kernels.h"
#include "tensor/ops.h"
#include "tensor/product/mm.h"

// Products with weights whose gradients go to masters, and the embedding.

namespace temper {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

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
    return product(x, compute, bias.value_or(Tensor()));
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    const Tensor &x = saved[0], &compute = saved[1];
    const std::vector<Tensor> masters(saved.begin() + 2, saved.end());
    const auto weights = static_cast<size_t>(ctx->saved_data["weights"].toInt());
    const Tensor dy = grads[0].contiguous();
    variable_list out(2 + masters.size() + 2);
    if (ctx->needs_input_grad(0)) out[0] = matrix_product(dy, compute);
    bool weight_grad = false, bias_grad = false;
    for (size_t i = 0; i < masters.size(); ++i)
      (i < weights ? weight_grad : bias_grad) |= ctx->needs_input_grad(2 + i);
    if (weight_grad) split_rows(mm_f32(dy.t(), x), masters, 0, weights, ctx, out);
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
