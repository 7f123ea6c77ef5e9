// The operations a decoder is made of, each differentiable, each with a fused CPU path and a plain composite
// twin in namespace reference (also what runs on other devices). Inputs are fp32 or bf16; norms, softmax,
// rotary angles and reductions are fp32 inside. Shapes: N tokens, H hidden, D head size, Q query heads, K
// key/value heads, V vocabulary.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "tensor/packed.h"

namespace temper {

// y = x / sqrt(mean(x^2) + eps) * weight over the last dimension. x [.., H]; weight [H] in any float type.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);

// How far each pair of a head's numbers turns: the first R = 2 cos.size(1) of the D numbers turn, the others
// stay. Pairs are (i, i + R/2), as in Hugging Face's Llama, or neighbours (2i, 2i + 1).
struct RotaryAngles {
  at::Tensor cos, sin;  // [N, R/2] fp32; undefined: nothing turns
  bool interleaved = false;
};

// x [N, heads, D], each head turned.
at::Tensor rotary(const at::Tensor& x, const RotaryAngles& angles);

// qkv [N, (Q + 2K) D] -> q [N, Q, D], k [N, K, D], v [N, K, D]; q and k turned.
std::vector<at::Tensor> split_heads(const at::Tensor& qkv, int64_t q_heads, int64_t kv_heads,
                                    const RotaryAngles& angles);

// silu(gate) * up for x = [gate | up]. x [N, 2 I] -> [N, I].
at::Tensor swiglu(const at::Tensor& x);

// How attention weighs what it sees.
struct AttentionLaw {
  double scale = 1.0;
  int64_t window = 0;     // > 0: keys less than so many positions back alone
  double softcap = 0.0;   // > 0: scaled scores s become softcap tanh(s / softcap)
  at::Tensor sinks = {};  // [Q] a logit a head that takes its share of the softmax and adds nothing; or none
};

// Attention of a packed batch: each token attends to its own segment's tokens up to itself and to all tokens
// of the segment's ancestors, within the window by positions [N] int64. q [N, Q, D], k and v [N, K, D], Q a
// multiple of K -> [N, Q, D]; differentiable in the sinks too. With a softcap, on an accelerator, scores are
// kept whole, [Q, N, N].
at::Tensor packed_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const PackedTokens& batch, const AttentionLaw& law);

// y = x W^T (+ bias) for several weights that share their input, W the rows of the masters one after the
// other. compute [out, in]: the working copy in the compute dtype; masters: the tensors that receive
// gradients (fp32 when trained, and then usually not the storage of `compute`), their rows adding up to out.
at::Tensor linear(const at::Tensor& x, const at::Tensor& compute, const std::vector<at::Tensor>& masters,
                  const at::Tensor& compute_bias = {}, const std::vector<at::Tensor>& bias_masters = {});

// Rows of `compute` [V, H]; the gradient goes to `master` in fp32. ids [N] -> [N, H].
at::Tensor embedding(const at::Tensor& ids, const at::Tensor& compute, const at::Tensor& master);

namespace reference {
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);
at::Tensor rotary(const at::Tensor& x, const RotaryAngles& angles);
std::vector<at::Tensor> split_heads(const at::Tensor& qkv, int64_t q_heads, int64_t kv_heads,
                                    const RotaryAngles& angles);
at::Tensor swiglu(const at::Tensor& x);
at::Tensor packed_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const PackedTokens& batch, const AttentionLaw& law);
}  // namespace reference

}  // namespace temper
