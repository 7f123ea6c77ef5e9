#include "tensor/logp.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <limits>

#include "base/error.h"
#include "tensor/logits.h"

namespace temper {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

// logits [rows, V] fp32 of hidden rows, divided by the temperature and soft-capped.
template <typename T>
void logits_chunk(const T* hidden, const T* head, int64_t rows, int64_t width, int64_t vocab,
                  const LogpOptions& o, float* logits) {
  gemm(Trans::kNo, Trans::kYes, rows, vocab, width, hidden, width, head, width, false, logits, vocab);
  if (o.temperature == 1.0 && o.softcap == 0.0) return;
  at::parallel_for(0, rows, 1, [&](int64_t begin, int64_t end) {
    const vec::Floats inverse(static_cast<float>(1.0 / o.temperature));
    const vec::Floats cap(static_cast<float>(o.softcap)),
        uncap(static_cast<float>(o.softcap > 0 ? 1.0 / o.softcap : 0.0));
    for (int64_t r = begin; r < end; ++r) {
      float* row = logits + r * vocab;
      vec::for_each(vocab, [&](int64_t i, int64_t n) {
        auto z = vec::load(row + i, n);
        if (o.softcap > 0) z = (z * uncap).tanh() * cap;
        vec::store(row + i, z * inverse, n);
      });
    }
  });
}

struct Forward {
  Tensor logp, lse, entropy, log_sum_squares, top_logp, top_token;
};

// The log-sum-exp of a row and, with it, whatever else was asked for.
void reduce_row(const float* row, int64_t vocab, int64_t token, int64_t m, const LogpOptions& o, Forward& f) {
  const float lse = log_sum_exp(row, vocab);
  f.lse.mutable_data_ptr<float>()[m] = lse;
  f.logp.mutable_data_ptr<float>()[m] = row[token] - lse;
  if (o.entropy) {
    const vec::Floats l(lse);
    f.entropy.mutable_data_ptr<float>()[m] = -vec::sum_over(vocab, [&](int64_t c, int64_t n) {
      const auto lp = vec::load(row + c, n) - l;
      return lp.exp_u20() * lp;
    });
  }
  if (o.log_sum_squares) {
    const float squares = vec::sum_over(vocab, [&](int64_t c, int64_t n) {
      const auto p = (vec::load(row + c, n) - shift).exp_u20();
      return p * p;
    });
    f.log_sum_squares.mutable_data_ptr<float>()[m] = std::log(squares) - 2 * std::log(total);
  }
  if (o.top_k > 0) {
    std::vector<int64_t> order(vocab);
    for (int64_t c = 0; c < vocab; ++c) order[c] = c;
    std::partial_sort(order.begin(), order.begin() + o.top_k, order.end(),
                      [&](int64_t a, int64_t b) { return row[a] > row[b] || (row[a] == row[b] && a < b); });
    for (int64_t k = 0; k < o.top_k; ++k) {
      f.top_token.mutable_data_ptr<int64_t>()[m * o.top_k + k] = order[k];
      f.top_logp.mutable_data_ptr<float>()[m * o.top_k + k] = row[order[k]] - lse;
    }
  }
}

// Runs f(first target, rows, hidden rows [rows, H], logits [rows, V]) for each chunk of the targets in
// `which`.
template <typename T, typename F>
void for_each_chunk(const Tensor& hidden, const Tensor& head, const Tensor& source, const LogpOptions& o,
                    const F& f) {
  const int64_t targets = source.size(0), vocab = head.size(0), width = head.size(1);
  const int64_t rows =
      std::min(o.chunk_rows > 0 ? o.chunk_rows : default_chunk_rows(vocab), std::max<int64_t>(targets, 1));
  Tensor logits = at::empty({rows, vocab}, at::kFloat);
  for (int64_t first = 0; first < targets; first += rows) {
    const int64_t n = std::min(rows, targets - first);
    const Tensor h = hidden.index_select(0, source.narrow(0, first, n));
    logits_chunk(h.const_data_ptr<T>(), head.const_data_ptr<T>(), n, width, vocab, o,
                 logits.mutable_data_ptr<float>());
    f(first, n, h, logits.mutable_data_ptr<float>());
  }
}

template <typename T>
Forward run_forward(const Tensor& hidden, const Tensor& head, const Tensor& token, const Tensor& source,
                    const LogpOptions& o) {
  const int64_t targets = token.size(0), vocab = head.size(0);
  const auto floats = at::TensorOptions().dtype(at::kFloat);
  Forward f{at::empty({targets}, floats), at::empty({targets}, floats), {}, {}, {}, {}};
  if (o.entropy) f.entropy = at::empty({targets}, floats);
  if (o.log_sum_squares) f.log_sum_squares = at::empty({targets}, floats);
  if (o.top_k > 0) {
    f.top_logp = at::empty({targets, o.top_k}, floats);
    f.top_token = at::empty({targets, o.top_k}, at::kLong);
  }
  const int64_t* tokens = token.const_data_ptr<int64_t>();
  for_each_chunk<T>(hidden, head, source, o,
                    [&](int64_t first, int64_t n, const Tensor&, const float* logits) {
                      at::parallel_for(0, n, 1, [&](int64_t begin, int64_t end) {
                        for (int64_t r = begin; r < end; ++r)
                          reduce_row(logits + r * vocab, vocab, tokens[first + r], first + r, o, f);
                      });
                    });
  return f;
}

// d loss / d logits of a row in place: sum of (onehot - p) x gradient, then through temperature and soft cap.
template <typename T>
void logit_gradient(const float* row, int64_t vocab, float lse, float total_grad, const LogpOptions& o,
                    T* out) {
  const vec::Floats l(lse), g(-total_grad), inverse(static_cast<float>(1.0 / o.temperature));
  const vec::Floats one(1.0f), to_unit(static_cast<float>(o.softcap > 0 ? o.temperature / o.softcap : 0.0));
  vec::for_each(vocab, [&](int64_t i, int64_t n) {
    const auto z = vec::load(row + i, n);
    auto d = (z - l).exp_u20() * g * inverse;
    if (o.softcap > 0) d = d * (one - (z * to_unit) * (z * to_unit));
    vec::store(out + i, d, n);
  });
}

template <typename T>
void add_at(const float* row, int64_t i, float g, const LogpOptions& o, T* out) {
  const float unit = o.softcap > 0 ? static_cast<float>(row[i] * o.temperature / o.softcap) : 0.0f;
  out[i] = static_cast<T>(static_cast<float>(out[i]) +
                          g * static_cast<float>(1.0 / o.temperature) * (1.0f - unit * unit));
}

template <typename T>
void run_backward(const Tensor& hidden, const Tensor& head, const Tensor& token, const Tensor& source,
                  const Tensor& lse, const Tensor& dlogp, const Tensor& dtop, const Tensor& top_token,
                  const LogpOptions& o, Tensor& dhidden, Tensor& dhead) {
  // Targets without a gradient (advantage 0, masked out) cost nothing.
  Tensor live = dlogp != 0;
  if (dtop.defined()) live = live.logical_or((dtop != 0).any(1));
  const Tensor keep = live.nonzero().flatten();
  const int64_t vocab = head.size(0), width = head.size(1), targets = keep.size(0);
  const Tensor tokens = token.index_select(0, keep), sources = source.index_select(0, keep);
  const Tensor lses = lse.index_select(0, keep), g = dlogp.index_select(0, keep).contiguous();
  Tensor gtop, ttop;
  if (dtop.defined()) {
    gtop = dtop.index_select(0, keep).contiguous();
    ttop = top_token.index_select(0, keep).contiguous();
  }
  Tensor drows = at::empty({targets, width}, at::kFloat), dlogits;
  for_each_chunk<T>(
      hidden, head, sources, o, [&](int64_t first, int64_t n, const Tensor& h, const float* logits) {
        if (!dlogits.defined()) dlogits = at::empty({n, vocab}, hidden.options());
        T* d = dlogits.mutable_data_ptr<T>();
        at::parallel_for(0, n, 1, [&](int64_t begin, int64_t end) {
          for (int64_t r = begin; r < end; ++r) {
            const int64_t m = first + r;
            const float* row = logits + r * vocab;
            float total = g.const_data_ptr<float>()[m];
            for (int64_t k = 0; gtop.defined() && k < o.top_k; ++k)
              total += gtop.const_data_ptr<float>()[m * o.top_k + k];
            logit_gradient(row, vocab, lses.const_data_ptr<float>()[m], total, o, d + r * vocab);
            add_at(row, tokens.const_data_ptr<int64_t>()[m], g.const_data_ptr<float>()[m], o, d + r * vocab);
            for (int64_t k = 0; gtop.defined() && k < o.top_k; ++k) {
              add_at(row, ttop.const_data_ptr<int64_t>()[m * o.top_k + k],
                     gtop.const_data_ptr<float>()[m * o.top_k + k], o, d + r * vocab);
            }
          }
        });
        logits_backward(d, h.const_data_ptr<T>(), head.const_data_ptr<T>(), n, width, vocab,
                        dhidden.defined() ? drows.mutable_data_ptr<float>() + first * width : nullptr,
                        dhead.defined() ? dhead.mutable_data_ptr<float>() : nullptr);
      });
  if (dhidden.defined()) dhidden.index_add_(0, sources, drows);
}

struct SelectiveLogp : Function<SelectiveLogp> {
  static variable_list forward(AutogradContext* ctx, const Tensor& hidden, const Tensor& head,
                               const Tensor& head_master, const Tensor& token, const Tensor& source,
                               const LogpOptions* options) {
    const LogpOptions& o = *options;
    const Forward f = hidden.scalar_type() == at::kFloat
                          ? run_forward<float>(hidden, head, token, source, o)
                          : run_forward<c10::BFloat16>(hidden, head, token, source, o);
    ctx->saved_data["temperature"] = o.temperature;
    ctx->saved_data["softcap"] = o.softcap;
    ctx->saved_data["top_k"] = o.top_k;
    ctx->saved_data["chunk_rows"] = o.chunk_rows;
    ctx->saved_data["master_dtype"] = static_cast<int64_t>(head_master.scalar_type());
    variable_list outputs = {f.logp};
    variable_list saved = {hidden, head, token, source, f.lse};
    std::vector<Tensor> fixed;
    if (o.entropy) {
      outputs.push_back(f.entropy);
      fixed.push_back(f.entropy);
    }
    if (o.log_sum_squares) {
      outputs.push_back(f.log_sum_squares);
      fixed.push_back(f.log_sum_squares);
    }
    if (o.top_k > 0) {
      outputs.push_back(f.top_logp);
      outputs.push_back(f.top_token);
      fixed.push_back(f.top_token);
      saved.push_back(f.top_token);
    }
    ctx->mark_non_differentiable(fixed);
    ctx->save_for_backward(saved);
    return outputs;
  }
  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const auto saved = ctx->get_saved_variables();
    LogpOptions o;
    o.temperature = ctx->saved_data["temperature"].toDouble();
    o.softcap = ctx->saved_data["softcap"].toDouble();
    o.top_k = ctx->saved_data["top_k"].toInt();
    o.chunk_rows = ctx->saved_data["chunk_rows"].toInt();
    const Tensor &hidden = saved[0], &head = saved[1];
    Tensor dtop, top_token;
    if (o.top_k > 0) {
      dtop = grads[grads.size() - 2];
      top_token = saved[5];
      if (dtop.defined()) dtop = dtop.contiguous();
    }
    Tensor dlogp = grads[0].defined() ? grads[0].contiguous() : at::zeros_like(saved[4]);
    Tensor dhidden, dhead;
    if (ctx->needs_input_grad(0)) dhidden = at::zeros(hidden.sizes(), at::kFloat);
    if (ctx->needs_input_grad(2)) dhead = at::zeros(head.sizes(), at::kFloat);
    if (hidden.scalar_type() == at::kFloat) {
      run_backward<float>(hidden, head, saved[2], saved[3], saved[4], dlogp, dtop, top_token, o, dhidden,
                          dhead);
    } else {
      run_backward<c10::BFloat16>(hidden, head, saved[2], saved[3], saved[4], dlogp, dtop, top_token, o,
                                  dhidden, dhead);
    }
    if (dhidden.defined()) dhidden = dhidden.to(hidden.scalar_type());
    if (dhead.defined())
      dhead = dhead.to(static_cast<at::ScalarType>(ctx->saved_data["master_dtype"].toInt()));
    return {dhidden, Tensor(), dhead, Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace

LogpResult selective_logp(const Tensor& hidden, const Tensor& head, const Tensor& head_master,
                          const Targets& targets, const LogpOptions& options) {
  const bool kernel =
      hidden.is_cpu() && (hidden.scalar_type() == at::kFloat || hidden.scalar_type() == at::kBFloat16);
  if (!kernel) return reference::selective_logp(hidden, head, head_master, targets, options);
  const variable_list out = SelectiveLogp::apply(hidden.contiguous(), head.detach(), head_master,
                                                 targets.token, targets.source, &options);
  LogpResult result;
  size_t next = 0;
  result.logp = out[next++];
  if (options.entropy) result.entropy = out[next++];
  if (options.log_sum_squares) result.log_sum_squares = out[next++];
  if (options.top_k > 0) {
    result.top_logp = out[next++];
    result.top_token = out[next++];
  }
  return result;
}

namespace reference {

LogpResult selective_logp(const Tensor& hidden, const Tensor& head, const Tensor& head_master,
                          const Targets& targets, const LogpOptions& options) {
  const Tensor weight = head_master.requires_grad() ? head_master : head;
  Tensor logits =
      at::matmul(hidden.to(at::kFloat).index_select(0, targets.source), weight.to(at::kFloat).t());
  if (options.softcap > 0) logits = at::tanh(logits / options.softcap) * options.softcap;
  const Tensor all = at::log_softmax(logits / options.temperature, -1);
  LogpResult result;
  result.logp = all.gather(1, targets.token.unsqueeze(1)).squeeze(1);
  if (options.entropy) result.entropy = -(all.exp() * all).sum(-1).detach();
  if (options.log_sum_squares) result.log_sum_squares = (2 * all).logsumexp(-1).detach();
  if (options.top_k > 0) std::tie(result.top_logp, result.top_token) = all.topk(options.top_k, -1);
  return result;
}

}  // namespace reference
}  // namespace temper
