#include "rollout/contexts.h"

#include <ATen/ATen.h>

#include <utility>

#include "tensor/accelerator/ops.h"
#include "tensor/ops.h"

namespace temper {

namespace {

at::Tensor* latent_up_of(const KvRun& run, int64_t layer) {
  return run.shape().latents ? &run.pool().latent_up(layer) : nullptr;
}

}  // namespace

PrefillContext::PrefillContext(const PackedTokens& batch, std::vector<const KvRun*> runs)
    : batch_(batch), runs_(std::move(runs)) {
  if (!batch.ids.is_cpu()) places_ = places_of(runs_);
}

at::Tensor PrefillContext::attend(int64_t layer, const at::Tensor& q, const at::Tensor& k,
                                  const at::Tensor& v, const AttentionLaw& law) {
  store(layer, k, v);
  return packed_attention(q, k, v, batch_, law);
}

std::vector<RecurrentState*> PrefillContext::states(int64_t layer) const {
  std::vector<RecurrentState*> out;
  for (const KvRun* run : runs_) out.push_back(&run->state(layer));
  return out;
}

at::Tensor PrefillContext::mix(int64_t layer, const MixInput& in) {
  return mix_onward(in, batch_.segments, states(layer));
}

at::Tensor PrefillContext::convolve(int64_t layer, const at::Tensor& x, const at::Tensor& weight) {
  return convolve_onward(x, weight, batch_.segments, states(layer));
}

void PrefillContext::routed(int64_t sparse_layer, const at::Tensor& experts) {
  if (runs_.front()->shape().routes == 0) return;
  const at::Tensor all = experts.cpu().contiguous();
  const int64_t k = all.size(1);
  const auto* row = all.const_data_ptr<int64_t>();
  for (size_t i = 0; i < runs_.size(); ++i) {
    const Segment& s = batch_.segments[i];
    for (int64_t t = 0; t < s.length(); ++t)
      runs_[i]->put_routes(t, sparse_layer, row + (s.begin + t) * k, k);
  }
}

at::Tensor* PrefillContext::latent_up(int64_t layer) {
  return latent_up_of(*runs_.front(), layer);
}

void PrefillContext::store(int64_t layer, const at::Tensor& k, const at::Tensor& v) const {
  if (places_.defined()) {
    const KvArena& arena = runs_.front()->arena();
    at::Tensor keys = arena.keys(layer), values = arena.values(layer);
    on_device::put_rows(keys, 0, places_, k);
    on_device::put_rows(values, 0, places_, v);
    return;
  }
  for (size_t i = 0; i < runs_.size(); ++i) {
    const Segment& s = batch_.segments[i];
    store_prompt(*runs_[i], layer, k.narrow(0, s.begin, s.length()), v.narrow(0, s.begin, s.length()));
  }
}

DecodeContext::DecodeContext(std::vector<DecodeRow> rows, const SkippedSublayers* skipped)
    : rows_(std::move(rows)), skipped_(skipped) {
  if (!rows_.front().own->shape().options.device().is_cpu()) plan_.emplace(rows_);
}

// Tokens of one sequence that are read together are neighbours, in order.
DecodeContext::Onward DecodeContext::onward(int64_t layer) const {
  Onward out;
  for (int64_t r = 0; r < static_cast<int64_t>(rows_.size()); ++r) {
    const DecodeRow& row = rows_[static_cast<size_t>(r)];
    if (r > 0 && rows_[static_cast<size_t>(r) - 1].own == row.own) {
      ++out.segments.back().end;
      continue;
    }
    RecurrentState& own = row.own->state(layer);
    if (!own.conv.defined()) own = row.prompt->state(layer);  // tensors are replaced, never written to
    out.segments.push_back({r, r + 1, -1});
    out.states.push_back(&own);
  }
  return out;
}

at::Tensor DecodeContext::mix(int64_t layer, const MixInput& in) {
  const Onward to = onward(layer);
  return mix_onward(in, to.segments, to.states);
}

at::Tensor DecodeContext::convolve(int64_t layer, const at::Tensor& x, const at::Tensor& weight) {
  const Onward to = onward(layer);
  return convolve_onward(x, weight, to.segments, to.states);
}

void DecodeContext::routed(int64_t sparse_layer, const at::Tensor& experts) {
  if (rows_.front().own->shape().routes == 0) return;
  const at::Tensor all = experts.cpu().contiguous();
  const int64_t k = all.size(1);
  const auto* row = all.const_data_ptr<int64_t>();
  for (const DecodeRow& r : rows_) {
    r.own->put_routes(r.seen - 1, sparse_layer, row, k);
    row += k;
  }
}

at::Tensor* DecodeContext::latent_up(int64_t layer) {
  return latent_up_of(*rows_.front().own, layer);
}

at::Tensor DecodeContext::attend(int64_t layer, const at::Tensor& q, const at::Tensor& k, const at::Tensor& v,
                                 const AttentionLaw& law) {
  return plan_ ? plan_->attend(q, k, v, layer, law) : decode_attention(q, k, v, rows_, layer, law);
}

}  // namespace temper
