// Log-probs of several chosen tokens at each position, without ever holding [positions, vocabulary]: chunks
// of rows, each recomputed in backward.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

#include "tensor/logits_law.h"

namespace temper {

// source [M] int64: rows of hidden; token [M, D] int64 -> [M, D] fp32 of softmax(law(head hidden[source])).
// hidden [N, H]; head [V, H] in the compute dtype, head_master receives the gradient (fp32) when it requires
// one. chunk_rows: rows of logits at a time; 0: chosen so that a chunk fits the cache.
at::Tensor gather_logp(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& head_master,
                       const at::Tensor& source, const at::Tensor& token, const LogitsLaw& law = {},
                       int64_t chunk_rows = 0);

namespace reference {
// The plain formula: whole logits, log_softmax, gather.
at::Tensor gather_logp(const at::Tensor& hidden, const at::Tensor& head, const at::Tensor& head_master,
                       const at::Tensor& source, const at::Tensor& token, const LogitsLaw& law = {});
}  // namespace reference

}  // namespace temper
