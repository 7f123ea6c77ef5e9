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

// Rotates pairs (i, i + D/2) of the last dimension, as Hugging Face's Llama does. x [N, heads, D]; cos, sin
// [N, D/2] fp32.
at::Tensor rotary(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin);

// qkv [N, (Q + 2K) D] -> q [N, Q, D], k [N, K, D], v [N, K, D]; q and k rotated unless cos is undefined.
std::vector<at::Tensor> split_heads(const at::Tensor& qkv, int64_t q_heads, int64_t kv_heads,
                                    const at::Tensor& cos, const at::Tensor& sin);

// silu(gate) * up for x = [gate | up]. x [N, 2 I] -> [N, I].
at::Tensor swiglu(const at::Tensor& x);

// Attention of a packed batch: each token attends to its own segment's tokens up to itself and to all tokens
// of the segment's ancestors; with window > 0 only to keys less than `window` positions back (positions [N]
// int64). q [N, Q, D], k and v [N, K, D], Q a multiple of K -> [N, Q, D].
at::Tensor packed_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const PackedTokens& batch, double scale, int64_t window = 0);

// y = x W^T (+ bias) for several weights that share their input, W the rows of the masters one after the
// other. compute [out, in]: the working copy in the compute dtype; masters: the tensors that receive
// gradients (fp32 when trained, and then usually not the storage of `compute`), their rows adding up to out.
at::Tensor linear(const at::Tensor& x, const at::Tensor& compute, const std::vector<at::Tensor>& masters,
                  const at::Tensor& compute_bias = {}, const std::vector<at::Tensor>& bias_masters = {});

// Rows of `compute` [V, H]; the gradient goes to `master` in fp32. ids [N] -> [N, H].
at::Tensor embedding(const at::Tensor& ids, const at::Tensor& compute, const at::Tensor& master);

namespace reference {
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& weight, double eps);
at::Tensor rotary(const at::Tensor& x, const at::Tensor& cos, const at::Tensor& sin);
std::vector<at::Tensor> split_heads(const at::Tensor& qkv, int64_t q_heads, int64_t kv_heads,
                                    const at::Tensor& cos, const at::Tensor& sin);
at::Tensor swiglu(const at::Tensor& x);
at::Tensor packed_attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                            const PackedTokens& batch, double scale, int64_t window = 0);
}  // namespace reference

}  // namespace temper
