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
struct DistillOptions : Fields {
  double beta = 0.5;
  double temperature = 1.0;
  bool scale_by_temperature = false;  // times temperature^2, which keeps the size of the gradient
  double ce_weight = 0.0;             // cross entropy with the data's own tokens, at temperature 1
  void fields(FieldVisitor& v) override;

  // student [R, V], requires grad in training; teacher [R, V]; target [R] int64, only when ce_weight > 0 ->
  // [R].
  at::Tensor operator()(const at::Tensor& student, const at::Tensor& teacher,
                        const at::Tensor& target = {}) const;
  // The row's loss of its parts, D and -log p_student(target). nll may be undefined when ce_weight is 0.
  at::Tensor combine(const at::Tensor& divergence, const at::Tensor& nll) const;
  // D alone, [R].
  at::Tensor divergence(const at::Tensor& student, const at::Tensor& teacher) const;
};
const Registry<DistillOptions>& distill_registry();

// The parts of a loss from hidden states: on the CPU by the fused kernel, which never holds more than a chunk
// of logits; on other devices by the dense formula. Shapes as in tensor/divergence.h.
DivergenceResult distill_parts(const DistillOptions& options, const at::Tensor& hidden,
                               const at::Tensor& head, const at::Tensor& head_master,
                               const std::vector<TeacherStates>& teachers, const Targets& targets);

// Several teachers of one vocabulary become one: the mean of their logits. Throws UserError when shapes
// differ.
at::Tensor mean_logits(const std::vector<at::Tensor>& teachers);

// Random-sampling distillation: the teacher's distribution is given by counts of drawn tokens, and the loss
// is the cross entropy with it. logp [R, D] of the student at the drawn tokens; weight [R, D], counts over
// their sum (0 where a row drew fewer distinct tokens) -> [R].
at::Tensor sampled_cross_entropy(const at::Tensor& logp, const at::Tensor& weight);

// MiniLLM's advantage of each token of a student's own sample, for a policy objective: logp_teacher -
// logp_student, [M].
at::Tensor reverse_kl_advantage(const at::Tensor& logp_student, const at::Tensor& logp_teacher);

}  // namespace temper::objective
