// What selective_logp, gather_logp and divergence compute on an accelerator: chunks of logits as on the CPU,
// by whole-tensor operations. [rows, V] exists a few times over, for one chunk.
#pragma once

#include <ATen/core/Tensor.h>

#include <vector>

#include "tensor/divergence.h"
#include "tensor/logp_parts.h"

namespace temper::on_device {

LogpForward logp_forward(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& token,
                         const at::Tensor& source, const LogpOptions& options);
// Adds to dhidden and dhead (fp32; undefined: not wanted).
void logp_backward(const at::Tensor& hidden, const at::Tensor& head, const LogpBackward& backward,
                   const LogpOptions& options, at::Tensor& dhidden, at::Tensor& dhead);

// [R, draws] log-probs of token [R, draws].
at::Tensor gather_logp_forward(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& source,
                               const at::Tensor& token, const LogitsLaw& law, int64_t chunk_rows);
void gather_logp_backward(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& source,
                          const at::Tensor& token, const at::Tensor& grad, const LogitsLaw& law,
                          int64_t chunk_rows, at::Tensor& dhidden, at::Tensor& dhead);

struct DivergenceForward {
  at::Tensor divergence, nll, teacher_nll;  // [M] fp32
  at::Tensor reverse;                       // [M] fp32: KL(S || M), kept for backward
};
DivergenceForward divergence_forward(const at::Tensor& hidden, const at::Tensor& head,
                                     const std::vector<TeacherStates>& teachers, const at::Tensor& token,
                                     const at::Tensor& source, const DivergenceOptions& options);
void divergence_backward(const at::Tensor& hidden, const at::Tensor& head,
                         const std::vector<TeacherStates>& teachers, const at::Tensor& token,
                         const at::Tensor& source, const at::Tensor& reverse, const at::Tensor& grad,
                         const at::Tensor& grad_nll, const DivergenceOptions& options, at::Tensor& dhidden,
                         at::Tensor& dhead);

}  // namespace temper::on_device
