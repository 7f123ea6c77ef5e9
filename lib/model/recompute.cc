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
  static Tensor forward(torch::autograd::AutogradContext* ctx, const Tensor& x, const Tensor& anchor,
                        const Block& block) {
    ctx->save_for_backward({x});
    ctx->saved_data["block"] = c10::IValue::make_capsule(c10::make_intrusive<Holder>(block));
    return block(x);
  }
  static torch::autograd::variable_list backward(torch::autograd::AutogradContext* ctx,
                                                 torch::autograd::variable_list grads) {
    const auto holder = ctx->saved_data["block"].toCapsule();
    const Block& block = static_cast<Holder*>(holder.get())->block;
    at::AutoGradMode record(true);
    // Nothing is propagated to an x below which nothing trains.
    Tensor x = ctx->get_saved_variables()[0].detach().requires_grad_(ctx->needs_input_grad(0));
    const Tensor y = block(x);
    // Adds to the gradients of the weights inside, as the plain graph would.
    torch::autograd::backward({y}, {grads[0]});
    return {x.grad(), Tensor(), Tensor()};
  }
};

}  // namespace

Tensor recomputed(const Tensor& x, const Tensor& anchor, const Block& block) {
  return Recompute::apply(x, anchor, block);
}

}  // namespace temper
