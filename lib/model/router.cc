#include "model/router.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include <limits>
#include <vector>

namespace temper {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// x, whose gradient gets a further part.
struct AddGradient : Function<AddGradient> {
  static Tensor forward(AutogradContext* ctx, const Tensor& x, const Tensor& further) {
    ctx->save_for_backward({further});
    return x.view_as(x);
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const Tensor further = ctx->get_saved_variables()[0];
    return {grads[0].defined() ? grads[0] + further : further, Tensor()};
  }
};

// DeepSeek-V3's choice (arXiv 2412.19437): of all groups of experts those with the best sums of two scores
// stay; the others' scores become -inf.
Tensor within_groups(const Tensor& scores, const Experts& e) {
  if (e.groups == 1) return scores;
  const int64_t n = scores.size(0), each = e.count / e.groups;
  const Tensor grouped = scores.view({n, e.groups, each});
  const Tensor best = std::get<0>(grouped.topk(2, -1)).sum(-1);
  const Tensor stay = at::zeros({n, e.groups}, scores.options().dtype(at::kBool))
                          .scatter_(1, std::get<1>(best.topk(e.groups_chosen, -1)), true);
  return grouped.masked_fill(stay.logical_not().unsqueeze(-1), -std::numeric_limits<float>::infinity())
      .view({n, e.count});
}

}  // namespace

Routing route(const Tensor& logits, const Experts& e, const Tensor& correction,
              const Tensor& balance_gradient, const Tensor& given) {
  Routing out;
  const Tensor z = logits.to(at::kFloat);
  const bool sigmoid = e.router == Experts::Router::kSigmoid;
  out.probabilities = sigmoid ? at::sigmoid(z) : at::softmax(z, -1);
  if (balance_gradient.defined() && out.probabilities.requires_grad())
    out.probabilities = AddGradient::apply(out.probabilities, balance_gradient);
  Tensor by = out.probabilities.detach();
  if (correction.defined()) by = by + correction;
  out.own = out.experts = std::get<1>(within_groups(by, e).topk(e.chosen, -1));
  if (given.defined()) out.experts = at::where(given < 0, out.own, given.to(at::kLong));
  out.weights = out.probabilities.gather(1, out.experts);
  // The softmax of the chosen logits is that of all, divided by the sum of the chosen.
  if (e.renormalised || e.router == Experts::Router::kSoftmaxOfChosen)
    out.weights = out.weights / (out.weights.sum(-1, /*keepdim=*/true) + (sigmoid ? 1e-20 : 0.0));
  if (e.scale != 1.0) out.weights = out.weights * e.scale;
  return out;
}

void RouterCounts::add(const Routing& routing, const Tensor& weight) {
  const Tensor p = routing.probabilities.detach(), w = weight.to(at::kDouble);
  const int64_t count = p.size(1), k = routing.experts.size(1);
  const Tensor each =
      at::zeros({count}, w.options()).index_add_(0, routing.experts.flatten(), w.repeat_interleave(k)).cpu();
  const Tensor sums = at::mv(p.to(at::kDouble).t(), w).cpu();
  chosen = chosen.defined() ? chosen + each : each;
  probability = probability.defined() ? probability + sums : sums;
  entropy -= (at::xlogy(p, p).sum(-1).to(at::kDouble) * w).sum().item<double>();
  tokens += w.sum().item<double>();
}

void RouterCounts::compare(const Routing& routing, const Tensor& recorded, const Tensor& weight) {
  const Tensor known = (recorded >= 0).to(at::kDouble) * weight.to(at::kDouble).unsqueeze(1);
  const Tensor found = (recorded.unsqueeze(2) == routing.own.unsqueeze(1)).any(2);
  compared += known.sum().item<double>();
  same += (known * found).sum().item<double>();
}

double RouterCounts::balance_loss() const {
  return static_cast<double>(chosen.size(0)) * (chosen * probability).sum().item<double>() /
         (tokens * tokens);
}

Tensor RouterCounts::balance_gradient() const {
  return (chosen * (static_cast<double>(chosen.size(0)) / (tokens * tokens))).to(at::kFloat);
}

Tensor token_weights_of(const PackedTokens& batch) {
  // The leaves below each segment, itself when it is one.
  const auto& segments = batch.segments;
  std::vector<float> leaves(segments.size(), 0);
  for (size_t s = segments.size(); s-- > 0;) {
    if (leaves[s] == 0) leaves[s] = 1;
    if (segments[s].parent >= 0) leaves[static_cast<size_t>(segments[s].parent)] += leaves[s];
  }
  std::vector<float> out;
  for (size_t s = 0; s < segments.size(); ++s)
    out.insert(out.end(), static_cast<size_t>(segments[s].length()), leaves[s]);
  return at::tensor(out, at::kFloat).to(batch.ids.device());
}

}  // namespace temper
