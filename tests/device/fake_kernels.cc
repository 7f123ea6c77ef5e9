// The operators that CUDA alone has, on the fake device: what they ask of their arguments is checked as
// CUDA's kernels check it, the numbers are by plain operations, a sequence at a time.
#include <ATen/ATen.h>
#include <torch/library.h>
#include <torch/version.h>

#include <cmath>
#include <limits>
#include <tuple>
#include <vector>

#include "device/fake_device.h"

namespace temper::fake {
namespace {

using at::Tensor;
using Window = std::optional<c10::SymInt>;

Tensor on_device(const Tensor& host) {
  Tensor out = at::empty(host.sizes(), host.options().device(at::Device(c10::kPrivateUse1, 0)));
  on_host_memory(out).copy_(host);
  return out;
}

// One sequence's queries and keys, in fp32, [heads, rows, D] with key/value heads repeated.
struct SequenceRange {
  int64_t first_q, queries, first_k, keys;
};

std::vector<SequenceRange> sequences_of(const Tensor& begin_q, const Tensor& begin_k,
                                        const std::optional<Tensor>& used, int64_t longest_q,
                                        int64_t longest_k, int64_t rows_q, int64_t rows_k) {
  TORCH_CHECK(begin_q.scalar_type() == at::kInt && begin_k.scalar_type() == at::kInt,
              "cu_seqlens must be int32");
  TORCH_CHECK(begin_q.is_contiguous() && begin_k.is_contiguous(), "cu_seqlens must be contiguous");
  TORCH_CHECK(begin_q.sizes() == begin_k.sizes(), "cu_seqlens must have one length");
  TORCH_CHECK(!used || (used->scalar_type() == at::kInt && used->size(0) == begin_q.size(0) - 1),
              "seqused_k must be int32 of shape (batch_size)");
  const Tensor q = on_host_memory(begin_q), k = on_host_memory(begin_k),
               u = used ? on_host_memory(*used) : Tensor();
  std::vector<SequenceRange> out;
  for (int64_t i = 0; i + 1 < q.size(0); ++i) {
    SequenceRange s;
    s.first_q = q[i].item<int>(), s.queries = q[i + 1].item<int>() - s.first_q;
    s.first_k = k[i].item<int>();
    s.keys = used ? u[i].item<int>() : k[i + 1].item<int>() - s.first_k;
    if (s.queries == 0) continue;  // fills up
    TORCH_CHECK(s.queries > 0 && s.keys > 0, "an empty sequence: its lse would be infinite");
    TORCH_CHECK(s.queries <= longest_q && s.keys <= longest_k, "a sequence longer than the longest");
    TORCH_CHECK(s.first_q + s.queries <= rows_q && s.first_k + s.keys <= rows_k, "a sequence behind the end");
    out.push_back(s);
  }
  return out;
}

struct Rule {
  bool causal;
  int64_t window;  // keys that a query sees at most; 0: all
  double scale;
};

Tensor scores(const Tensor& q, const Tensor& k, const Rule& rule) {
  const int64_t nq = q.size(1), nk = k.size(1);
  const Tensor position = at::arange(nq).unsqueeze(1) + (nk - nq), key = at::arange(nk).unsqueeze(0);
  Tensor hidden = at::zeros({nq, nk}, at::kBool);
  if (rule.causal) hidden = hidden.logical_or(key > position);
  if (rule.window > 0) hidden = hidden.logical_or(key <= position - rule.window);
  return (at::matmul(q, k.transpose(1, 2)) * rule.scale)
      .masked_fill(hidden, -std::numeric_limits<float>::infinity());
}

Tensor heads(const Tensor& x, int64_t first, int64_t rows,
             int64_t repeats) {  // [repeated heads, rows, D] fp32
  return x.narrow(0, first, rows).to(at::kFloat).repeat_interleave(repeats, 1).transpose(0, 1);
}

// out [T, Q, D] in q's type and, for each sequence, lse [Q, queries]; all of the host.
struct Result {
  Tensor out;
  std::vector<Tensor> lse;
};
Result forward(const Tensor& q, const Tensor& k, const Tensor& v, const std::vector<SequenceRange>& sequences,
               const Rule& rule) {
  const int64_t group = q.size(1) / k.size(1);
  Result result{at::zeros(q.sizes(), q.options()), {}};
  for (const SequenceRange& s : sequences) {
    const Tensor z = scores(heads(q, s.first_q, s.queries, 1), heads(k, s.first_k, s.keys, group), rule);
    const Tensor lse = at::logsumexp(z, -1);
    const Tensor out = at::matmul((z - lse.unsqueeze(-1)).exp(), heads(v, s.first_k, s.keys, group));
    result.out.narrow(0, s.first_q, s.queries).copy_(out.transpose(0, 1));
    result.lse.push_back(lse);
  }
  return result;
}

// dq, dk, dv from the out and lse that are given, which may be of more keys.
std::tuple<Tensor, Tensor, Tensor> backward(const Tensor& dout, const Tensor& q, const Tensor& k,
                                            const Tensor& v, const Tensor& out,
                                            const std::vector<Tensor>& lse,
                                            const std::vector<SequenceRange>& sequences, const Rule& rule) {
  const int64_t group = q.size(1) / k.size(1), d = q.size(2);
  Tensor dq = at::zeros(q.sizes(), q.options()), dk = at::zeros(k.sizes(), at::kFloat),
         dv = at::zeros(v.sizes(), at::kFloat);
  for (size_t i = 0; i < sequences.size(); ++i) {
    const SequenceRange& s = sequences[i];
    const Tensor qs = heads(q, s.first_q, s.queries, 1), ks = heads(k, s.first_k, s.keys, group),
                 vs = heads(v, s.first_k, s.keys, group), g = heads(dout, s.first_q, s.queries, 1);
    const Tensor p = (scores(qs, ks, rule) - lse[i].unsqueeze(-1)).exp();
    const Tensor delta = (g * heads(out, s.first_q, s.queries, 1)).sum(-1, true);
    const Tensor ds = p * (at::matmul(g, vs.transpose(1, 2)) - delta) * rule.scale;
    dq.narrow(0, s.first_q, s.queries).copy_(at::matmul(ds, ks).transpose(0, 1));
    const auto folded = [&](const Tensor& x) {  // repeated heads add up
      return x.transpose(0, 1).reshape({s.keys, k.size(1), group, d}).sum(2);
    };
    dk.narrow(0, s.first_k, s.keys).add_(folded(at::matmul(ds.transpose(1, 2), qs)));
    dv.narrow(0, s.first_k, s.keys).add_(folded(at::matmul(p.transpose(1, 2), g)));
  }
  return {dq, dk.to(k.scalar_type()), dv.to(v.scalar_type())};
}

// ------------------------------------------------------------------------------------------ flash attention

void check_flash(const Tensor& q, const Tensor& k, const Tensor& v) {
  TORCH_CHECK(q.scalar_type() == at::kBFloat16 || q.scalar_type() == at::kHalf,
              "FlashAttention only support fp16 and bf16 data type");
  TORCH_CHECK(k.scalar_type() == q.scalar_type() && v.scalar_type() == q.scalar_type(),
              "query, key and value must have the same dtype");
  TORCH_CHECK(q.stride(-1) == 1 && k.stride(-1) == 1 && v.stride(-1) == 1,
              "Input tensor must have contiguous last dimension");
  TORCH_CHECK(q.size(-1) <= 256 && q.size(-1) % 8 == 0,
              "head dimension must be at most 256 and a multiple of 8");
  TORCH_CHECK(q.size(1) % k.size(1) == 0, "heads of key and value must divide those of query");
}

Rule flash_rule(bool causal, double scale, const Window& left) {
  return {causal, left ? left->expect_int() + 1 : 0, scale};
}

std::tuple<Tensor, Tensor, Tensor, Tensor, Tensor> flash_forward(
    const Tensor& q, const Tensor& k, const Tensor& v, const std::optional<Tensor>& begin_q,
    const std::optional<Tensor>& begin_k, c10::SymInt longest_q, c10::SymInt longest_k, double dropout,
    bool causal, bool, std::optional<double> scale, Window left, Window right,
    const std::optional<Tensor>& used, const std::optional<Tensor>&
#if TORCH_VERSION_MINOR >= 15
    ,
    const std::optional<Tensor>&, std::optional<int64_t>
#endif
) {
  count("aten::_flash_attention_forward");
  check_flash(q, k, v);
  TORCH_CHECK(dropout == 0 && begin_q && begin_k && scale, "of sequences, without dropout");
  TORCH_CHECK(!left || right == std::optional<c10::SymInt>(0), "a window to the left alone");
  const Result r = forward(on_host_memory(q), on_host_memory(k), on_host_memory(v),
                           sequences_of(*begin_q, *begin_k, used, longest_q.expect_int(),
                                        longest_k.expect_int(), q.size(0), k.size(0)),
                           flash_rule(causal, *scale, left));
  return {on_device(r.out), on_device(at::cat(r.lse, 1)), Tensor(), Tensor(), Tensor()};
}

std::tuple<Tensor, Tensor, Tensor> flash_backward(const Tensor& dout, const Tensor& q, const Tensor& k,
                                                  const Tensor& v, const Tensor& out, const Tensor& lse,
                                                  const Tensor& begin_q, const Tensor& begin_k,
                                                  c10::SymInt longest_q, c10::SymInt longest_k,
                                                  double dropout, bool causal, const Tensor&, const Tensor&,
                                                  std::optional<double> scale, Window left, Window) {
  count("aten::_flash_attention_backward");
  check_flash(q, k, v);
  check_flash(dout, out, v);
  TORCH_CHECK(dropout == 0 && lse.is_contiguous() && lse.scalar_type() == at::kFloat &&
                  lse.sizes() == at::IntArrayRef({q.size(1), q.size(0)}),
              "lse [heads, tokens] fp32");
  const auto sequences = sequences_of(begin_q, begin_k, {}, longest_q.expect_int(), longest_k.expect_int(),
                                      q.size(0), k.size(0));
  std::vector<Tensor> parts;
  for (const SequenceRange& s : sequences)
    parts.push_back(on_host_memory(lse).narrow(1, s.first_q, s.queries));
  const auto [dq, dk, dv] =
      backward(on_host_memory(dout), on_host_memory(q), on_host_memory(k), on_host_memory(v),
               on_host_memory(out), parts, sequences, flash_rule(causal, *scale, left));
  return {on_device(dq), on_device(dk), on_device(dv)};
}

// -------------------------------------------------------------------------------------- efficient attention

Rule efficient_rule(int64_t mask, double scale, std::optional<int64_t> window) {
  TORCH_CHECK(mask == 0 || mask == 2, "no mask, or causal from the bottom right");
  return {mask == 2, window.value_or(0), scale};
}

void check_efficient(const Tensor& q, const Tensor& k, const Tensor& v) {
  TORCH_CHECK(q.dim() == 4 && k.dim() == 4 && v.dim() == 4 && q.size(0) == 1 && k.size(0) == 1,
              "of sequences: [1, tokens, heads, size]");
  TORCH_CHECK(q.size(2) == k.size(2) && k.size(2) == v.size(2), "as many heads of keys as of queries");
  TORCH_CHECK(q.stride(3) == 1 && k.stride(3) == 1 && v.stride(3) == 1, "heads side by side");
}

int64_t padded_to_32(int64_t n) {
  return (n + 31) / 32 * 32;
}

std::tuple<Tensor, Tensor, Tensor, Tensor, c10::SymInt, c10::SymInt> efficient_forward(
    const Tensor& q, const Tensor& k, const Tensor& v, const std::optional<Tensor>& bias,
    const std::optional<Tensor>& begin_q, const std::optional<Tensor>& begin_k,
    std::optional<c10::SymInt> longest_q, std::optional<c10::SymInt> longest_k, double dropout, int64_t mask,
    bool wants_lse, std::optional<double> scale, const std::optional<Tensor>& used,
    std::optional<int64_t> window) {
  count("aten::_efficient_attention_forward");
  check_efficient(q, k, v);
  TORCH_CHECK(!bias && dropout == 0 && wants_lse && begin_q && begin_k && longest_q && longest_k && scale,
              "");
  const auto sequences = sequences_of(*begin_q, *begin_k, used, longest_q->expect_int(),
                                      longest_k->expect_int(), q.size(1), k.size(1));
  const Result r = forward(on_host_memory(q)[0], on_host_memory(k)[0], on_host_memory(v)[0], sequences,
                           efficient_rule(mask, *scale, window));
  Tensor lse =
      at::full({static_cast<int64_t>(sequences.size()), q.size(2), padded_to_32(longest_q->expect_int())},
               std::numeric_limits<float>::infinity());
  for (size_t i = 0; i < sequences.size(); ++i)
    lse[static_cast<int64_t>(i)].narrow(1, 0, sequences[i].queries).copy_(r.lse[i]);
  return {on_device(r.out.unsqueeze(0)), on_device(lse), at::zeros({}, at::kLong),
          at::zeros({}, at::kLong),      *longest_q,     *longest_k};
}

std::tuple<Tensor, Tensor, Tensor, Tensor> efficient_backward(
    const Tensor& dout, const Tensor& q, const Tensor& k, const Tensor& v, const std::optional<Tensor>& bias,
    const Tensor& out, const std::optional<Tensor>& begin_q, const std::optional<Tensor>& begin_k,
    c10::SymInt longest_q, c10::SymInt longest_k, const Tensor& lse, double dropout, const Tensor&,
    const Tensor&, int64_t mask, bool bias_grad, std::optional<double> scale, std::optional<int64_t>,
    std::optional<int64_t> window, bool) {
  count("aten::_efficient_attention_backward");
  check_efficient(q, k, v);
  TORCH_CHECK(!bias && !bias_grad && dropout == 0 && lse.is_contiguous(), "");
  const auto sequences = sequences_of(*begin_q, *begin_k, {}, longest_q.expect_int(), longest_k.expect_int(),
                                      q.size(1), k.size(1));
  TORCH_CHECK(lse.sizes() == at::IntArrayRef({static_cast<int64_t>(sequences.size()), q.size(2),
                                              padded_to_32(longest_q.expect_int())}),
              "lse [sequences, heads, longest, filled up to 32s]");
  std::vector<Tensor> parts;
  for (size_t i = 0; i < sequences.size(); ++i)
    parts.push_back(on_host_memory(lse)[static_cast<int64_t>(i)].narrow(1, 0, sequences[i].queries));
  const auto [dq, dk, dv] =
      backward(on_host_memory(dout)[0], on_host_memory(q)[0], on_host_memory(k)[0], on_host_memory(v)[0],
               on_host_memory(out)[0], parts, sequences, efficient_rule(mask, *scale, window));
  return {on_device(dq.unsqueeze(0)), on_device(dk.unsqueeze(0)), on_device(dv.unsqueeze(0)), Tensor()};
}

// ------------------------------------------------------------------------------------------------ the others

Tensor mm_f32(const Tensor& a, const Tensor& b, at::ScalarType out) {
  count("aten::mm");
  TORCH_CHECK(out == at::kFloat && a.scalar_type() == at::kBFloat16 && b.scalar_type() == at::kBFloat16,
              "out_dtype must be the inputs' or fp32 of bf16");
  return on_device(at::mm(on_host_memory(a).to(out), on_host_memory(b).to(out)));
}

Tensor& addmm_f32(const Tensor& self, const Tensor& a, const Tensor& b, at::ScalarType dtype,
                  const at::Scalar& beta, const at::Scalar& alpha, Tensor& out) {
  count("aten::addmm");
  TORCH_CHECK(dtype == at::kFloat && self.scalar_type() == at::kFloat && a.scalar_type() == at::kBFloat16,
              "");
  on_host_memory(out).copy_(
      at::addmm(on_host_memory(self), on_host_memory(a).to(dtype), on_host_memory(b).to(dtype), beta, alpha));
  return out;
}

std::tuple<Tensor, Tensor> rms_norm(const Tensor& x, at::IntArrayRef shape,
                                    const std::optional<Tensor>& weight, std::optional<double> eps) {
  count("aten::_fused_rms_norm");
  TORCH_CHECK(weight && weight->scalar_type() == x.scalar_type(), "expected the input's type of the weight");
  TORCH_CHECK(shape.size() == 1 && shape[0] == x.size(-1) && eps, "");
  const Tensor f = on_host_memory(x).to(at::kFloat);
  const Tensor rstd = at::rsqrt(f.square().mean({-1}, true) + *eps);
  return {on_device((f * rstd * on_host_memory(*weight)).to(x.scalar_type())), on_device(rstd)};
}

std::tuple<Tensor, Tensor> rms_norm_backward(const Tensor& dy, const Tensor& x, at::IntArrayRef,
                                             const Tensor& rstd, const std::optional<Tensor>& weight,
                                             std::array<bool, 2> wanted) {
  count("aten::_fused_rms_norm_backward");
  TORCH_CHECK(dy.is_contiguous() && wanted[0] && !wanted[1] && weight->scalar_type() == x.scalar_type(), "");
  const Tensor f = on_host_memory(x).to(at::kFloat), r = on_host_memory(rstd),
               g = on_host_memory(dy).to(at::kFloat) * on_host_memory(*weight).to(at::kFloat);
  const Tensor dx = r * (g - f * r.square() * (g * f).mean({-1}, true));
  return {on_device(dx.to(x.scalar_type())), Tensor()};
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, m) {
  m.impl("_flash_attention_forward", &flash_forward);
  m.impl("_flash_attention_backward", &flash_backward);
  m.impl("_efficient_attention_forward", &efficient_forward);
  m.impl("_efficient_attention_backward", &efficient_backward);
  m.impl("mm.dtype", &mm_f32);
  m.impl("addmm.dtype_out", &addmm_f32);
  m.impl("_fused_rms_norm", &rms_norm);
  m.impl("_fused_rms_norm_backward", &rms_norm_backward);
}

}  // namespace
}  // namespace temper::fake
