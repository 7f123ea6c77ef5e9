// The fused kernel over hidden states against DistillOptions on dense logits: values and gradients.
#include "tensor/divergence.h"

#include <ATen/ATen.h>
#include <torch/csrc/autograd/autograd.h>

#include "objective/distill/distill.h"
#include "test.h"

namespace temper::objective {
namespace {

using at::Tensor;

constexpr int64_t kTokens = 11, kVocab = 75;  // no multiple of a vector's width

Tensor random(at::IntArrayRef shape, double scale, at::ScalarType type = at::kFloat) {
  static at::Generator generator = at::detail::createCPUGenerator(11);
  return (at::randn(shape, generator, at::kFloat) * scale).to(type);
}

struct Case {
  Tensor hidden, head;  // the student's, as the compute dtype holds them
  std::vector<TeacherStates> teachers;
  Targets targets;
};

Case draw(int64_t teachers, at::ScalarType type) {
  Case c;
  c.hidden = random({kTokens, 24}, 1, type);
  c.head = random({kVocab, 24}, 0.5, type);
  for (int64_t i = 0; i < teachers; ++i)
    c.teachers.push_back({random({kTokens, 16 + 8 * i}, 1, type), random({kVocab, 16 + 8 * i}, 0.7, type)});
  c.targets.source = at::tensor({0, 1, 2, 2, 5, 9, 10}, at::kLong);  // a shared row counts twice
  c.targets.token = at::tensor({3, 74, 0, 9, 41, 7, 7}, at::kLong);
  return c;
}

struct Outcome {
  Tensor divergence, nll, teacher_nll, dhidden, dhead;
};

// The parts and the gradients of sum(a divergence + b nll). The head is trained as fp32 masters are.
Outcome outcome_of(const Case& c,
                   const std::function<DivergenceResult(const Tensor&, const Tensor&)>& parts) {
  const Tensor hidden = c.hidden.clone().requires_grad_(), master = c.head.to(at::kFloat).requires_grad_();
  const DivergenceResult r = parts(hidden, master);
  const Tensor a = at::linspace(0.5, 2, 7), b = at::linspace(-1, 1, 7);  // one token's nll has no gradient
  torch::autograd::backward({(a * r.divergence + b * r.nll).sum()}, {});
  return {r.divergence.detach(), r.nll.detach(), r.teacher_nll, hidden.grad(), master.grad()};
}

Outcome fused(const Case& c, const DivergenceOptions& o) {
  return outcome_of(c, [&](const Tensor& hidden, const Tensor& master) {
    return divergence(hidden, c.head, master, c.teachers, c.targets, o);
  });
}

Tensor lawful(const Tensor& z, const LogitsLaw& law) {
  return law.softcap > 0 ? at::tanh(z * law.scale / law.softcap) * law.softcap : z * law.scale;
}

Outcome dense(const Case& c, double beta, double temperature, const LogitsLaw& law = {}) {
  return outcome_of(c, [&](const Tensor& hidden, const Tensor& master) {
    const auto rows = [&](const Tensor& h) { return h.to(at::kDouble).index_select(0, c.targets.source); };
    const Tensor student = lawful(at::matmul(rows(hidden), master.to(at::kDouble).t()), law);
    std::vector<Tensor> all;
    for (const TeacherStates& t : c.teachers)
      all.push_back(lawful(at::matmul(rows(t.hidden), t.head.to(at::kDouble).t()), t.law));
    DistillOptions o;
    o.beta = beta;
    o.temperature = temperature;
    DistillOptions plain;  // its cross entropy is the nll
    plain.ce_weight = 1;
    const Tensor teacher = mean_logits(all);
    return DivergenceResult{o(student, teacher), plain(student, teacher, c.targets.token),
                            plain(teacher, teacher, c.targets.token)};
  });
}

void compare(const Outcome& a, const Outcome& b, double values, double gradients) {
  const auto worst = [](const Tensor& x, const Tensor& y) {
    REQUIRE(x.sizes() == y.sizes());
    return (x.to(at::kDouble) - y.to(at::kDouble)).abs().max().item<double>() /
           std::max(1.0, y.abs().max().item<double>());
  };
  CHECK(worst(a.divergence, b.divergence) < values);
  CHECK(worst(a.nll, b.nll) < values);
  CHECK(worst(a.teacher_nll, b.teacher_nll) < values);
  CHECK(worst(a.dhidden, b.dhidden) < gradients);
  CHECK(worst(a.dhead, b.dhead) < gradients);
}

}  // namespace

TEST_CASE("the fused divergence is the formula on dense logits, for any beta, temperature and teachers") {
  for (const int64_t teachers : {1, 3}) {
    for (const double beta : {0.0, 0.1, 0.5, 0.9, 1.0}) {
      for (const double temperature : {1.0, 0.6, 2.0}) {
        CAPTURE(teachers);
        CAPTURE(beta);
        CAPTURE(temperature);
        const Case c = draw(teachers, at::kFloat), half = draw(teachers, at::kBFloat16);
        compare(fused(c, {beta, temperature}), dense(c, beta, temperature), 5e-6, 5e-6);
        compare(fused(half, {beta, temperature}), dense(half, beta, temperature), 5e-6, 1.5e-2);
        // Scaled and capped logits, the last teacher's too.
        Case capped = c;
        capped.teachers.back().law = {0.7, 3.0};
        const LogitsLaw law{0.5, 2.0};
        compare(fused(capped, {beta, temperature, 3, law}), dense(capped, beta, temperature, law), 5e-6,
                5e-6);
      }
    }
  }
}

TEST_CASE("the fused divergence does not depend on its chunks, and is 0 between equals") {
  const Case c = draw(2, at::kFloat);
  const Outcome whole = fused(c, {0.5, 1.0});
  for (const int64_t rows : {1, 3, 7, 100}) {
    const Outcome cut = fused(c, {0.5, 1.0, rows});
    compare(cut, whole, 1e-6, 1e-6);
  }
  Case same = c;
  same.teachers = {{c.hidden, c.head}};
  for (const double beta : {0.0, 0.3, 1.0}) {
    const Outcome o = fused(same, {beta, 1.0});
    CHECK(o.divergence.abs().max().item<double>() < 1e-6);
  }
}

TEST_CASE("the fused divergence stays finite where probabilities underflow") {
  Case c = draw(1, at::kFloat);
  // One row where every logit is far below 0.
  c.hidden[9] = 30;
  c.head.select(1, 0) -= 20;
  c.hidden = c.hidden * 300;
  c.teachers[0].hidden = c.teachers[0].hidden * -300;
  for (const double beta : {0.0, 0.5, 1.0}) {
    CAPTURE(beta);
    const Outcome o = fused(c, {beta, 1.0});
    CHECK(o.divergence.isfinite().all().item<bool>());
    CHECK(o.dhidden.isfinite().all().item<bool>());
    CHECK(o.dhead.isfinite().all().item<bool>());
    // The Jensen-Shannon divergence is bounded by the entropy of the mixture's weights.
    if (beta == 0.5) CHECK(o.divergence.max().item<double>() <= std::log(2.0) + 1e-5);
  }
}

}  // namespace temper::objective
