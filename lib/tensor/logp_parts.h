// What the CPU's and the accelerators' forms of selective_logp share.
#pragma once

#include <ATen/core/Tensor.h>

#include "tensor/logp.h"

namespace temper {

struct LogpForward {
  at::Tensor logp;  // [M]; those below undefined unless asked for
  at::Tensor lse;   // [M], of the CPU's form alone
  at::Tensor entropy, log_sum_squares, top_logp, top_token, mean_logp, cosine;
  at::Tensor dhidden_rows, dhead;  // see LogpEarly
};

// What forward computes of backward while the logits are there, so that they are not made twice. The gradient
// of a log-prob's hidden row is a number, that of the log-prob, times a row that is known with the logits, so
// a frozen head needs nothing else: dhidden_rows [M, H] are these rows. With LogpOptions::expected they are
// multiplied already, and the head's gradient dhead [V, H] is their sum too.
struct LogpEarly {
  bool hidden = false, head = false;
  bool any() const { return hidden || head; }
};

// What backward needs of forward, and the gradients of the outputs: undefined where there is none.
struct LogpBackward {
  at::Tensor token, source, lse, top_token, cosine, entropy;
  at::Tensor dlogp, dtop, dmean, dcosine, dentropy;
  // Those targets alone that have a gradient: the others (advantage 0, masked out) cost nothing.
  LogpBackward live() const;
};

namespace on_cpu {
LogpForward logp_forward(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& token,
                         const at::Tensor& source, const LogpOptions& options, const LogpEarly& early);
// Adds to dhidden and dhead (fp32; undefined: not wanted).
void logp_backward(const at::Tensor& hidden, const at::Tensor& head, const LogpBackward& backward,
                   const LogpOptions& options, at::Tensor& dhidden, at::Tensor& dhead);
}  // namespace on_cpu

}  // namespace temper
