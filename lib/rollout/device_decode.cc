#include "rollout/device_decode.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/error.h"
#include "tensor/accelerator/ops.h"

namespace temper {
namespace {

using at::Tensor;

at::Device device_of(const KvRun& run) {
  return run.shape().options.device();
}

// With a window: each row's own part of it, and what is left of it in its prompt.
DecodeReads windowed(const std::vector<DecodeRow>& rows, int64_t window) {
  SpansOver own, prompt;
  std::vector<int64_t> with_prompt;
  for (size_t i = 0; i < rows.size(); ++i) {
    const KvRun& before = *rows[i].prompt;
    const int64_t seen = std::min(window, rows[i].seen);
    own.add(1, rows[i].own->stretch().begin + rows[i].seen - seen, seen);
    const int64_t rest = std::min(window - seen, before.length());
    if (rest == 0) continue;
    prompt.add(1, before.stretch().begin + before.length() - rest, rest);
    with_prompt.push_back(static_cast<int64_t>(i));
  }
  const at::Device device = device_of(*rows.front().own);
  DecodeReads reads{own.on(device), {}, {}, !with_prompt.empty()};
  if (reads.any_prompt) reads.prompt = prompt.on(device);
  if (with_prompt.size() < rows.size()) reads.with_prompt = at::tensor(with_prompt, at::kLong).to(device);
  return reads;
}

}  // namespace

void SpansOver::add(int64_t queries, int64_t begin, int64_t keys) {
  begin_q_.push_back(static_cast<int32_t>(begin_q_.back() + queries));
  begin_k_.push_back(static_cast<int32_t>(begin));
  used_.push_back(static_cast<int32_t>(keys));
}

std::vector<int32_t> SpansOver::numbers() const {
  std::vector<int32_t> out = begin_q_;
  out.insert(out.end(), begin_k_.begin(), begin_k_.end());
  out.push_back(0);  // where the last one's keys would end, which used_k says
  out.insert(out.end(), used_.begin(), used_.end());
  return out;
}

Spans SpansOver::over(const Tensor& numbers, int64_t longest_q, int64_t longest_k) const {
  const int64_t n = pieces();
  Spans spans;
  spans.begin_q = numbers.narrow(0, 0, n + 1);
  spans.begin_k = numbers.narrow(0, n + 1, n + 1);
  spans.used_k = numbers.narrow(0, 2 * n + 2, n);
  spans.longest_q = longest_q, spans.longest_k = longest_k;
  return spans;
}

Spans SpansOver::on(at::Device device) const {
  std::vector<int64_t> sequence, offset;
  int64_t longest = 0;
  for (size_t i = 0; i < used_.size(); ++i) {
    const int64_t queries = begin_q_[i + 1] - begin_q_[i];
    longest = std::max(longest, queries);
    sequence.insert(sequence.end(), static_cast<size_t>(queries), static_cast<int64_t>(i));
    for (int64_t t = 0; t < queries; ++t) offset.push_back(t);
  }
  Spans spans = over(at::tensor(numbers(), at::kInt).to(device), longest,
                     *std::max_element(used_.begin(), used_.end()));
  const auto queries = static_cast<int64_t>(sequence.size());
  sequence.insert(sequence.end(), offset.begin(), offset.end());
  const Tensor both = at::tensor(sequence, at::kLong).to(device);
  spans.sequence = both.narrow(0, 0, queries);
  spans.offset = both.narrow(0, queries, queries);
  return spans;
}

SpansOver own_pieces(const std::vector<DecodeRow>& rows) {
  SpansOver out;
  for (const DecodeRow& row : rows) out.add(1, row.own->stretch().begin, row.seen);
  return out;
}

SpansOver prompt_pieces(const std::vector<DecodeRow>& rows) {
  SpansOver out;
  for (size_t i = 0, end = 0; i < rows.size(); i = end) {
    while (end < rows.size() && rows[end].prompt == rows[i].prompt) ++end;
    out.add(static_cast<int64_t>(end - i), rows[i].prompt->stretch().begin, rows[i].prompt->length());
  }
  return out;
}

Tensor attend_step(const Tensor& q, const Tensor& k, const Tensor& v, const KvArena& arena,
                   const Tensor& place, const DecodeReads& r, int64_t layer, const AttentionLaw& law) {
  if (law.softcap > 0)
    user_error(
        "decoding on an accelerator has no soft cap of attention scores, which this model needs; use "
        "\"device\": \"cpu\"");
  const double scale = law.scale;
  Tensor keys = arena.keys(layer), values = arena.values(layer);
  on_device::put_rows(keys, 0, place, k);
  on_device::put_rows(values, 0, place, v);
  Attended whole = attend(q, keys, values, r.own, /*causal=*/false, scale);
  if (law.sinks.defined()) whole = with_sinks(whole, law.sinks.to(at::kFloat));
  if (!r.any_prompt) return whole.out;
  const Tensor& some = r.with_prompt;
  if (!some.defined())
    return merged(whole, attend(q, keys, values, r.prompt, false, scale)).out.to(q.scalar_type());
  const Attended share = attend(q.index_select(0, some), keys, values, r.prompt, false, scale);
  const Attended both = merged({whole.out.index_select(0, some), whole.lse.index_select(1, some)}, share);
  on_device::put_rows(whole.out, 0, some, both.out.to(q.scalar_type()));
  return whole.out;
}

Tensor places_of(const std::vector<const KvRun*>& runs) {
  std::vector<int64_t> places;
  for (const KvRun* run : runs)
    for (int64_t t = 0; t < run->length(); ++t) places.push_back(run->stretch().begin + t);
  return at::tensor(places, at::kLong).to(device_of(*runs.front()));
}

DecodePlan::DecodePlan(std::vector<DecodeRow> rows) : rows_(std::move(rows)) {
  std::vector<int64_t> places;
  for (const DecodeRow& row : rows_) places.push_back(row.own->stretch().begin + row.seen - 1);
  place_ = at::tensor(places, at::kLong).to(device_of(*rows_.front().own));
}

const DecodeReads& DecodePlan::reads(int64_t window) const {
  auto it = reads_.find(window);
  if (it != reads_.end()) return it->second;
  if (window > 0) return reads_.emplace(window, windowed(rows_, window)).first->second;
  const at::Device device = device_of(*rows_.front().own);
  return reads_
      .emplace(0, DecodeReads{own_pieces(rows_).on(device), prompt_pieces(rows_).on(device), {}, true})
      .first->second;
}

Tensor DecodePlan::attend(const Tensor& q, const Tensor& k, const Tensor& v, int64_t layer,
                          const AttentionLaw& law) const {
  return attend_step(q, k, v, rows_.front().own->arena(), place_, reads(law.window), layer, law);
}

}  // namespace temper
