#include "tensor/accelerator/attention.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <map>

#include "tensor/accelerator/ops.h"

namespace temper {
namespace {

using at::Tensor;
using Rows = std::vector<int64_t>;

void append(Rows& rows, const Segment& s) {
  for (int64_t t = s.begin; t < s.end; ++t) rows.push_back(t);
}

Tensor on(at::Device device, const Rows& rows) {
  return at::tensor(rows, at::kLong).to(device);
}

// Level d >= 1: the tokens of a segment's descendants at distance d, by that segment.
std::vector<AttentionPart> levels_of(const std::vector<Segment>& segments, at::Device device) {
  Rows own;
  std::vector<std::map<int64_t, Rows>> by_ancestor;
  for (size_t s = 0; s < segments.size(); ++s) {
    if (segments[s].length() == 0) continue;
    own.push_back(segments[s].length());
    size_t level = 0;
    for (int64_t a = segments[s].parent; a >= 0; a = segments[a].parent, ++level) {
      if (by_ancestor.size() <= level) by_ancestor.emplace_back();
      if (segments[a].length() > 0) append(by_ancestor[level][a], segments[s]);
    }
  }
  std::vector<AttentionPart> parts;
  if (own.empty()) return parts;
  parts.push_back({{}, {}, make_spans(own, own, device), /*causal=*/true});
  for (const auto& ancestors : by_ancestor) {
    Rows rows, keys, queries, lengths;
    for (const auto& [ancestor, descendants] : ancestors) {
      rows.insert(rows.end(), descendants.begin(), descendants.end());
      append(keys, segments[ancestor]);
      queries.push_back(static_cast<int64_t>(descendants.size()));
      lengths.push_back(segments[ancestor].length());
    }
    if (rows.empty()) continue;
    parts.push_back({on(device, rows), on(device, keys), make_spans(queries, lengths, device)});
  }
  return parts;
}

std::vector<AttentionPart> chains_of(const std::vector<Segment>& segments, int64_t window,
                                     at::Device device) {
  Rows keys, queries, lengths;
  for (const Segment& segment : segments) {
    if (segment.length() == 0) continue;
    std::vector<const Segment*> chain = {&segment};
    while (chain.back()->parent >= 0) chain.push_back(&segments[chain.back()->parent]);
    const size_t before = keys.size();
    for (auto it = chain.rbegin(); it != chain.rend(); ++it) append(keys, **it);
    queries.push_back(segment.length());
    lengths.push_back(static_cast<int64_t>(keys.size() - before));
  }
  return {{{}, on(device, keys), make_spans(queries, lengths, device), /*causal=*/true, window}};
}

Tensor select(const Tensor& x, const Tensor& rows) {
  return rows.defined() ? x.index_select(0, rows) : x;
}

Attended select(const Attended& x, const Tensor& rows) {
  return rows.defined() ? Attended{x.out.index_select(0, rows), x.lse.index_select(1, rows)} : x;
}

// sum's rows gain `part`.
void add_rows(Tensor& sum, const Tensor& rows, const Tensor& part) {
  on_device::put_rows(sum, 0, rows, sum.index_select(0, rows) + part);
}

}  // namespace

AttentionPlan::AttentionPlan(std::vector<Segment> segments, at::Device device)
    : segments_(std::move(segments)), device_(device), levels_(levels_of(segments_, device)) {
  for (const Segment& segment : segments_) {
    int64_t length = segment.length();
    for (int64_t a = segment.parent; a >= 0; a = segments_[a].parent) length += segments_[a].length();
    longest_ = std::max(longest_, length);
  }
}

const std::vector<AttentionPart>& AttentionPlan::parts(int64_t window) const {
  if (window == 0 || window >= longest_) return levels_;
  const std::lock_guard<std::mutex> lock(mutex_);
  if (chains_.empty() || chains_.front().window != window) chains_ = chains_of(segments_, window, device_);
  return chains_;
}

namespace on_device {

Attended attention(const Tensor& q, const Tensor& k, const Tensor& v, const AttentionPlan& plan, double scale,
                   int64_t window) {
  Attended whole;
  for (const AttentionPart& part : plan.parts(window)) {
    const Attended share = attend(select(q, part.rows), select(k, part.keys), select(v, part.keys),
                                  part.spans, part.causal, scale, part.window);
    if (!part.rows.defined()) {
      whole = share;
      continue;
    }
    if (whole.out.scalar_type() != at::kFloat) whole.out = whole.out.to(at::kFloat);
    const Attended both = merged(select(whole, part.rows), share);
    put_rows(whole.out, 0, part.rows, both.out);
    put_rows(whole.lse, 1, part.rows, both.lse);
  }
  if (!whole.out.defined())
    return {at::empty_like(q), at::empty({q.size(1), q.size(0)}, q.options().dtype(at::kFloat))};
  whole.out = whole.out.to(q.scalar_type());
  return whole;
}

std::array<Tensor, 3> attention_backward(const Tensor& dout, const Tensor& q, const Tensor& k,
                                         const Tensor& v, const Attended& attended, const AttentionPlan& plan,
                                         double scale, int64_t window) {
  Tensor dq, dk, dv;
  for (const AttentionPart& part : plan.parts(window)) {
    const auto [q_share, k_share, v_share] = attend_backward(
        select(dout, part.rows), select(q, part.rows), select(k, part.keys), select(v, part.keys),
        select(attended, part.rows), part.spans, part.causal, scale, part.window);
    if (part.window > 0) {
      const auto folded = [&](const Tensor& like, const Tensor& share) {
        return at::zeros(like.sizes(), like.options().dtype(at::kFloat))
            .index_add_(0, part.keys, share.to(at::kFloat))
            .to(like.scalar_type());
      };
      return {q_share, folded(k, k_share), folded(v, v_share)};
    }
    if (!part.rows.defined()) {
      dq = q_share, dk = k_share, dv = v_share;
      continue;
    }
    add_rows(dq, part.rows, q_share);
    add_rows(dk, part.keys, k_share);
    add_rows(dv, part.keys, v_share);
  }
  if (!dq.defined()) return {at::zeros_like(q), at::zeros_like(k), at::zeros_like(v)};
  return {dq, dk, dv};
}

}  // namespace on_device
}  // namespace temper
