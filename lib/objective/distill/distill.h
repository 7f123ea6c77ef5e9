// Distillation losses: pure functions of logits, chunk by chunk. formulas/distillation.md.
#pragma once

#include <ATen/core/Tensor.h>

#include <memory>
#include <string>
#include <vector>

#include "base/fields.h"
#include "tensor/divergence.h"

namespace temper::objective {

// A row's loss: (1 - ce_weight) s D(student, teacher) + ce_weight (-log p_student(target)), s 1 or
// temperature^2. D is the generalised Jensen-Shannon divergence of softmax(logits / temperature): with M = (1
// - beta) S + beta T,
//   beta KL(T || M) + (1 - beta) KL(S || M);  beta 0: KL(T || S), forward;  beta 1: KL(S || T), reverse.
// Where a loss finds the teacher's distribution: the teachers themselves, a file of drawn tokens, or the
// teachers on the student's own samples alone.
enum class DistillSource { kTeachers, kCache, kOwnSamples };

struct DistillOptions : Fields {
  double beta = 0.5;
  double temperature = 1.0;
  bool scale_by_temperature = false;  // times temperature^2, which keeps the size of the gradient
  double ce_weight = 0.0;             // cross entropy with the data's own tokens, at temperature 1
  void fields(FieldVisitor& v) override;
  virtual DistillSource source() const { return DistillSource::kTeachers; }

  // student [R, V], requires grad in training; teacher [R, V]; target [R] int64, only when ce_weight > 0 ->
  // [R].
  at::Tensor operator()(const at::Tensor& student, const at::Tensor& teacher,
                        const at::Tensor& target = {}) const;
  // The row's loss of its parts, D and -log p_student(target). nll may be undefined when ce_weight is 0.
  at::Tensor combine(const at::Tensor& divergence, const at::Tensor& nll) const;
  // D alone, [R].
  at::Tensor divergence(const at::Tensor& student, const at::Tensor& teacher) const;
};

// Random-sampling distillation: beta 0 with the teacher's distribution given by drawn tokens.
struct SampledOptions : DistillOptions {
  SampledOptions() { beta = 0; }
  void fields(FieldVisitor& v) override;
  DistillSource source() const override { return DistillSource::kCache; }
};

// MiniLLM, arXiv 2306.08543: the gradient of the reverse KL of whole answers, on the student's own samples. A
// token's reward is r_t = log p_teacher - log p_student. With single_step the part of r_t itself is exact, by
// the reverse KL over the vocabulary, and the advantage is what follows: A_t = sum over k > t of
// gamma^(k-t-1) r_k, divided by the sum of the gammas when normalise_length. Without it A_t begins with r_t.
// Departures from the paper: one update a batch of samples, hence no clipped ratio; no samples mixed with the
// teacher's; no loss on a corpus of plain text.
struct MiniLlmOptions : DistillOptions {
  double gamma = 1.0;
  bool normalise_length = true, single_step = true;
  MiniLlmOptions() { beta = 1; }
  void fields(FieldVisitor& v) override;
  DistillSource source() const override { return DistillSource::kOwnSamples; }
  // Log-probs [M] of the sampled tokens, sequence [M] ascending -> [M], detached.
  at::Tensor advantage(const at::Tensor& logp_student, const at::Tensor& logp_teacher,
                       const at::Tensor& sequence) const;
};

const Registry<DistillOptions>& distill_registry();

// The parts of a loss from hidden states: on the CPU by the fused kernel, which never holds more than a chunk
// of logits; on other devices by the dense formula. law: of the student. Shapes as in tensor/divergence.h.
DivergenceResult distill_parts(const DistillOptions& options, const at::Tensor& hidden,
                               const at::Tensor& head, const at::Tensor& head_master, const LogitsLaw& law,
                               const std::vector<TeacherStates>& teachers, const Targets& targets);

// -log softmax(logits)[target]: logits [R, V], target [R] int64 -> [R].
at::Tensor nll_rows(const at::Tensor& logits, const at::Tensor& target);

// Several teachers of one vocabulary become one: the mean of their logits. Throws UserError when shapes
// differ.
at::Tensor mean_logits(const std::vector<at::Tensor>& teachers);

// Random-sampling distillation: the teacher's distribution is given by counts of drawn tokens, and the loss
// is the cross entropy with it. logp [R, D] of the student at the drawn tokens; weight [R, D], counts over
// their sum (0 where a row drew fewer distinct tokens) -> [R].
at::Tensor sampled_cross_entropy(const at::Tensor& logp, const at::Tensor& weight);

// MiniLLM's reward of each token of a student's own sample: logp_teacher - logp_student, [M].
at::Tensor reverse_kl_advantage(const at::Tensor& logp_student, const at::Tensor& logp_teacher);

}  // namespace temper::objective
