#include "tensor/logp.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include <cmath>
#include <limits>
#include <optional>

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

// cos(E_v, E_token) of a chunk's tokens: [rows, V].
struct Cosines {
  Tensor inverse_norm;  // [V] of the head's rows
  Tensor values;

  explicit Cosines(const Tensor& head)
      : inverse_norm(at::linalg_vector_norm(head, 2, at::IntArrayRef{1}, false, at::kFloat)
                         .clamp_min(1e-12)
                         .reciprocal()) {}

  template <typename T>
  void compute(const Tensor& head, const Tensor& token) {
    const int64_t rows = token.size(0), vocab = head.size(0), width = head.size(1);
    if (!values.defined()) values = at::empty({rows, vocab}, at::kFloat);
    const Tensor targets = head.index_select(0, token);
    float* out = values.mutable_data_ptr<float>();
    gemm(Trans::kNo, Trans::kYes, rows, vocab, width, targets.const_data_ptr<T>(), width,
         head.const_data_ptr<T>(), width, false, out, vocab);
    const float* inverse = inverse_norm.const_data_ptr<float>();
    const int64_t* tokens = token.const_data_ptr<int64_t>();
    at::parallel_for(0, rows, 1, [&](int64_t begin, int64_t end) {
      for (int64_t r = begin; r < end; ++r) {
        const vec::Floats own(inverse[tokens[r]]);
        vec::for_each(vocab, [&](int64_t i, int64_t n) {
          float* c = out + r * vocab + i;
          vec::store(c, vec::load(c, n) * vec::load(inverse + i, n) * own, n);
        });
      }
    });
  }
  const float* row(int64_t r) const { return values.const_data_ptr<float>() + r * values.size(1); }
};

struct Forward {
  Tensor logp, lse, entropy, log_sum_squares, top_logp, top_token, mean_logp, cosine;
};

// The log-sum-exp of a row and, with it, whatever else was asked for.
// `cosines`: of the row's target, when asked for.
void reduce_row(const float* row, int64_t vocab, int64_t token, int64_t m, const float* cosines,
                const LogpOptions& o, Forward& f) {
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
  if (o.log_sum_squares)
    f.log_sum_squares.mutable_data_ptr<float>()[m] = log_sum_exp(row, vocab, 2) - 2 * lse;
  if (o.mean_logp) {
    const float sum = vec::sum_over(vocab, [&](int64_t c, int64_t n) { return vec::load(row + c, n); });
    f.mean_logp.mutable_data_ptr<float>()[m] = sum / static_cast<float>(vocab) - lse;
  }
  if (o.cosine) {
    const vec::Floats l(lse);
    f.cosine.mutable_data_ptr<float>()[m] = vec::sum_over(vocab, [&](int64_t c, int64_t n) {
      return (vec::load(row + c, n) - l).exp_u20() * vec::load(cosines + c, n);
    });
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
  Forward f;
  f.logp = at::empty({targets}, floats);
  f.lse = at::empty({targets}, floats);
  if (o.entropy) f.entropy = at::empty({targets}, floats);
  if (o.log_sum_squares) f.log_sum_squares = at::empty({targets}, floats);
  if (o.mean_logp) f.mean_logp = at::empty({targets}, floats);
  if (o.cosine) f.cosine = at::empty({targets}, floats);
  if (o.top_k > 0) {
    f.top_logp = at::empty({targets, o.top_k}, floats);
    f.top_token = at::empty({targets, o.top_k}, at::kLong);
  }
  const int64_t* tokens = token.const_data_ptr<int64_t>();
  std::optional<Cosines> cosines;
  if (o.cosine) cosines.emplace(head);
  for_each_chunk<T>(hidden, head, source, o,
                    [&](int64_t first, int64_t n, const Tensor&, const float* logits) {
                      if (cosines) cosines->compute<T>(head, token.narrow(0, first, n));
                      at::parallel_for(0, n, 1, [&](int64_t begin, int64_t end) {
                        for (int64_t r = begin; r < end; ++r) {
                          reduce_row(logits + r * vocab, vocab, tokens[first + r], first + r,
                                     cosines ? cosines->row(r) : nullptr, o, f);
                        }
                      });
                    });
  return f;
}

// The gradients of one target's outputs. total: of every log-prob, whose sums each subtract p.
struct RowGradient {
  float total = 0, mean_logp = 0, cosine = 0;
  float expected = 0;              // the cosine itself
  const float* cosines = nullptr;  // [V], with cosine
};

// d loss / d logits of a row, all but what falls on single tokens alone (add_at), through temperature and
// soft cap: p (cosine (c - expected) - total) + mean_logp / V.
template <typename T>
void logit_gradient(const float* row, int64_t vocab, float lse, const RowGradient& g, const LogpOptions& o,
                    T* out) {
  const vec::Floats l(lse), total(-g.total), inverse(static_cast<float>(1.0 / o.temperature));
  const vec::Floats even(g.mean_logp / static_cast<float>(vocab)), cosine(g.cosine), expected(g.expected);
  const vec::Floats one(1.0f), to_unit(static_cast<float>(o.softcap > 0 ? o.temperature / o.softcap : 0.0));
  const auto run = [&](const auto& gradient) {  // gradient(offset, count, p)
    vec::for_each(vocab, [&](int64_t i, int64_t n) {
      const auto z = vec::load(row + i, n);
      auto d = gradient(i, n, (z - l).exp_u20()) * inverse;
      if (o.softcap > 0) d = d * (one - (z * to_unit) * (z * to_unit));
      vec::store(out + i, d, n);
    });
  };
  using vec::Floats;
  if (g.cosines != nullptr) {
    run([&](int64_t i, int64_t n, const Floats& p) {
      return p * (total + cosine * (vec::load(g.cosines + i, n) - expected)) + even;
    });
  } else if (g.mean_logp != 0) {
    run([&](int64_t, int64_t, const Floats& p) { return p * total + even; });
  } else {
    run([&](int64_t, int64_t, const Floats& p) { return p * total; });
  }
}

template <typename T>
void add_at(const float* row, int64_t i, float g, const LogpOptions& o, T* out) {
  const float unit = o.softcap > 0 ? static_cast<float>(row[i] * o.temperature / o.softcap) : 0.0f;
  out[i] = static_cast<T>(static_cast<float>(out[i]) +
                          g * static_cast<float>(1.0 / o.temperature) * (1.0f - unit * unit));
}

// What backward needs of forward, and the gradients of the outputs: undefined where there is none.
struct Backward {
  Tensor token, source, lse, top_token, cosine;
  Tensor dlogp, dtop, dmean, dcosine;

  // Those targets alone that have a gradient: the others (advantage 0, masked out) cost nothing.
  Backward live() const {
    Tensor any = dlogp != 0;
    if (dtop.defined()) any = any.logical_or((dtop != 0).any(1));
    for (const Tensor& d : {dmean, dcosine}) {
      if (d.defined()) any = any.logical_or(d != 0);
    }
    const Tensor keep = any.nonzero().flatten();
    const auto kept = [&](const Tensor& t) { return t.defined() ? t.index_select(0, keep).contiguous() : t; };
    return {kept(token), kept(source), kept(lse),   kept(top_token), kept(cosine),
            kept(dlogp), kept(dtop),   kept(dmean), kept(dcosine)};
  }
};

float at_row(const Tensor& t, int64_t m) {
  return t.defined() ? t.const_data_ptr<float>()[m] : 0.0f;
}

template <typename T>
void run_backward(const Tensor& hidden, const Tensor& head, const Backward& all, const LogpOptions& o,
                  Tensor& dhidden, Tensor& dhead) {
  const Backward b = all.live();
  const int64_t vocab = head.size(0), width = head.size(1), targets = b.token.size(0);
  const int64_t top_k = b.dtop.defined() ? o.top_k : 0;
  std::optional<Cosines> cosines;
  if (b.dcosine.defined()) cosines.emplace(head);
  Tensor drows = at::empty({targets, width}, at::kFloat), dlogits;
  for_each_chunk<T>(
      hidden, head, b.source, o, [&](int64_t first, int64_t n, const Tensor& h, const float* logits) {
        if (!dlogits.defined()) dlogits = at::empty({n, vocab}, hidden.options());
        if (cosines) cosines->compute<T>(head, b.token.narrow(0, first, n));
        T* d = dlogits.mutable_data_ptr<T>();
        at::parallel_for(0, n, 1, [&](int64_t begin, int64_t end) {
          for (int64_t r = begin; r < end; ++r) {
            const int64_t m = first + r;
            const float* row = logits + r * vocab;
            const float own = at_row(b.dlogp, m);
            RowGradient g{own, at_row(b.dmean, m), at_row(b.dcosine, m), at_row(b.cosine, m),
                          cosines ? cosines->row(r) : nullptr};
            g.total += g.mean_logp;
            for (int64_t k = 0; k < top_k; ++k) g.total += at_row(b.dtop, m * top_k + k);
            logit_gradient(row, vocab, at_row(b.lse, m), g, o, d + r * vocab);
            add_at(row, b.token.const_data_ptr<int64_t>()[m], own, o, d + r * vocab);
            for (int64_t k = 0; k < top_k; ++k) {
              add_at(row, b.top_token.const_data_ptr<int64_t>()[m * top_k + k], at_row(b.dtop, m * top_k + k),
                     o, d + r * vocab);
            }
          }
        });
        logits_backward(d, h.const_data_ptr<T>(), head.const_data_ptr<T>(), n, width, vocab,
                        dhidden.defined() ? drows.mutable_data_ptr<float>() + first * width : nullptr,
                        dhead.defined() ? dhead.mutable_data_ptr<float>() : nullptr);
      });
  if (dhidden.defined()) dhidden.index_add_(0, b.source, drows);
}

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
                               const LogpOptions* options) {
    const LogpOptions& o = *options;
    const Forward f = hidden.scalar_type() == at::kFloat
                          ? run_forward<float>(hidden, head, token, source, o)
                          : run_forward<c10::BFloat16>(hidden, head, token, source, o);
    ctx->saved_data["temperature"] = o.temperature;
    ctx->saved_data["softcap"] = o.softcap;
    ctx->saved_data["top_k"] = o.top_k;
    ctx->saved_data["chunk_rows"] = o.chunk_rows;
    ctx->saved_data["entropy"] = o.entropy;
    ctx->saved_data["log_sum_squares"] = o.log_sum_squares;
    ctx->saved_data["mean_logp"] = o.mean_logp;
    ctx->saved_data["cosine"] = o.cosine;
    ctx->saved_data["master_dtype"] = static_cast<int64_t>(head_master.scalar_type());
    std::vector<Tensor> fixed;
    for (const Tensor& t : {f.entropy, f.log_sum_squares, f.top_token}) {
      if (t.defined()) fixed.push_back(t);
    }
    ctx->mark_non_differentiable(fixed);
    ctx->save_for_backward({hidden, head, token, source, f.lse, f.top_token, f.cosine});
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
    o.softcap = ctx->saved_data["softcap"].toDouble();
    o.top_k = ctx->saved_data["top_k"].toInt();
    o.chunk_rows = ctx->saved_data["chunk_rows"].toInt();
    o.entropy = ctx->saved_data["entropy"].toBool();
    o.log_sum_squares = ctx->saved_data["log_sum_squares"].toBool();
    o.mean_logp = ctx->saved_data["mean_logp"].toBool();
    o.cosine = ctx->saved_data["cosine"].toBool();
    const Order order(o);
    const Tensor &hidden = saved[0], &head = saved[1];
    const auto given = [&](int place) {
      const Tensor d = Order::get(grads, place);
      return d.defined() ? d.contiguous() : d;
    };
    Backward b{saved[2], saved[3], saved[4], saved[5], saved[6], {}, {}, {}, {}};
    b.dlogp = grads[0].defined() ? grads[0].contiguous() : at::zeros_like(b.lse);
    b.dtop = given(order.top_logp);
    b.dmean = given(order.mean_logp);
    b.dcosine = given(order.cosine);
    Tensor dhidden, dhead;
    if (ctx->needs_input_grad(0)) dhidden = at::zeros(hidden.sizes(), at::kFloat);
    if (ctx->needs_input_grad(2)) dhead = at::zeros(head.sizes(), at::kFloat);
    if (hidden.scalar_type() == at::kFloat)
      run_backward<float>(hidden, head, b, o, dhidden, dhead);
    else
      run_backward<c10::BFloat16>(hidden, head, b, o, dhidden, dhead);
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
  if (options.softcap > 0) logits = at::tanh(logits / options.softcap) * options.softcap;
  const Tensor all = at::log_softmax(logits / options.temperature, -1);
  LogpResult result;
  result.logp = all.gather(1, targets.token.unsqueeze(1)).squeeze(1);
  if (options.entropy) result.entropy = -(all.exp() * all).sum(-1).detach();
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
