// A student's distance from its teachers, token by token, without ever holding [tokens, vocabulary]: chunks
// of rows, each recomputed in backward.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "tensor/logits_law.h"
#include "tensor/packed.h"

namespace temper {

// What a frozen teacher says of the student's tokens. Widths may differ from the student's, V not.
struct TeacherStates {
  at::Tensor hidden;  // [N, H_t]
  at::Tensor head;    // [V, H_t], of hidden's type
  LogitsLaw law = {};
};

struct DivergenceOptions {
  double beta = 0.5;         // 0: KL(T || S), 1: KL(S || T), between: generalised Jensen-Shannon
  double temperature = 1.0;  // of both distributions in the divergence
  int64_t chunk_rows = 0;    // rows of logits at a time; 0: chosen so that a chunk fits the cache
  LogitsLaw law = {};        // of the student
};

struct DivergenceResult {
  at::Tensor divergence;   // [M] fp32, differentiable
  at::Tensor nll;          // [M] fp32, -log p_student(token) at temperature 1, differentiable
  at::Tensor teacher_nll;  // [M] fp32, the teachers' at temperature 1
};

// The formula is objective::DistillOptions on dense logits, the teachers' being their mean. hidden [N, H] and
// head [V, H] are the student's in the compute dtype; head_master receives the head's gradient (fp32) when it
// requires one. In fp32 or bf16.
DivergenceResult divergence(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& head_master,
                            const std::vector<TeacherStates>& teachers, const Targets& targets,
                            const DivergenceOptions& options);

}  // namespace temper
