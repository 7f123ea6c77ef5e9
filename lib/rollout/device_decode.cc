#include "rollout/device_decode.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "tensor/device_ops.h"

namespace temper {
namespace {

using at::Tensor;

// Queries and the rows that they read, piece by piece.
class SpansOver {
 public:
  void add(int64_t queries, int64_t begin, int64_t keys) {
    begin_q_.push_back(static_cast<int32_t>(begin_q_.back() + queries));
    begin_k_.push_back(static_cast<int32_t>(begin));
    used_.push_back(static_cast<int32_t>(keys));
    for (int64_t i = 0; i < queries; ++i) {
      sequence_.push_back(static_cast<int64_t>(used_.size()) - 1);
      offset_.push_back(i);
    }
    longest_q_ = std::max(longest_q_, queries);
    longest_k_ = std::max(longest_k_, keys);
  }
  Spans on(at::Device device, int64_t rows) const {
    // Two copies to the device: of all that is int32, and of all that is int64.
    std::vector<int32_t> ints = begin_q_;
    ints.insert(ints.end(), begin_k_.begin(), begin_k_.end());
    ints.push_back(static_cast<int32_t>(rows));
    ints.insert(ints.end(), used_.begin(), used_.end());
    std::vector<int64_t> longs = sequence_;
    longs.insert(longs.end(), offset_.begin(), offset_.end());
    const auto n = static_cast<int64_t>(used_.size()), queries = static_cast<int64_t>(sequence_.size());
    const Tensor i = at::tensor(ints, at::kInt).to(device), l = at::tensor(longs, at::kLong).to(device);
    Spans spans;
    spans.begin_q = i.narrow(0, 0, n + 1);
    spans.begin_k = i.narrow(0, n + 1, n + 1);
    spans.used_k = i.narrow(0, 2 * n + 2, n);
    spans.longest_q = longest_q_, spans.longest_k = longest_k_;
    spans.sequence = l.narrow(0, 0, queries);
    spans.offset = l.narrow(0, queries, queries);
    return spans;
  }

 private:
  std::vector<int32_t> begin_q_ = {0}, begin_k_, used_;
  std::vector<int64_t> sequence_, offset_;
  int64_t longest_q_ = 0, longest_k_ = 0;
};

at::Device device_of(const KvRun& run) {
  return run.shape().options.device();
}

}  // namespace

Tensor places_of(const std::vector<const KvRun*>& runs) {
  std::vector<int64_t> places;
  for (const KvRun* run : runs)
    for (int64_t t = 0; t < run->length(); ++t) places.push_back(run->stretch().begin + t);
  return at::tensor(places, at::kLong).to(device_of(*runs.front()));
}

DecodePlan::DecodePlan(std::vector<DecodeRow> rows) : rows_(std::move(rows)) {
  std::vector<int64_t> places;
  for (const DecodeRow& row : rows_) places.push_back(row.own->stretch().begin + row.own->length() - 1);
  place_ = at::tensor(places, at::kLong).to(device_of(*rows_.front().own));
}

DecodePlan::Reads DecodePlan::make_reads(int64_t window) const {
  SpansOver own, prompt;
  std::vector<int64_t> with_prompt;
  for (size_t i = 0; i < rows_.size(); ++i) {
    const KvRun &mine = *rows_[i].own, &before = *rows_[i].prompt;
    const int64_t seen = window > 0 ? std::min(window, mine.length()) : mine.length();
    own.add(1, mine.stretch().begin + mine.length() - seen, seen);
    if (window == 0) {
      // Neighbours of one prompt read it together.
      size_t end = i;
      if (i > 0 && rows_[i - 1].prompt == rows_[i].prompt) continue;
      while (end < rows_.size() && rows_[end].prompt == rows_[i].prompt) ++end;
      prompt.add(static_cast<int64_t>(end - i), before.stretch().begin, before.length());
    } else if (const int64_t rest = std::min(window - seen, before.length()); rest > 0) {
      prompt.add(1, before.stretch().begin + before.length() - rest, rest);
      with_prompt.push_back(static_cast<int64_t>(i));
    }
  }
  const KvRun& any = *rows_.front().own;
  const at::Device device = device_of(any);
  const int64_t rows = any.arena().rows();
  Reads reads{own.on(device, rows), {}, {}};
  reads.any_prompt = window == 0 || !with_prompt.empty();
  if (reads.any_prompt) reads.prompt = prompt.on(device, rows);
  if (window > 0 && with_prompt.size() < rows_.size())
    reads.with_prompt = at::tensor(with_prompt, at::kLong).to(device);
  return reads;
}

const DecodePlan::Reads& DecodePlan::reads(int64_t window) const {
  auto it = reads_.find(window);
  if (it == reads_.end()) it = reads_.emplace(window, make_reads(window)).first;
  return it->second;
}

Tensor DecodePlan::attend(const Tensor& q, const Tensor& k, const Tensor& v, int64_t layer, double scale,
                          int64_t window) const {
  const KvArena& arena = rows_.front().own->arena();
  Tensor keys = arena.keys(layer), values = arena.values(layer);
  on_device::put_rows(keys, 0, place_, k);
  on_device::put_rows(values, 0, place_, v);
  const Reads& r = reads(window);
  Attended whole = temper::attend(q, keys, values, r.own, /*causal=*/false, scale);
  if (!r.any_prompt) return whole.out;
  const Tensor& some = r.with_prompt;
  if (!some.defined())
    return merged(whole, temper::attend(q, keys, values, r.prompt, false, scale)).out.to(q.scalar_type());
  const Attended share = temper::attend(q.index_select(0, some), keys, values, r.prompt, false, scale);
  const Attended both = merged({whole.out.index_select(0, some), whole.lse.index_select(1, some)}, share);
  on_device::put_rows(whole.out, 0, some, both.out.to(q.scalar_type()));
  return whole.out;
}

}  // namespace temper
