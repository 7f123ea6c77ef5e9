#include "tensor/divergence.h"

#include <ATen/Parallel.h>
#include <torch/csrc/autograd/custom_function.h>

#include "tensor/accelerator/logits.h"
#include "tensor/kernels.h"
#include "tensor/logits.h"
#include "tensor/product/add_rows.h"

namespace temper {
namespace {

using at::Tensor;
using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;
using vec::Floats;

// What forward keeps of each row for backward, and what it reports.
struct Rows {
  Tensor lse_student, lse_teacher;  // [M] of logits / temperature
  Tensor lse_plain;                 // [M] of the student's logits, temperature 1
  Tensor reverse;                   // [M] KL(S || M) of the mixture M; beta 1: KL(S || T); beta 0: unused
  explicit Rows(const Tensor& reverse) : reverse(reverse) {}  // an accelerator's form needs no more
  explicit Rows(int64_t n)
      : lse_student(at::empty({n}, at::kFloat)),
        lse_teacher(at::empty_like(lse_student)),
        lse_plain(at::empty_like(lse_student)),
        reverse(at::zeros_like(lse_student)) {}
  explicit Rows(const variable_list& saved)
      : lse_student(saved[0]), lse_teacher(saved[1]), lse_plain(saved[2]), reverse(saved[3]) {}
  variable_list list() const { return {lse_student, lse_teacher, lse_plain, reverse}; }
};

struct Student {
  Tensor hidden, head;
  LogitsLaw law;
};

void product(const Tensor& rows, const Tensor& head, bool accumulate, float* logits) {
  const int64_t width = head.size(1), vocab = head.size(0);
  dispatch(rows.scalar_type(), "divergence", [&](auto zero) {
    using T = decltype(zero);
    gemm(Trans::kNo, Trans::kYes, rows.size(0), vocab, width, rows.const_data_ptr<T>(), width,
         head.const_data_ptr<T>(), width, accumulate, logits, vocab);
  });
}

// Runs f(first row, rows, the student's hidden rows, student logits [rows, V], sum of the teachers' logits
// [rows, V]) for each chunk.
template <typename F>
void for_each_chunk(const Student& student, const std::vector<TeacherStates>& teachers, const Tensor& source,
                    int64_t chunk_rows, const F& f) {
  const int64_t all = source.size(0), vocab = student.head.size(0);
  const int64_t rows = std::min(chunk_rows > 0 ? chunk_rows : default_chunk_rows(vocab), all);
  Tensor logits = at::empty({2, rows, vocab}, at::kFloat), one;
  for (size_t i = 1; i < teachers.size(); ++i)
    if (!teachers[i].law.plain() && !one.defined()) one = at::empty({rows, vocab}, at::kFloat);
  float* s = logits.mutable_data_ptr<float>();
  float* t = s + rows * vocab;
  for (int64_t first = 0; first < all; first += rows) {
    const int64_t n = std::min(rows, all - first);
    const Tensor at = source.narrow(0, first, n), h = student.hidden.index_select(0, at);
    product(h, student.head, false, s);
    apply_law(student.law, s, n, vocab);
    for (size_t i = 0; i < teachers.size(); ++i) {
      const TeacherStates& teacher = teachers[i];
      const bool direct = i == 0 || teacher.law.plain();
      float* to = direct ? t : one.mutable_data_ptr<float>();
      product(teacher.hidden.index_select(0, at), teacher.head, direct && i > 0, to);
      apply_law(teacher.law, to, n, vocab);
      if (!direct) logits[1].narrow(0, 0, n).add_(one.narrow(0, 0, n));
    }
    f(first, n, h, s, t);
  }
}

// Log-probs of both sides and of their mixture, a vector at a time.
struct Pair {
  Floats s, t;    // log-probs
  Floats ps, pt;  // probabilities
};
struct PairLoader {
  const float *student, *teacher;
  Floats scale_s, scale_t, lse_s, lse_t;
  PairLoader(const float* s, const float* t, const DivergenceOptions& o, size_t teachers, float lse_student,
             float lse_teacher)
      : student(s),
        teacher(t),
        scale_s(static_cast<float>(1 / o.temperature)),
        scale_t(static_cast<float>(1 / (o.temperature * static_cast<double>(teachers)))),
        lse_s(lse_student),
        lse_t(lse_teacher) {}
  Pair operator()(int64_t i, int64_t n) const {
    Pair p;
    p.s = vec::load(student + i, n) * scale_s - lse_s;
    p.t = vec::load(teacher + i, n) * scale_t - lse_t;
    p.ps = p.s.exp_u20();
    p.pt = p.t.exp_u20();
    return p;
  }
};

// log of (1 - beta) S + beta T. Where both underflow, both weigh nothing: any finite number will do.
struct Mixture {
  Floats student, teacher, least;
  explicit Mixture(double beta)
      : student(static_cast<float>(1 - beta)),
        teacher(static_cast<float>(beta)),
        least(std::numeric_limits<float>::min()) {}
  Floats operator()(const Pair& p) const {
    return at::vec::maximum(student * p.ps + teacher * p.pt, least).log();
  }
};

float divergence_row(const PairLoader& load, int64_t vocab, double beta, float& reverse) {
  if (beta == 0) {
    return vec::sum_over(vocab, [&](int64_t i, int64_t n) {
      const Pair p = load(i, n);
      return p.pt * (p.t - p.s);
    });
  }
  if (beta == 1) {
    reverse = vec::sum_over(vocab, [&](int64_t i, int64_t n) {
      const Pair p = load(i, n);
      return p.ps * (p.s - p.t);
    });
    return reverse;
  }
  const Mixture mixture(beta);
  double forward = 0, backward = 0;
  constexpr int64_t kBlock = 64 * vec::kWidth;  // as vec::sum_over sums
  for (int64_t first = 0; first < vocab; first += kBlock) {
    Floats f(0.0f), b(0.0f);
    vec::for_each(std::min(kBlock, vocab - first), [&](int64_t i, int64_t n) {
      const Pair p = load(first + i, n);
      const Floats m = mixture(p);
      f = Floats::set(f, f + p.pt * (p.t - m), n);  // lanes beyond n stay what they were
      b = Floats::set(b, b + p.ps * (p.s - m), n);
    });
    forward += vec::sum(f);
    backward += vec::sum(b);
  }
  reverse = static_cast<float>(backward);
  return static_cast<float>(beta * forward + (1 - beta) * backward);
}

// The gradient of a row's student logits without the part of the target token; g and g_nll are those of the
// divergence and of the nll. For the divergence forward KL gives (S - T) / temperature, the others
// (1 - beta) S (log S - log M - KL(S || M)) / temperature, where for beta 1 M is T and the factor 1.
template <typename T>
void gradient_row(const PairLoader& load, int64_t vocab, const DivergenceOptions& o, float g, float g_nll,
                  float lse_plain, float reverse, T* out) {
  const double factor = (o.beta > 0 && o.beta < 1 ? 1 - o.beta : 1) / o.temperature;
  const Floats scale(static_cast<float>(g * factor)), kl(reverse), nll(g_nll), plain(lse_plain);
  const Mixture mixture(o.beta);
  vec::for_each(vocab, [&](int64_t i, int64_t n) {
    Floats d(0.0f);
    if (g != 0) {
      const Pair p = load(i, n);
      d = o.beta == 0 ? p.ps - p.pt : p.ps * (p.s - (o.beta == 1 ? p.t : mixture(p)) - kl);
      d = d * scale;
    }
    if (g_nll != 0) d = d + (vec::load(load.student + i, n) - plain).exp_u20() * nll;
    vec::store(out + i, d, n);
  });
}

template <typename T>
void run_backward(const Student& student, const std::vector<TeacherStates>& teachers, const Tensor& token,
                  const Tensor& source, const Rows& rows, const Tensor& grad, const Tensor& grad_nll,
                  const DivergenceOptions& o, Tensor& dhidden, Tensor& dhead) {
  const int64_t vocab = student.head.size(0), width = student.head.size(1);
  const int64_t* tokens = token.const_data_ptr<int64_t>();
  const auto at = [](const Tensor& t, int64_t m) { return t.const_data_ptr<float>()[m]; };
  Tensor drows = at::empty({source.size(0), width}, at::kFloat), dlogits;
  for_each_chunk(
      student, teachers, source, o.chunk_rows,
      [&](int64_t first, int64_t n, const Tensor& h, const float* s, const float* t) {
        if (!dlogits.defined()) dlogits = at::empty({n, vocab}, student.hidden.options());
        T* d = dlogits.mutable_data_ptr<T>();
        at::parallel_for(0, n, 1, [&](int64_t begin, int64_t end) {
          for (int64_t r = begin; r < end; ++r) {
            const int64_t m = first + r;
            const PairLoader load(s + r * vocab, t + r * vocab, o, teachers.size(), at(rows.lse_student, m),
                                  at(rows.lse_teacher, m));
            T* row = d + r * vocab;
            const float g_nll = at(grad_nll, m);
            gradient_row(load, vocab, o, at(grad, m), g_nll, at(rows.lse_plain, m), at(rows.reverse, m), row);
            row[tokens[m]] = static_cast<T>(static_cast<float>(row[tokens[m]]) - g_nll);
            law_backward(o.law, s + r * vocab, vocab, row);
          }
        });
        logits_backward(d, h.const_data_ptr<T>(), student.head.const_data_ptr<T>(), n, width, vocab,
                        dhidden.defined() ? drows.mutable_data_ptr<float>() + first * width : nullptr,
                        dhead.defined() ? dhead.mutable_data_ptr<float>() : nullptr);
      });
  if (dhidden.defined()) add_rows(dhidden, source, drows);
}

struct Divergence : Function<Divergence> {
  static variable_list forward(AutogradContext* ctx, const Tensor& hidden, const Tensor& head,
                               const Tensor& head_master, const Targets* targets,
                               const std::vector<TeacherStates>* teachers, const DivergenceOptions* options) {
    const DivergenceOptions& o = *options;
    const Tensor &token = targets->token, &source = targets->source;
    if (!hidden.is_cpu()) {
      const auto f = on_device::divergence_forward(hidden, head, *teachers, token, source, o);
      keep(ctx, hidden, head, head_master, token, source, Rows(f.reverse), *teachers, o);
      ctx->mark_non_differentiable({f.teacher_nll});
      return {f.divergence, f.nll, f.teacher_nll};
    }
    const int64_t all = source.size(0), vocab = head.size(0);
    Rows rows(all);
    Tensor distance = at::empty({all}, at::kFloat), nll = at::empty({all}, at::kFloat),
           teacher_nll = at::empty({all}, at::kFloat);
    const int64_t* tokens = token.const_data_ptr<int64_t>();
    const auto scale_s = static_cast<float>(1 / o.temperature),
               scale_t = static_cast<float>(1 / (o.temperature * static_cast<double>(teachers->size())));
    for_each_chunk(
        {hidden, head, o.law}, *teachers, source, o.chunk_rows,
        [&](int64_t first, int64_t n, const Tensor&, const float* s, const float* t) {
          at::parallel_for(0, n, 1, [&](int64_t begin, int64_t end) {
            const auto at = [](Tensor& x, int64_t m) -> float& { return x.mutable_data_ptr<float>()[m]; };
            for (int64_t r = begin; r < end; ++r) {
              const int64_t m = first + r;
              const float *zs = s + r * vocab, *zt = t + r * vocab;
              at(rows.lse_student, m) = log_sum_exp(zs, vocab, scale_s);
              at(rows.lse_teacher, m) = log_sum_exp(zt, vocab, scale_t);
              at(rows.lse_plain, m) = o.temperature == 1.0 ? at(rows.lse_student, m) : log_sum_exp(zs, vocab);
              at(distance, m) = divergence_row(
                  PairLoader(zs, zt, o, teachers->size(), at(rows.lse_student, m), at(rows.lse_teacher, m)),
                  vocab, o.beta, at(rows.reverse, m));
              at(nll, m) = at(rows.lse_plain, m) - zs[tokens[m]];
              const float mean = 1.0f / static_cast<float>(teachers->size());
              at(teacher_nll, m) =
                  (o.temperature == 1.0 ? at(rows.lse_teacher, m) : log_sum_exp(zt, vocab, mean)) -
                  zt[tokens[m]] * mean;
            }
          });
        });
    keep(ctx, hidden, head, head_master, token, source, rows, *teachers, o);
    ctx->mark_non_differentiable({teacher_nll});
    return {distance, nll, teacher_nll};
  }

  static void keep(AutogradContext* ctx, const Tensor& hidden, const Tensor& head, const Tensor& head_master,
                   const Tensor& token, const Tensor& source, const Rows& rows,
                   const std::vector<TeacherStates>& teachers, const DivergenceOptions& o) {
    ctx->saved_data["beta"] = o.beta;
    ctx->saved_data["temperature"] = o.temperature;
    ctx->saved_data["chunk_rows"] = o.chunk_rows;
    std::vector<double> laws = {o.law.scale, o.law.softcap};
    for (const TeacherStates& t : teachers) laws.insert(laws.end(), {t.law.scale, t.law.softcap});
    ctx->saved_data["laws"] = laws;
    ctx->saved_data["master_dtype"] = static_cast<int64_t>(head_master.scalar_type());
    variable_list saved = {hidden, head, token, source};
    for (const Tensor& t : rows.list()) saved.push_back(t);
    for (const TeacherStates& teacher : teachers) {
      saved.push_back(teacher.hidden);
      saved.push_back(teacher.head);
    }
    ctx->save_for_backward(saved);
  }

  static variable_list backward(AutogradContext* ctx, variable_list grads) {
    const variable_list saved = ctx->get_saved_variables();
    DivergenceOptions o;
    o.beta = ctx->saved_data["beta"].toDouble();
    o.temperature = ctx->saved_data["temperature"].toDouble();
    o.chunk_rows = ctx->saved_data["chunk_rows"].toInt();
    const std::vector<double> laws = ctx->saved_data["laws"].toDoubleVector();
    o.law = {laws[0], laws[1]};
    const Student student{saved[0], saved[1], o.law};
    const Rows rows(variable_list(saved.begin() + 4, saved.begin() + 8));
    std::vector<TeacherStates> teachers;
    for (size_t i = 8; i < saved.size(); i += 2)
      teachers.push_back({saved[i], saved[i + 1], {laws[i - 6], laws[i - 5]}});
    const auto gradient = [&](size_t i) {
      return grads[i].defined() ? grads[i].contiguous() : at::zeros_like(rows.reverse);
    };
    Tensor dhidden, dhead;
    const auto floats = student.hidden.options().dtype(at::kFloat);
    if (ctx->needs_input_grad(0)) dhidden = at::zeros(student.hidden.sizes(), floats);
    if (ctx->needs_input_grad(2)) dhead = at::zeros(student.head.sizes(), floats);
    if (!student.hidden.is_cpu()) {
      on_device::divergence_backward(student.hidden, student.head, teachers, saved[2], saved[3], rows.reverse,
                                     gradient(0), gradient(1), o, dhidden, dhead);
    } else {
      dispatch(student.hidden.scalar_type(), "divergence", [&](auto zero) {
        run_backward<decltype(zero)>(student, teachers, saved[2], saved[3], rows, gradient(0), gradient(1), o,
                                     dhidden, dhead);
      });
    }
    if (dhidden.defined()) dhidden = dhidden.to(student.hidden.scalar_type());
    if (dhead.defined())
      dhead = dhead.to(static_cast<at::ScalarType>(ctx->saved_data["master_dtype"].toInt()));
    return {dhidden, Tensor(), dhead, Tensor(), Tensor(), Tensor()};
  }
};

}  // namespace

DivergenceResult divergence(const Tensor& hidden, const Tensor& head, const Tensor& head_master,
                            const std::vector<TeacherStates>& teachers, const Targets& targets,
                            const DivergenceOptions& options) {
  if (teachers.empty()) bug("divergence: no teacher");
  if (!has_kernel(hidden)) bug("divergence: the kernels are for fp32 and bf16");
  std::vector<TeacherStates> frozen;
  for (const TeacherStates& t : teachers) {
    if (t.head.size(0) != head.size(0))
      bug("divergence: vocabularies of {} and {} tokens", head.size(0), t.head.size(0));
    frozen.push_back({t.hidden.detach().contiguous(), t.head.detach(), t.law});
  }
  const variable_list out =
      Divergence::apply(hidden.contiguous(), head.detach(), head_master, &targets, &frozen, &options);
  return {out[0], out[1], out[2]};
}

}  // namespace temper
