#include "adapter/input_covariance.h"

#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include "base/error.h"

namespace temper {

LinearMoments::LinearMoments(Model& model, std::vector<bool> chosen, Options options)
    : input(chosen.size()),
      gradient(chosen.size()),
      model_(model),
      chosen_(std::move(chosen)),
      options_(options),
      before_(model.delta()) {
  model_.set_delta(this);
}

LinearMoments::~LinearMoments() {
  model_.set_delta(before_);
}

at::Tensor LinearMoments::apply(const std::vector<int64_t>& modules, const std::vector<int64_t>& outs,
                                const at::Tensor& x, const at::Tensor& y, bool) {
  if (paused_) return y;
  if (modules.front() == 0) rows += x.size(0);
  const auto add = [](at::Tensor& to, const at::Tensor& moments) {
    to = to.defined() ? to + moments : moments;
  };
  at::Tensor moments;
  for (const int64_t id : modules) {
    if (!chosen_[static_cast<size_t>(id)]) continue;
    if (!moments.defined()) {
      at::Tensor seen = x.detach().to(at::kFloat);
      if (options_.scaled) seen = seen / x.max().to(at::kFloat).abs();
      moments = at::mm(seen.t(), seen);
    }
    add(input[static_cast<size_t>(id)], moments);
  }
  if (!options_.gradients || !y.requires_grad()) return y;
  y.register_hook([this, modules, outs, add](const at::Tensor& dy) {
    const at::NoGradGuard no_grad;
    int64_t column = 0;
    for (size_t i = 0; i < modules.size(); ++i) {
      const auto id = static_cast<size_t>(modules[i]);
      const at::Tensor g = dy.narrow(1, column, outs[i]).to(at::kFloat);
      if (chosen_[id]) add(gradient[id], at::mm(g.t(), g));
      column += outs[i];
    }
    return dy;
  });
  return y;
}

std::vector<at::Tensor> input_covariance(Model& model, const std::vector<bool>& chosen,
                                         const std::vector<std::vector<int64_t>>& samples) {
  const at::NoGradGuard no_grad;
  LinearMoments moments(model, chosen, {.scaled = true});
  int64_t count = 0;
  for (const auto& ids : samples) {
    if (ids.empty()) continue;
    Packer packer;
    packer.add_segment(ids);
    model.hidden(packer.tokens_on(model.precision().device));
    ++count;
  }
  if (count == 0)
    user_error("adapter.init: corda needs samples, and its data have none that fits data.max_tokens");
  for (at::Tensor& sum : moments.input) {
    if (sum.defined()) sum = sum / static_cast<double>(count);
  }
  return moments.input;
}

}  // namespace temper
