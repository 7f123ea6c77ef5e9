#include "tensor/logp.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/custom_function.h>

#include "tensor/accelerator/logits.h"
#include "tensor/kernels.h"
#include "tensor/logits.h"
#include "tensor/logp_parts.h"

namespace temper {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

LogpBackward LogpBackward::live() const {
  Tensor any = dlogp != 0;
  if (dtop.defined()) any = any.logical_or((dtop != 0).any(1));
  for (const Tensor& d : {dmean, dcosine, dentropy}) {
    if (d.defined()) any = any.logical_or(d != 0);
  }
  const Tensor keep = any.nonzero().flatten();
  const auto kept = [&](const Tensor& t) { return t.defined() ? t.index_select(0, keep).contiguous() : t; };
  return {kept(token), kept(source), kept(lse),   kept(top_token), kept(cosine),  kept(entropy),
          kept(dlogp), kept(dtop),   kept(dmean), kept(dcosine),   kept(dentropy)};
}

namespace {

// Where each output stands after logp; -1: it was not asked for.
struct Order {
  int entropy = -1, log_sum_squares = -1, top_logp = -1, top_token = -1, mean_logp = -1, cosine = -1;
  explicit Order(const LogpOptions& o) {
    int next = 1;
    if (o.entropy) entropy = next++;
    if (o.log_sum_squares) log_sum_squares = next++;
    if (o.top_k > 0) top_logp = next++, top_token = next++;
    if (o.mean_logp) mean_logp = next++;
    if (o.cosine) cosine = next++;
  }
  static Tensor get(const variable_list& values, int place) { return place < 0 ? Tensor() : values[place]; }
};

struct SelectiveLogp : Function<SelectiveLogp> {
  static variable_list forward(AutogradContext* ctx, const Tensor& hidden, const Tensor& head,
                               const Tensor& head_master, const Tensor& token, const Tensor& source,
                               const LogpOptions* options, const LogpEarly& early) {
    const LogpOptions& o = *options;
    const LogpForward f = hidden.is_cpu() ? on_cpu::logp_forward(hidden, head, token, source, o, early)
                                          : on_device::logp_forward(hidden, head, token, source, o);
    ctx->saved_data["temperature"] = o.temperature;
    ctx->saved_data["softcap"] = o.law.softcap;
    ctx->saved_data["top_k"] = o.top_k;
    ctx->saved_data["chunk_rows"] = o.chunk_rows;
    ctx->saved_data["entropy"] = o.entropy;
    ctx->saved_data["entropy_gradient"] = o.entropy_gradient;
    ctx->saved_data["log_sum_squares"] = o.log_sum_squares;
    ctx->saved_data["mean_logp"] = o.mean_logp;
    ctx->saved_data["cosine"] = o.cosine;
    ctx->saved_data["master_dtype"] = static_cast<int64_t>(head_master.scalar_type());
    std::vector<Tensor> fixed;
    for (const Tensor& t : {f.log_sum_squares, f.top_token}) {
      if (t.defined()) fixed.push_back(t);
    }
    if (f.entropy.defined() && !o.entropy_gradient) fixed.push_back(f.entropy);
    ctx->mark_non_differentiable(fixed);
    ctx->save_for_backward({hidden, head, token, source, f.lse, f.top_token, f.cosine, f.entropy,
                            f.dhidden_rows, f.dhead, early.any() ? o.expected : Tensor()});
    variable_list outputs;
    for (const Tensor& t :
         {f.logp, f.entropy, f.log_sum_squares, f.top_logp, f.top_token, f.mean_logp, f.cosine}) {
      if (t.defined()) outputs.push_back(t);  // in the places that Order says
    }
    return outputs;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    LogpOptions o;
    o.temperature = ctx->saved_data["temperature"].toDouble();
    o.law.softcap = ctx->saved_data["softcap"].toDouble();
    o.top_k = ctx->saved_data["top_k"].toInt();
    o.chunk_rows = ctx->saved_data["chunk_rows"].toInt();
    o.entropy = ctx->saved_data["entropy"].toBool();
    o.entropy_gradient = ctx->saved_data["entropy_gradient"].toBool();
    o.log_sum_squares = ctx->saved_data["log_sum_squares"].toBool();
    o.mean_logp = ctx->saved_data["mean_logp"].toBool();
    o.cosine = ctx->saved_data["cosine"].toBool();
    const Order order(o);
    const Tensor &hidden = saved[0], &head = saved[1];
    const auto given = [&](int place) {
      const Tensor d = Order::get(grads, place);
      return d.defined() ? d.contiguous() : d;
    };
    LogpBackward b{saved[2], saved[3], saved[4], saved[5], saved[6], saved[7], {}, {}, {}, {}, {}};
    b.dlogp = grads[0].defined() ? grads[0].contiguous()
                                 : at::zeros(b.token.sizes(), hidden.options().dtype(at::kFloat));
    b.dtop = given(order.top_logp);
    b.dmean = given(order.mean_logp);
    b.dcosine = given(order.cosine);
    if (o.entropy_gradient) b.dentropy = given(order.entropy);
    Tensor dhidden, dhead;
    const auto floats = hidden.options().dtype(at::kFloat);
    if (ctx->needs_input_grad(0)) dhidden = at::zeros(hidden.sizes(), floats);
    if (const Tensor& rows = saved[8], &expected = saved[10]; early_holds(b, rows, saved[9], expected)) {
      if (dhidden.defined())
        dhidden.index_add_(0, b.source, expected.defined() ? rows : rows * b.dlogp.unsqueeze(1));
      dhead = saved[9];
    } else {
      if (ctx->needs_input_grad(2)) dhead = at::zeros(head.sizes(), floats);
      if (hidden.is_cpu())
        on_cpu::logp_backward(hidden, head, b, o, dhidden, dhead);
      else
        on_device::logp_backward(hidden, head, b, o, dhidden, dhead);
    }
    if (dhidden.defined()) dhidden = dhidden.to(hidden.scalar_type());
    if (dhead.defined())
      dhead = dhead.to(static_cast<at::ScalarType>(ctx->saved_data["master_dtype"].toInt()));
    return {dhidden, Tensor(), dhead, Tensor(), Tensor(), Tensor(), Tensor()};
  }
  // Whether what forward computed early is what the gradients ask for.
  static bool early_holds(const LogpBackward& b, const Tensor& rows, const Tensor& dhead,
                          const Tensor& expected) {
    if (!rows.defined() && !dhead.defined()) return false;
    for (const Tensor& other : {b.dtop, b.dmean, b.dcosine, b.dentropy}) {
      if (other.defined()) return false;
    }
    return !expected.defined() || at::equal(b.dlogp, expected);
  }
};

// A head that trains wants each log-prob's gradient; the other outputs' gradients want the logits again.
LogpEarly what_is_early(const Tensor& hidden, const Tensor& head_master, const LogpOptions& o) {
  const bool others = o.top_k > 0 || o.mean_logp || o.cosine || (o.entropy && o.entropy_gradient);
  if (!hidden.is_cpu() || !at::GradMode::is_enabled() || others) return {};
  const bool head = head_master.requires_grad();
  if (head && !o.expected.defined()) return {};
  return {hidden.requires_grad(), head};
}

}  // namespace

LogpResult selective_logp(const Tensor& hidden, const Tensor& head, const Tensor& head_master,
                          const Targets& targets, const LogpOptions& given) {
  // c tanh(s z / c) / t is (c / s) tanh(z / (c / s)) / (t / s): the kernels need no scale.
  LogpOptions options = given;
  options.temperature /= given.law.scale;
  options.law = {1.0, given.law.softcap / given.law.scale};
  if (options.expected.defined() && options.expected.sizes() != targets.token.sizes())
    bug("selective_logp: {} expected gradients, {} targets", options.expected.numel(), targets.token.numel());
  if (!has_kernel(hidden)) return reference::selective_logp(hidden, head, head_master, targets, options);
  const variable_list out =
      SelectiveLogp::apply(hidden.contiguous(), head.detach(), head_master, targets.token, targets.source,
                           &options, what_is_early(hidden, head_master, options));
  const Order order(options);
  const auto get = [&](int place) { return Order::get(out, place); };
  LogpResult result;
  result.logp = out[0];
  result.entropy = get(order.entropy);
  result.log_sum_squares = get(order.log_sum_squares);
  result.top_logp = get(order.top_logp);
  result.top_token = get(order.top_token);
  result.mean_logp = get(order.mean_logp);
  result.cosine = get(order.cosine);
  return result;
}

namespace reference {

LogpResult selective_logp(const Tensor& hidden, const Tensor& head, const Tensor& head_master,
                          const Targets& targets, const LogpOptions& options) {
  const Tensor weight = head_master.requires_grad() ? head_master : head;
  Tensor logits =
      at::matmul(hidden.to(at::kFloat).index_select(0, targets.source), weight.to(at::kFloat).t());
  logits = lawful(logits, options.law);
  const Tensor all = at::log_softmax(logits / options.temperature, -1);
  LogpResult result;
  result.logp = all.gather(1, targets.token.unsqueeze(1)).squeeze(1);
  if (options.entropy) {
    const Tensor entropy = -(all.exp() * all).sum(-1);
    result.entropy = options.entropy_gradient ? entropy : entropy.detach();
  }
  if (options.top_k > 0) std::tie(result.top_logp, result.top_token) = all.topk(options.top_k, -1);
  if (options.log_sum_squares) result.log_sum_squares = (2 * all).logsumexp(-1).detach();
  if (options.mean_logp) result.mean_logp = all.mean(-1);
  if (options.cosine) {
    const Tensor rows = head.detach().to(at::kFloat);
    const Tensor unit = rows / rows.norm(2, {1}, true).clamp_min(1e-12);
    result.cosine = (all.exp() * at::matmul(unit.index_select(0, targets.token), unit.t())).sum(-1);
  }
  return result;
}

}  // namespace reference
}  // namespace temper
