// Attention of a decoding step on the CPU: new tokens, most often one a sequence, against the cached keys and
// values of their sequences. On an accelerator: device_decode.h.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "rollout/kv_cache.h"
#include "tensor/ops.h"

namespace temper {

// A new token of a sequence in the batch. Neighbours with the same prompt are computed together, so that the
// prompt's keys and values are read once for all of them.
struct DecodeRow {
  const KvRun* prompt = nullptr;
  const KvRun* own = nullptr;  // the tokens after the prompt, already extended by the new ones
  int64_t seen = 0;            // the new token is the last of so many of its own; later ones it does not see
};

// Stores the new tokens' k and v [N, K, D] as the last that each row sees of its own and returns the
// attention of q [N, Q, D] over prompt and own: [N, Q, D], softmax in fp32. With a window only the last
// law.window tokens count, the new one included. A row's result does not depend on the other rows, nor on the
// number of threads.
at::Tensor decode_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const std::vector<DecodeRow>& rows, int64_t layer, const AttentionLaw& law);

namespace reference {
// The same by whole-tensor operations, sequence by sequence.
at::Tensor decode_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const std::vector<DecodeRow>& rows, int64_t layer, const AttentionLaw& law);
}  // namespace reference

// Stores a prompt's k and v [n, K, D] (rows of a packed batch, contiguous) as tokens [0, n) of the run.
void store_prompt(const KvRun& run, int64_t layer, const at::Tensor& k, const at::Tensor& v);

}  // namespace temper
