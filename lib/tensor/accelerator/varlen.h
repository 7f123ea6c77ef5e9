// Attention of sequences that lie end to end, on an accelerator: ATen's flash attention in bf16, its
// efficient attention in fp32 (and for head sizes that flash does not take). No scores are kept, nothing is
// padded. T queries and S keys in all, Q query and K key/value heads of size D.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <vector>

namespace temper {

// Which queries meet which keys: sequence i has the queries [begin_q[i], begin_q[i + 1]) and the keys from
// begin_k[i] on, up to begin_k[i + 1] or, where used_k is given, used_k[i] of them; no sequence is empty of
// either. With used_k the keys may stand anywhere and in any order.
struct Spans {
  at::Tensor begin_q, begin_k;  // [sequences + 1] int32
  at::Tensor used_k;            // [sequences] int32 or undefined
  int64_t longest_q = 0, longest_k = 0;
  at::Tensor sequence, offset;  // [T] int64: of each query, its sequence and its place in it
};

// Of sequences that lie end to end in queries and keys alike.
Spans make_spans(const std::vector<int64_t>& queries, const std::vector<int64_t>& keys, at::Device device);

struct Attended {
  at::Tensor out;  // [T, Q, D]
  at::Tensor lse;  // [Q, T] fp32, log sum of exp of the scaled scores
};

// causal: a sequence's last query sees all its keys, each one before it one less; with window > 0 only the
// last `window` of those that it sees.
Attended attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const Spans& spans,
                bool causal, double scale, int64_t window = 0);

// Gradients of q, k and v. `whole` may be the attention over more keys than these: with its out and lse the
// gradients are those of these keys' share.
std::array<at::Tensor, 3> attend_backward(const at::Tensor& dout, const at::Tensor& q, const at::Tensor& k,
                                          const at::Tensor& v, const Attended& whole, const Spans& spans,
                                          bool causal, double scale, int64_t window = 0);

// The same with sinks [Q] fp32: they add to what the softmax divides by, and so to the log-sum-exp alone.
Attended with_sinks(const Attended& attended, const at::Tensor& sinks);

// Two attentions of the same queries over different keys, as one over all of them. In fp32.
Attended merged(const Attended& a, const Attended& b);

}  // namespace temper
