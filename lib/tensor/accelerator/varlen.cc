#include "tensor/accelerator/varlen.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <optional>

#include "base/error.h"
#include "tensor/accelerator/ops.h"

namespace temper {
namespace {

using at::Tensor;

bool flash_takes(const Tensor& q) {
  return q.scalar_type() == at::kBFloat16 && q.size(2) % 8 == 0 && q.size(2) <= 256;
}

// -------------------------------------------------------------------------------------- efficient attention

constexpr int64_t kCausalFromBottomRight = 2;

// The kernel wants as many key as query heads. Where no query is hidden from a key, the query heads of a
// key/value head stand as further queries of it instead of its keys being repeated: keys may be a whole
// cache.
struct Shared {
  int64_t tokens, kv_heads, group, size;
  bool folded;  // query heads became queries

  Shared(const Tensor& q, const Tensor& k, bool causal)
      : tokens(q.size(0)),
        kv_heads(k.size(1)),
        group(q.size(1) / k.size(1)),
        size(q.size(2)),
        folded(!causal && q.size(1) > k.size(1)) {}

  int64_t factor() const { return folded ? group : 1; }
  Tensor queries(const Tensor& x) const {  // [T, Q, D] -> [1, T group, K, D] or [1, T, Q, D]
    if (!folded) return x.unsqueeze(0);
    return x.reshape({tokens, kv_heads, group, size})
        .transpose(1, 2)
        .reshape({1, tokens * group, kv_heads, size});
  }
  Tensor heads(const Tensor& x) const {  // back
    if (!folded) return x.squeeze(0);
    return x.view({tokens, group, kv_heads, size}).transpose(1, 2).reshape({tokens, kv_heads * group, size});
  }
  Tensor keys(const Tensor& x) const {  // [S, K, D] -> [1, S, K or Q, D]
    return (folded || group == 1 ? x : x.repeat_interleave(group, 1)).unsqueeze(0);
  }
  Tensor key_gradient(const Tensor& x) const {  // back: repeated heads add up
    if (folded || group == 1) return x.squeeze(0);
    return x.view({x.size(1), kv_heads, group, size}).sum(2);
  }
  // [Q, T] <-> [K, T group]
  Tensor lse_in(const Tensor& x) const {
    return folded ? x.view({kv_heads, group, tokens}).transpose(1, 2).reshape({kv_heads, tokens * group}) : x;
  }
  Tensor lse_out(const Tensor& x) const {
    return folded ? x.view({kv_heads, tokens, group}).transpose(1, 2).reshape({kv_heads * group, tokens}) : x;
  }
};

// The kernel keeps lse as [sequences, heads, longest], rows filled up to 32s: where in [sequences * longest]
// each query stands.
struct PaddedRows {
  int64_t longest;
  Tensor place;
  PaddedRows(const Spans& spans, int64_t factor)
      : longest((spans.longest_q * factor + 31) / 32 * 32),
        place(spans.sequence * longest + spans.offset * factor) {
    if (factor > 1) place = (place.unsqueeze(1) + at::arange(factor, place.options()).unsqueeze(0)).flatten();
  }
};

Attended efficient(const Tensor& q, const Tensor& k, const Tensor& v, const Spans& spans, bool causal,
                   double scale, int64_t window) {
  const Shared shared(q, k, causal);
  const int64_t factor = shared.factor();
  const auto [out, padded, seed, offset, longest_q, longest_k] = at::_efficient_attention_forward(
      shared.queries(q), shared.keys(k), shared.keys(v), {}, spans.begin_q * factor, spans.begin_k,
      spans.longest_q * factor, spans.longest_k, 0.0, causal ? kCausalFromBottomRight : 0,
      /*compute_log_sumexp=*/true, scale, spans.used_k.defined() ? std::optional(spans.used_k) : std::nullopt,
      window > 0 ? std::optional(window) : std::nullopt);
  const PaddedRows rows(spans, factor);
  const Tensor lse = padded.transpose(0, 1).reshape({padded.size(1), -1}).index_select(1, rows.place);
  return {shared.heads(out), shared.lse_out(lse)};
}

std::array<Tensor, 3> efficient_backward(const Tensor& dout, const Tensor& q, const Tensor& k,
                                         const Tensor& v, const Attended& whole, const Spans& spans,
                                         bool causal, double scale, int64_t window) {
  const Shared shared(q, k, causal);
  const int64_t factor = shared.factor(), sequences = spans.begin_q.size(0) - 1;
  const PaddedRows rows(spans, factor);
  const Tensor lse = shared.lse_in(whole.lse);
  Tensor padded = at::zeros({lse.size(0), sequences * rows.longest}, lse.options());
  on_device::put_rows(padded, 1, rows.place, lse);
  padded = padded.view({lse.size(0), sequences, rows.longest}).transpose(0, 1).contiguous();
  const Tensor no_dropout = at::zeros({}, at::kLong);  // of its random numbers
  const auto [dq, dk, dv, dbias] = at::_efficient_attention_backward(
      shared.queries(dout), shared.queries(q), shared.keys(k), shared.keys(v), {}, shared.queries(whole.out),
      spans.begin_q * factor, spans.begin_k, spans.longest_q * factor, spans.longest_k, padded, 0.0,
      no_dropout, no_dropout, causal ? kCausalFromBottomRight : 0, /*bias_requires_grad=*/false, scale,
      std::nullopt, window > 0 ? std::optional(window) : std::nullopt);
  return {shared.heads(dq), shared.key_gradient(dk), shared.key_gradient(dv)};
}

}  // namespace

Spans make_spans(const std::vector<int64_t>& queries, const std::vector<int64_t>& keys, at::Device device) {
  std::vector<int32_t> begin_q = {0}, begin_k = {0};
  std::vector<int64_t> sequence, offset;
  Spans spans;
  for (size_t i = 0; i < queries.size(); ++i) {
    if (queries[i] < 1 || keys[i] < 1)
      bug("make_spans: sequence {} has {} queries and {} keys", i, queries[i], keys[i]);
    begin_q.push_back(static_cast<int32_t>(begin_q.back() + queries[i]));
    begin_k.push_back(static_cast<int32_t>(begin_k.back() + keys[i]));
    sequence.insert(sequence.end(), static_cast<size_t>(queries[i]), static_cast<int64_t>(i));
    for (int64_t t = 0; t < queries[i]; ++t) offset.push_back(t);
    spans.longest_q = std::max(spans.longest_q, queries[i]);
    spans.longest_k = std::max(spans.longest_k, keys[i]);
  }
  spans.begin_q = at::tensor(begin_q, at::kInt).to(device);
  spans.begin_k = at::tensor(begin_k, at::kInt).to(device);
  spans.sequence = at::tensor(sequence, at::kLong).to(device);
  spans.offset = at::tensor(offset, at::kLong).to(device);
  return spans;
}

Attended attend(const Tensor& q, const Tensor& k, const Tensor& v, const Spans& spans, bool causal,
                double scale, int64_t window) {
  if (!flash_takes(q)) return efficient(q, k, v, spans, causal, scale, window);
  const auto edge = window > 0 ? std::optional(window - 1) : std::nullopt;
  const auto result = at::_flash_attention_forward(
      q, k, v, spans.begin_q, spans.begin_k, spans.longest_q, spans.longest_k, 0.0, causal,
      /*return_debug_mask=*/false, std::optional<double>(scale), edge,
      window > 0 ? std::optional<int64_t>(0) : std::nullopt,
      spans.used_k.defined() ? std::optional(spans.used_k) : std::nullopt);
  return {std::get<0>(result), std::get<1>(result)};
}

std::array<Tensor, 3> attend_backward(const Tensor& dout, const Tensor& q, const Tensor& k, const Tensor& v,
                                      const Attended& whole, const Spans& spans, bool causal, double scale,
                                      int64_t window) {
  if (!flash_takes(q)) return efficient_backward(dout, q, k, v, whole, spans, causal, scale, window);
  const auto edge = window > 0 ? std::optional(window - 1) : std::nullopt;
  const Tensor no_dropout = at::empty({2}, spans.sequence.options());  // of its random numbers
  const auto [dq, dk, dv] =
      at::_flash_attention_backward(dout, q, k, v, whole.out, whole.lse, spans.begin_q, spans.begin_k,
                                    spans.longest_q, spans.longest_k, 0.0, causal, no_dropout, no_dropout,
                                    scale, edge, window > 0 ? std::optional<int64_t>(0) : std::nullopt);
  return {dq, dk, dv};
}

Attended with_sinks(const Attended& a, const Tensor& sinks) {
  const Tensor lse = at::logaddexp(a.lse, sinks.unsqueeze(1));
  const Tensor share = (a.lse - lse).exp_().t().unsqueeze(-1);
  return {(a.out * share).to(a.out.scalar_type()), lse};
}

Attended merged(const Attended& a, const Attended& b) {
  const Tensor lse = at::logaddexp(a.lse, b.lse);
  const auto weight = [&](const Attended& x) { return (x.lse - lse).exp_().t().unsqueeze(-1); };
  return {(a.out * weight(a)).addcmul_(b.out, weight(b)), lse};
}

}  // namespace temper
