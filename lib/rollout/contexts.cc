#include "rollout/contexts.h"

#include <ATen/ATen.h>

#include <cmath>
#include <utility>

#include "tensor/accelerator/ops.h"
#include "tensor/ops.h"

namespace temper {
namespace {

double attention_scale(const ModelConfig& config) {
  return 1.0 / std::sqrt(static_cast<double>(config.head_dim));
}

}  // namespace

PrefillContext::PrefillContext(const ModelConfig& config, const PackedTokens& batch,
                               std::vector<const KvRun*> runs)
    : config_(config), batch_(batch), runs_(std::move(runs)) {
  if (!batch.ids.is_cpu()) places_ = places_of(runs_);
}

at::Tensor PrefillContext::attend(int64_t layer, const at::Tensor& q, const at::Tensor& k,
                                  const at::Tensor& v) {
  store(layer, k, v);
  return packed_attention(q, k, v, batch_, attention_scale(config_), config_.window(layer));
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

DecodeContext::DecodeContext(const ModelConfig& config, std::vector<DecodeRow> rows,
                             const SkippedSublayers* skipped)
    : config_(config), rows_(std::move(rows)), skipped_(skipped) {
  if (!rows_.front().own->shape().options.device().is_cpu()) plan_.emplace(rows_);
}

at::Tensor DecodeContext::attend(int64_t layer, const at::Tensor& q, const at::Tensor& k,
                                 const at::Tensor& v) {
  const double scale = attention_scale(config_);
  const int64_t window = config_.window(layer);
  return plan_ ? plan_->attend(q, k, v, layer, scale, window)
               : decode_attention(q, k, v, rows_, layer, scale, window);
}

}  // namespace temper
