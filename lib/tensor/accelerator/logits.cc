#include "tensor/accelerator/logits.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <limits>

#include "tensor/accelerator/ops.h"
#include "tensor/logits.h"

namespace temper::on_device {
namespace {

using at::Tensor;

// About 512 MB of fp32 logits. Each chunk's share of the head's gradient is added to all of it: with a
// vocabulary of 152k and 896 wide that reads and writes 1.1 GB, so chunks are few.
int64_t rows_at_a_time(int64_t chunk_rows, int64_t vocab) {
  return chunk_rows > 0 ? chunk_rows : std::clamp<int64_t>((int64_t{128} << 20) / vocab, 64, 8192);
}

// f(first row, rows) for each chunk of `all`.
template <typename F>
void for_each_chunk(int64_t all, int64_t chunk_rows, int64_t vocab, const F& f) {
  const int64_t rows = rows_at_a_time(chunk_rows, vocab);
  for (int64_t first = 0; first < all; first += rows) f(first, std::min(rows, all - first));
}

Tensor logits_of(const Tensor& h, const Tensor& head, const LogitsLaw& law) {
  return lawful(mm_f32(h, head.t()), law);
}
// The gradient of logits z becomes that of the head's products, in place.
void law_backward(const LogitsLaw& law, const Tensor& z, Tensor& d) {
  if (law.softcap > 0) d.mul_((z * (1.0 / law.softcap)).square_().neg_().add_(1));
  if (law.scale != 1.0) d.mul_(law.scale);
}

// Soft-capped and divided by the temperature.
Tensor logits_of(const Tensor& h, const Tensor& head, const LogpOptions& o) {
  Tensor z = logits_of(h, head, o.law);
  return o.temperature == 1.0 ? z : z.mul_(1.0 / o.temperature);
}

// cos(E_v, E_token) [rows, V].
class Cosines {
 public:
  explicit Cosines(const Tensor& head)
      : head_(head),
        inverse_norm_(at::linalg_vector_norm(head, 2, at::IntArrayRef{1}, false, at::kFloat)
                          .clamp_min(1e-12)
                          .reciprocal()) {}
  Tensor of(const Tensor& token) const {
    return mm_f32(head_.index_select(0, token), head_.t())
        .mul_(inverse_norm_)
        .mul_(inverse_norm_.index_select(0, token).unsqueeze(1));
  }

 private:
  Tensor head_, inverse_norm_;
};

// Takes the gradients of chunks of logits and hands them on, as logits_backward does on the CPU.
class HandOn {
 public:
  HandOn(const Tensor& head, const Tensor& source, Tensor& dhidden, Tensor& dhead)
      : head_(head), source_(source), dhidden_(dhidden), dhead_(dhead) {
    if (dhidden.defined()) rows_ = at::empty({source.size(0), head.size(1)}, dhidden.options());
  }
  // dlogits [n, V] of targets first, first + 1 ...; h [n, H] their hidden rows.
  void chunk(int64_t first, const Tensor& dlogits, const Tensor& h) {
    const Tensor d = dlogits.to(head_.scalar_type());
    if (rows_.defined()) rows_.narrow(0, first, d.size(0)).copy_(mm_f32(d, head_));
    if (dhead_.defined()) add_mm_f32(dhead_, d.t(), h);
  }
  // Once for all chunks: targets may share a row, and adding in a fixed order sorts.
  void finish() {
    if (rows_.defined()) dhidden_.index_add_(0, source_, rows_);
  }

 private:
  const Tensor &head_, &source_;
  Tensor &dhidden_, &dhead_;
  Tensor rows_;
};

Tensor column(const Tensor& x) {
  return x.unsqueeze(1);
}

}  // namespace

LogpForward logp_forward(const Tensor& hidden, const Tensor& head, const Tensor& token, const Tensor& source,
                         const LogpOptions& o) {
  const int64_t targets = token.size(0), vocab = head.size(0);
  const auto floats = hidden.options().dtype(at::kFloat);
  const auto made = [&](bool wanted) { return wanted ? at::empty({targets}, floats) : Tensor(); };
  LogpForward f;
  f.logp = made(true);
  f.entropy = made(o.entropy);
  f.log_sum_squares = made(o.log_sum_squares);
  f.mean_logp = made(o.mean_logp);
  f.cosine = made(o.cosine);
  if (o.top_k > 0) {
    f.top_logp = at::empty({targets, o.top_k}, floats);
    f.top_token = at::empty({targets, o.top_k}, token.options());
  }
  std::optional<Cosines> cosines;
  if (o.cosine) cosines.emplace(head);
  for_each_chunk(targets, o.chunk_rows, vocab, [&](int64_t first, int64_t n) {
    const Tensor ids = token.narrow(0, first, n);
    const Tensor h = hidden.index_select(0, source.narrow(0, first, n));
    const Tensor logp = at::log_softmax(logits_of(h, head, o), -1);
    const auto put = [&](const Tensor& to, const Tensor& value) { to.narrow(0, first, n).copy_(value); };
    put(f.logp, logp.gather(1, column(ids)).squeeze(1));
    if (o.entropy) put(f.entropy, logp.exp().mul_(logp).sum(-1).neg_());
    if (o.log_sum_squares) put(f.log_sum_squares, at::logsumexp(logp * 2, at::IntArrayRef{-1}));
    if (o.mean_logp) put(f.mean_logp, logp.mean(-1));
    if (o.cosine) put(f.cosine, logp.exp().mul_(cosines->of(ids)).sum(-1));
    if (o.top_k > 0) {
      const auto [top, which] = logp.topk(o.top_k, -1);
      put(f.top_logp, top);
      put(f.top_token, which);
    }
  });
  return f;
}

namespace {

// d loss / d logits of the chosen tokens' log-probs alone, in the type that the products take: one pass over
// the probabilities, and the chosen tokens' own from fp32, where 1 - p must not cancel.
Tensor plain_gradient(const Tensor& z, const Tensor& token, const Tensor& dlogp, at::ScalarType type) {
  const Tensor p = at::softmax(z, -1);
  Tensor d = at::empty(z.sizes(), z.options().dtype(type));
  at::mul_out(d, p, column(dlogp.neg()));
  put_one_a_row(d, token, dlogp - dlogp * p.gather(1, column(token)).squeeze(1));
  return d;
}

}  // namespace

void logp_backward(const Tensor& hidden, const Tensor& head, const LogpBackward& all, const LogpOptions& o,
                   Tensor& dhidden, Tensor& dhead) {
  const LogpBackward b = all.live();
  const int64_t vocab = head.size(0);
  std::optional<Cosines> cosines;
  if (b.dcosine.defined()) cosines.emplace(head);
  HandOn hand_on(head, b.source, dhidden, dhead);
  const bool plain = !b.dtop.defined() && !b.dmean.defined() && !b.dcosine.defined() &&
                     !b.dentropy.defined() && o.law.softcap == 0;
  for_each_chunk(b.token.size(0), o.chunk_rows, vocab, [&](int64_t first, int64_t n) {
    const auto part = [&](const Tensor& t) { return t.narrow(0, first, n); };
    const Tensor h = hidden.index_select(0, part(b.source)), z = logits_of(h, head, o);
    if (plain) {
      hand_on.chunk(
          first, plain_gradient(z, part(b.token), part(b.dlogp) * (1.0 / o.temperature), head.scalar_type()),
          h);
      return;
    }
    // d loss / d logits: p (cosine (c - expected) - slope (log p + entropy) - total) + mean / V, and what
    // falls on single tokens.
    Tensor total = part(b.dlogp);
    if (b.dtop.defined()) total = total + part(b.dtop).sum(1);
    if (b.dmean.defined()) total = total + part(b.dmean);
    Tensor d, weight;
    if (b.dentropy.defined()) {
      const Tensor logp = at::log_softmax(z, -1);
      d = logp.exp();
      weight = (logp + column(part(b.entropy))).mul_(column(part(b.dentropy).neg()));
    } else {
      d = at::softmax(z, -1);
    }
    if (b.dcosine.defined()) {
      const Tensor turned =
          cosines->of(part(b.token)).sub_(column(part(b.cosine))).mul_(column(part(b.dcosine)));
      weight = weight.defined() ? weight.add_(turned) : turned;
    }
    d.mul_(weight.defined() ? weight.sub_(column(total)) : column(total.neg()));
    if (b.dmean.defined()) d.add_(column(part(b.dmean)), 1.0 / static_cast<double>(vocab));
    add_one_a_row(d, part(b.token), part(b.dlogp));
    for (int64_t k = 0; b.dtop.defined() && k < o.top_k; ++k)
      add_one_a_row(d, part(b.top_token).select(1, k), part(b.dtop).select(1, k));
    if (o.law.softcap > 0) d.mul_((z * (o.temperature / o.law.softcap)).square_().neg_().add_(1));
    if (o.temperature != 1.0) d.mul_(1.0 / o.temperature);
    hand_on.chunk(first, d, h);
  });
  hand_on.finish();
}

Tensor gather_logp_forward(const Tensor& hidden, const Tensor& head, const Tensor& source,
                           const Tensor& token, const LogitsLaw& law, int64_t chunk_rows) {
  Tensor out = at::empty(token.sizes(), hidden.options().dtype(at::kFloat));
  for_each_chunk(source.size(0), chunk_rows, head.size(0), [&](int64_t first, int64_t n) {
    const Tensor h = hidden.index_select(0, source.narrow(0, first, n));
    out.narrow(0, first, n)
        .copy_(at::log_softmax(logits_of(h, head, law), -1).gather(1, token.narrow(0, first, n)));
  });
  return out;
}

void gather_logp_backward(const Tensor& hidden, const Tensor& head, const Tensor& source, const Tensor& token,
                          const Tensor& grad, const LogitsLaw& law, int64_t chunk_rows, Tensor& dhidden,
                          Tensor& dhead) {
  HandOn hand_on(head, source, dhidden, dhead);
  for_each_chunk(source.size(0), chunk_rows, head.size(0), [&](int64_t first, int64_t n) {
    const Tensor h = hidden.index_select(0, source.narrow(0, first, n));
    const Tensor g = grad.narrow(0, first, n);
    const Tensor z = logits_of(h, head, law);
    Tensor d = at::softmax(z, -1).mul_(g.sum(1, /*keepdim=*/true).neg_());
    d.scatter_add_(1, token.narrow(0, first, n), g);
    law_backward(law, z, d);
    hand_on.chunk(first, d, h);
  });
  hand_on.finish();
}

namespace {

// Logits of a chunk: the student's, and the mean of the teachers'.
struct Pair {
  Tensor h, student, teacher;
  Pair(const Tensor& hidden, const Tensor& head, const std::vector<TeacherStates>& teachers,
       const Tensor& source, const LogitsLaw& law)
      : h(hidden.index_select(0, source)), student(logits_of(h, head, law)) {
    for (const TeacherStates& t : teachers) {
      const Tensor z = logits_of(t.hidden.index_select(0, source), t.head, t.law);
      teacher = teacher.defined() ? teacher.add_(z) : z;
    }
    teacher.mul_(1.0 / static_cast<double>(teachers.size()));
  }
};

// log of (1 - beta) S + beta T from log-probs. Where both underflow, both weigh nothing.
Tensor log_mixture(const Tensor& s, const Tensor& t, double beta) {
  return s.exp().mul_(1 - beta).add_(t.exp(), beta).clamp_min_(std::numeric_limits<float>::min()).log_();
}

Tensor nll_of(const Tensor& logits, const Tensor& token) {
  return at::log_softmax(logits, -1).gather(1, column(token)).squeeze(1).neg_();
}

}  // namespace

DivergenceForward divergence_forward(const Tensor& hidden, const Tensor& head,
                                     const std::vector<TeacherStates>& teachers, const Tensor& token,
                                     const Tensor& source, const DivergenceOptions& o) {
  const auto floats = hidden.options().dtype(at::kFloat);
  DivergenceForward f;
  for (Tensor* t : {&f.divergence, &f.nll, &f.teacher_nll}) *t = at::empty({source.size(0)}, floats);
  f.reverse = at::zeros({source.size(0)}, floats);
  for_each_chunk(source.size(0), o.chunk_rows, head.size(0), [&](int64_t first, int64_t n) {
    const Pair z(hidden, head, teachers, source.narrow(0, first, n), o.law);
    const Tensor ids = token.narrow(0, first, n);
    const auto put = [&](const Tensor& to, const Tensor& value) { to.narrow(0, first, n).copy_(value); };
    put(f.nll, nll_of(z.student, ids));
    put(f.teacher_nll, nll_of(z.teacher, ids));
    const Tensor s = at::log_softmax(z.student * (1 / o.temperature), -1);
    const Tensor t = at::log_softmax(z.teacher * (1 / o.temperature), -1);
    const auto kl = [](const Tensor& p, const Tensor& from) { return p.exp().mul_(p - from).sum(-1); };
    if (o.beta == 0) {
      put(f.divergence, kl(t, s));
    } else if (o.beta == 1) {
      put(f.reverse, kl(s, t));
      put(f.divergence, f.reverse.narrow(0, first, n));
    } else {
      const Tensor m = log_mixture(s, t, o.beta);
      put(f.reverse, kl(s, m));
      put(f.divergence, kl(t, m).mul_(o.beta).add_(f.reverse.narrow(0, first, n), 1 - o.beta));
    }
  });
  return f;
}

void divergence_backward(const Tensor& hidden, const Tensor& head, const std::vector<TeacherStates>& teachers,
                         const Tensor& token, const Tensor& source, const Tensor& reverse, const Tensor& grad,
                         const Tensor& grad_nll, const DivergenceOptions& o, Tensor& dhidden, Tensor& dhead) {
  // As gradient_row of divergence.cc.
  const double factor = (o.beta > 0 && o.beta < 1 ? 1 - o.beta : 1) / o.temperature;
  HandOn hand_on(head, source, dhidden, dhead);
  for_each_chunk(source.size(0), o.chunk_rows, head.size(0), [&](int64_t first, int64_t n) {
    const auto part = [&](const Tensor& t) { return t.narrow(0, first, n); };
    const Pair z(hidden, head, teachers, part(source), o.law);
    const Tensor s = at::log_softmax(z.student * (1 / o.temperature), -1);
    const Tensor t = at::log_softmax(z.teacher * (1 / o.temperature), -1);
    Tensor d;
    if (o.beta == 0)
      d = s.exp().sub_(t.exp());
    else
      d = s.exp().mul_((s - (o.beta == 1 ? t : log_mixture(s, t, o.beta))).sub_(column(part(reverse))));
    d.mul_(column(part(grad) * factor));
    const Tensor g_nll = part(grad_nll);
    d.add_(at::softmax(z.student, -1).mul_(column(g_nll)));
    add_one_a_row(d, part(token), g_nll.neg());
    law_backward(o.law, z.student, d);
    hand_on.chunk(first, d, z.h);
  });
  hand_on.finish();
}

}  // namespace temper::on_device
