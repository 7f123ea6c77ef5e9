// selective_logp on the CPU: a chunk of logits at a time, rows shared out among the threads.
#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <optional>

#include "tensor/logits.h"
#include "tensor/logp_parts.h"
#include "tensor/product/add_rows.h"
#include "tensor/product/mm.h"

namespace temper {
namespace {

using at::Tensor;

// logits [rows, V] fp32 of hidden rows, divided by the temperature and soft-capped. most: rows of a usual
// chunk.
template <typename T>
void logits_chunk(const T* hidden, const T* head, int64_t rows, int64_t width, int64_t vocab, int64_t most,
                  const LogpOptions& o, float* logits) {
  product_into(hidden, rows, most, head, vocab, width, logits);
  if (o.temperature == 1.0 && o.law.softcap == 0.0) return;
  at::parallel_for(0, rows, 1, [&](int64_t begin, int64_t end) {
    const vec::Floats inverse(static_cast<float>(1.0 / o.temperature));
    const vec::Floats cap(static_cast<float>(o.law.softcap)),
        uncap(static_cast<float>(o.law.softcap > 0 ? 1.0 / o.law.softcap : 0.0));
    for (int64_t r = begin; r < end; ++r) {
      float* row = logits + r * vocab;
      vec::for_each(vocab, [&](int64_t i, int64_t n) {
        auto z = vec::load(row + i, n);
        if (o.law.softcap > 0) z = (z * uncap).tanh() * cap;
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

struct RowSums {
  float lse, entropy;
};

// Both in one pass behind that for the maximum: with e_v = exp(z_v - top) and their sum s, the entropy is
// log s - sum of e_v (z_v - top) / s.
RowSums softmax_sums(const float* row, int64_t vocab) {
  const float top = max_of(row, vocab);
  const vec::Floats shift(top);
  double total = 0, weighted = 0;
  constexpr int64_t kBlock = 64 * vec::kWidth;  // as vec::sum_over
  for (int64_t begin = 0; begin < vocab; begin += kBlock) {
    const int64_t end = std::min(vocab, begin + kBlock);
    vec::Floats e_sum(0.0f), weighted_sum(0.0f);
    int64_t i = begin;
    for (; i + vec::kWidth <= end; i += vec::kWidth) {
      const vec::Floats z = vec::load(row + i) - shift, e = z.exp_u20();
      e_sum = e_sum + e;
      weighted_sum = weighted_sum + e * z;
    }
    total += vec::sum(e_sum), weighted += vec::sum(weighted_sum);
    for (; i < end; ++i) {
      const float z = row[i] - top, e = std::exp(z);
      total += e, weighted += e * z;
    }
  }
  const double log_total = std::log(total);
  return {top + static_cast<float>(log_total), static_cast<float>(log_total - weighted / total)};
}

// The log-sum-exp of a row and, with it, whatever else was asked for.
// `cosines`: of the row's target, when asked for.
void reduce_row(const float* row, int64_t vocab, int64_t token, int64_t m, const float* cosines,
                const LogpOptions& o, LogpForward& f) {
  const bool fused = o.entropy && !o.entropy_gradient;
  RowSums sums = fused ? softmax_sums(row, vocab) : RowSums{log_sum_exp(row, vocab), 0.0f};
  const float lse = sums.lse;
  f.lse.mutable_data_ptr<float>()[m] = lse;
  f.logp.mutable_data_ptr<float>()[m] = row[token] - lse;
  if (o.entropy && !fused) {
    // From the probabilities that its gradient is made of, or their errors do not cancel where one is
    // nearly 1.
    const vec::Floats l(lse);
    sums.entropy = -vec::sum_over(vocab, [&](int64_t c, int64_t n) {
      const auto lp = vec::load(row + c, n) - l;
      return lp.exp_u20() * lp;
    });
  }
  if (o.entropy) f.entropy.mutable_data_ptr<float>()[m] = sums.entropy;
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
    logits_chunk(h.const_data_ptr<T>(), head.const_data_ptr<T>(), n, width, vocab, default_chunk_rows(vocab),
                 o, logits.mutable_data_ptr<float>());
    f(first, n, h, logits.mutable_data_ptr<float>());
  }
}

// The gradients of one target's outputs. total: of every log-prob, whose sums each subtract p.
struct RowGradient {
  float total = 0, mean_logp = 0, cosine = 0;
  float expected = 0;              // the cosine itself
  const float* cosines = nullptr;  // [V], with cosine
  float slope = 0, entropy = 0;    // the entropy's gradient, and the entropy itself
};

// d loss / d logits of a row, all but what falls on single tokens alone (add_at), through temperature and
// soft cap: p (cosine (c - expected) - total - slope (log p + entropy)) + mean_logp / V.
template <typename T>
void logit_gradient(const float* row, int64_t vocab, float lse, const RowGradient& g, const LogpOptions& o,
                    T* out) {
  const vec::Floats l(lse), total(-g.total), inverse(static_cast<float>(1.0 / o.temperature));
  const vec::Floats even(g.mean_logp / static_cast<float>(vocab)), cosine(g.cosine), expected(g.expected);
  const vec::Floats one(1.0f),
      to_unit(static_cast<float>(o.law.softcap > 0 ? o.temperature / o.law.softcap : 0.0));
  const auto run = [&](const auto& gradient) {  // gradient(offset, count, p, log p)
    vec::for_each(vocab, [&](int64_t i, int64_t n) {
      const auto z = vec::load(row + i, n);
      const auto lp = z - l;
      auto d = gradient(i, n, lp.exp_u20(), lp) * inverse;
      if (o.law.softcap > 0) d = d * (one - (z * to_unit) * (z * to_unit));
      vec::store(out + i, d, n);
    });
  };
  using vec::Floats;
  if (g.cosines != nullptr || g.slope != 0) {
    const Floats slope(g.slope), entropy(g.entropy);
    run([&](int64_t i, int64_t n, const Floats& p, const Floats& lp) {
      Floats weight = total - slope * (lp + entropy);
      if (g.cosines != nullptr) weight = weight + cosine * (vec::load(g.cosines + i, n) - expected);
      return p * weight + even;
    });
  } else if (g.mean_logp != 0) {
    run([&](int64_t, int64_t, const Floats& p, const Floats&) { return p * total + even; });
  } else {
    run([&](int64_t, int64_t, const Floats& p, const Floats&) { return p * total; });
  }
}

template <typename T>
void add_at(const float* row, int64_t i, float g, const LogpOptions& o, T* out) {
  const float unit = o.law.softcap > 0 ? static_cast<float>(row[i] * o.temperature / o.law.softcap) : 0.0f;
  out[i] = static_cast<T>(static_cast<float>(out[i]) +
                          g * static_cast<float>(1.0 / o.temperature) * (1.0f - unit * unit));
}

// Rows [first, first + n) of what backward would compute, from logits that are there: see LogpEarly.
template <typename T>
void early_rows(const float* logits, const Tensor& h, const Tensor& head, const int64_t* tokens,
                int64_t first, int64_t n, const LogpOptions& o, Tensor& dlogits, LogpForward& f) {
  const int64_t vocab = head.size(0), width = head.size(1);
  if (!dlogits.defined()) dlogits = at::empty({n, vocab}, head.options());
  T* d = dlogits.mutable_data_ptr<T>();
  const float *lse = f.lse.const_data_ptr<float>() + first,
              *expected = o.expected.defined() ? o.expected.const_data_ptr<float>() + first : nullptr;
  // Targets that get no gradient cost no product.
  std::vector<int64_t> live;
  for (int64_t r = 0; r < n; ++r) {
    if (expected == nullptr || expected[r] != 0) live.push_back(r);
  }
  const auto count = static_cast<int64_t>(live.size());
  if (count == 0) return;
  at::parallel_for(0, count, 1, [&](int64_t begin, int64_t end) {
    for (int64_t i = begin; i < end; ++i) {
      const int64_t r = live[i];
      const float* row = logits + r * vocab;
      const float own = expected == nullptr ? 1.0f : expected[r];
      logit_gradient(row, vocab, lse[r], {own}, o, d + i * vocab);
      add_at(row, tokens[first + r], own, o, d + i * vocab);
    }
  });
  const Tensor rows = at::tensor(live), h_live = count == n ? h : h.index_select(0, rows);
  Tensor dh = f.dhidden_rows.defined() ? at::empty({count, width}, at::kFloat) : Tensor();
  logits_backward(d, h_live.const_data_ptr<T>(), head.const_data_ptr<T>(), count, width, vocab,
                  dh.defined() ? dh.mutable_data_ptr<float>() : nullptr,
                  f.dhead.defined() ? f.dhead.mutable_data_ptr<float>() : nullptr);
  if (dh.defined()) f.dhidden_rows.narrow(0, first, n).index_copy_(0, rows, dh);
}

template <typename T>
LogpForward run_forward(const Tensor& hidden, const Tensor& head, const Tensor& token, const Tensor& source,
                        const LogpOptions& o, const LogpEarly& early) {
  const int64_t targets = token.size(0), vocab = head.size(0);
  const auto floats = at::TensorOptions().dtype(at::kFloat);
  LogpForward f;
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
  if (early.hidden) f.dhidden_rows = at::zeros({targets, head.size(1)}, floats);
  if (early.head) f.dhead = at::zeros(head.sizes(), floats);
  const int64_t* tokens = token.const_data_ptr<int64_t>();
  std::optional<Cosines> cosines;
  if (o.cosine) cosines.emplace(head);
  Tensor dlogits;
  for_each_chunk<T>(hidden, head, source, o,
                    [&](int64_t first, int64_t n, const Tensor& h, const float* logits) {
                      if (cosines) cosines->compute<T>(head, token.narrow(0, first, n));
                      at::parallel_for(0, n, 1, [&](int64_t begin, int64_t end) {
                        for (int64_t r = begin; r < end; ++r) {
                          reduce_row(logits + r * vocab, vocab, tokens[first + r], first + r,
                                     cosines ? cosines->row(r) : nullptr, o, f);
                        }
                      });
                      if (early.any()) early_rows<T>(logits, h, head, tokens, first, n, o, dlogits, f);
                    });
  return f;
}

float at_row(const Tensor& t, int64_t m) {
  return t.defined() ? t.const_data_ptr<float>()[m] : 0.0f;
}

template <typename T>
void run_backward(const Tensor& hidden, const Tensor& head, const LogpBackward& all, const LogpOptions& o,
                  Tensor& dhidden, Tensor& dhead) {
  const LogpBackward b = all.live();
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
            RowGradient g{own,
                          at_row(b.dmean, m),
                          at_row(b.dcosine, m),
                          at_row(b.cosine, m),
                          cosines ? cosines->row(r) : nullptr,
                          at_row(b.dentropy, m),
                          at_row(b.entropy, m)};
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
  if (dhidden.defined()) add_rows(dhidden, b.source, drows);
}

}  // namespace

namespace on_cpu {

LogpForward logp_forward(const Tensor& hidden, const Tensor& head, const Tensor& token, const Tensor& source,
                         const LogpOptions& options, const LogpEarly& early) {
  return hidden.scalar_type() == at::kFloat
             ? run_forward<float>(hidden, head, token, source, options, early)
             : run_forward<c10::BFloat16>(hidden, head, token, source, options, early);
}

void logp_backward(const Tensor& hidden, const Tensor& head, const LogpBackward& backward,
                   const LogpOptions& options, Tensor& dhidden, Tensor& dhead) {
  if (hidden.scalar_type() == at::kFloat)
    run_backward<float>(hidden, head, backward, options, dhidden, dhead);
  else
    run_backward<c10::BFloat16>(hidden, head, backward, options, dhidden, dhead);
}

}  // namespace on_cpu
}  // namespace temper
