#include "objective/distill/distill.h"

#include <cmath>

#include "base/error.h"

namespace temper::objective {

void DistillOptions::fields(FieldVisitor& v) {
  v.field("beta", beta,
          {.help = "0: forward KL, 1: reverse KL, between: generalised Jensen-Shannon", .min = 0, .max = 1});
  v.field("temperature", temperature, {.help = "of both distributions", .min = 1e-3});
  v.field("scale_by_temperature", scale_by_temperature, {.help = "multiply the divergence by temperature^2"});
  v.field("ce_weight", ce_weight,
          {.help = "share of the cross entropy with the data's own tokens", .min = 0, .max = 1});
}

void SampledOptions::fields(FieldVisitor& v) {
  v.field("ce_weight", ce_weight,
          {.help = "share of the cross entropy with the data's own tokens", .min = 0, .max = 1});
}

void MiniLlmOptions::fields(FieldVisitor& v) {
  v.field("gamma", gamma, {.help = "discount of the rewards of later tokens", .min = 0, .max = 1});
  v.field("normalise_length", normalise_length, {.help = "mean instead of sum of the later tokens' rewards"});
  v.field("single_step", single_step,
          {.help = "a token's own part is the reverse KL over the vocabulary instead of its sampled value"});
}

at::Tensor MiniLlmOptions::advantage(const at::Tensor& logp_student, const at::Tensor& logp_teacher,
                                     const at::Tensor& sequence) const {
  const at::Tensor reward =
      reverse_kl_advantage(logp_student, logp_teacher).cpu().to(at::kDouble).contiguous();
  const at::Tensor order = sequence.cpu();
  const double* r = reward.const_data_ptr<double>();
  const int64_t* of = order.const_data_ptr<int64_t>();
  const auto tokens = static_cast<size_t>(reward.size(0));
  std::vector<double> out(tokens);
  double sum = 0, weight = 0;  // of the tokens after t
  for (size_t t = tokens; t-- > 0;) {
    if (t + 1 == tokens || of[t + 1] != of[t]) sum = weight = 0;
    const double sum_with = r[t] + gamma * sum, weight_with = 1 + gamma * weight;
    const double a = single_step ? sum : sum_with, n = single_step ? weight : weight_with;
    out[t] = normalise_length && n > 0 ? a / n : a;
    sum = sum_with;
    weight = weight_with;
  }
  return at::tensor(out, at::kDouble).to(logp_student.options());
}

namespace {

// KL(p || q) of rows of log-probs. A token that p excludes (log-prob -inf) adds nothing.
at::Tensor kl_rows(const at::Tensor& log_p, const at::Tensor& log_q) {
  const at::Tensor term = log_p.exp() * (log_p - log_q);
  return at::where(log_p.isneginf(), at::zeros_like(term), term).sum(-1);
}

}  // namespace

at::Tensor nll_rows(const at::Tensor& logits, const at::Tensor& target) {
  return -at::log_softmax(logits, -1).gather(-1, target.unsqueeze(-1)).squeeze(-1);
}

at::Tensor DistillOptions::divergence(const at::Tensor& student, const at::Tensor& teacher) const {
  if (student.sizes() != teacher.sizes()) {
    user_error(
        "distillation: the student's vocabulary has {} tokens, the teacher's {}; both need the same "
        "tokenizer",
        student.size(-1), teacher.size(-1));
  }
  const at::Tensor s = at::log_softmax(student / temperature, -1),
                   t = at::log_softmax(teacher / temperature, -1);
  if (beta == 0) return kl_rows(t, s);
  if (beta == 1) return kl_rows(s, t);
  const at::Tensor m = at::logaddexp(s + std::log1p(-beta), t + std::log(beta));
  return beta * kl_rows(t, m) + (1 - beta) * kl_rows(s, m);
}

at::Tensor DistillOptions::combine(const at::Tensor& divergence, const at::Tensor& nll) const {
  const double scale = scale_by_temperature ? temperature * temperature : 1;
  if (ce_weight == 0) return scale * divergence;
  if (!nll.defined()) bug("distillation: ce_weight needs targets");
  return (1 - ce_weight) * scale * divergence + ce_weight * nll;
}

at::Tensor DistillOptions::operator()(const at::Tensor& student, const at::Tensor& teacher,
                                      const at::Tensor& target) const {
  at::Tensor nll;
  if (target.defined()) nll = nll_rows(student, target);
  return combine(divergence(student, teacher), nll);
}

DivergenceResult distill_parts(const DistillOptions& options, const at::Tensor& hidden,
                               const at::Tensor& head, const at::Tensor& head_master, const LogitsLaw& law,
                               const std::vector<TeacherStates>& teachers, const Targets& targets) {
  DivergenceOptions o;
  o.law = law;
  o.beta = options.beta;
  o.temperature = options.temperature;
  return divergence(hidden, head, head_master, teachers, targets, o);
}

at::Tensor mean_logits(const std::vector<at::Tensor>& teachers) {
  if (teachers.empty()) bug("distillation: no teacher");
  for (const at::Tensor& teacher : teachers) {
    if (teacher.sizes() != teachers.front().sizes()) {
      user_error("distillation: teachers have vocabularies of {} and {} tokens; all need the same tokenizer",
                 teachers.front().size(-1), teacher.size(-1));
    }
  }
  return at::stack(teachers).mean(0);
}

at::Tensor sampled_cross_entropy(const at::Tensor& logp, const at::Tensor& weight) {
  return -(weight * logp).sum(-1);
}

at::Tensor reverse_kl_advantage(const at::Tensor& logp_student, const at::Tensor& logp_teacher) {
  return (logp_teacher - logp_student).detach();
}

}  // namespace temper::objective
