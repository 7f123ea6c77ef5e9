#include "model/recompute.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>
#include <torch/csrc/autograd/autograd.h>
#include <torch/csrc/autograd/custom_function.h>

namespace temper {
namespace {

using at::Tensor;

struct Recompute : torch::autograd::Function<Recompute> {
  struct Holder : torch::CustomClassHolder {
    explicit Holder(Block block) : block(std::move(block)) {}
    Block block;
  };
  static Tensors forward(torch::autograd::AutogradContext* ctx, at::TensorList in, const Tensor& anchor,
                         const Block& block) {
    ctx->save_for_backward(in.vec());
    ctx->saved_data["block"] = c10::IValue::make_capsule(c10::make_intrusive<Holder>(block));
    return block(in.vec());
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list grads) {
    const auto holder = ctx->saved_data["block"].toCapsule();
    const Block& block = static_cast<Holder*>(holder.get())->block;
    at::AutoGradMode record(true);
    // Nothing is propagated to an input below which nothing trains.
    Tensors in = ctx->get_saved_variables();
    for (size_t i = 0; i < in.size(); ++i) in[i] = in[i].detach().requires_grad_(ctx->needs_input_grad(i));
    Tensors results, gradients;
    const Tensors out = block(in);
    for (size_t i = 0; i < out.size(); ++i) {
      if (!out[i].requires_grad()) continue;
      results.push_back(out[i]);
      gradients.push_back(grads[i]);
    }
    // Adds to the gradients of the weights inside, as the plain graph would.
    torch::autograd::backward(results, gradients);
    torch::autograd::variable_list of_inputs;
    for (const Tensor& x : in) of_inputs.push_back(x.grad());
    of_inputs.resize(in.size() + 2);  // none of anchor and block
    return of_inputs;
  }
};

}  // namespace

Tensors recomputed(const Tensors& in, const Tensor& anchor, const Block& block) {
  return Recompute::apply(at::TensorList(in), anchor, block);
}

}  // namespace temper
