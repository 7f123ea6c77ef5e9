// Log-probs of chosen tokens without ever holding [tokens, vocabulary]: chunks of rows, each recomputed in
// backward.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "tensor/logits_law.h"
#include "tensor/packed.h"

namespace temper {

struct LogpOptions {
  LogitsLaw law = {};             // of the model
  double temperature = 1.0;       // logits are divided by it
  bool entropy = false;           // [M] entropy of the full distribution in nats, detached ...
  bool entropy_gradient = false;  // ... or differentiable; read with `entropy`
  bool log_sum_squares = false;   // [M] log of the sum of p(v)^2 over the vocabulary, detached
  int64_t top_k = 0;       // also the k largest log-probs and their ids, [M, k], differentiable / int64
  bool mean_logp = false;  // [M] mean over the vocabulary of the log-probs, differentiable
  // [M] sum over the vocabulary of p_v cos(E_v, E_target), E the rows of the head; differentiable through p,
  // never through the head's part in the cosine. Costs a second product of the head's size.
  bool cosine = false;
  // [M] fp32: the gradient that each log-prob is going to get, where the loss's derivative is known
  // beforehand. A promise that is not kept costs time alone. The CPU's form computes gradients with it as
  // soon as logits are there, and saves their second product.
  at::Tensor expected;
  int64_t chunk_rows = 0;  // rows of logits at a time; 0: chosen so that a chunk fits the cache
};

struct LogpResult {
  at::Tensor logp;                 // [M] fp32
  at::Tensor entropy;              // [M] fp32 or undefined
  at::Tensor log_sum_squares;      // [M] fp32 or undefined
  at::Tensor top_logp, top_token;  // [M, k] or undefined
  at::Tensor mean_logp, cosine;    // [M] fp32 or undefined
};

// hidden [N, H]; head [V, H] in the compute dtype, head_master receives the gradient (fp32) when it requires
// one.
LogpResult selective_logp(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& head_master,
                          const Targets& targets, const LogpOptions& options = {});

namespace reference {
// The plain formula: whole logits, log_softmax, gather.
LogpResult selective_logp(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& head_master,
                          const Targets& targets, const LogpOptions& options = {});
}  // namespace reference

}  // namespace temper
