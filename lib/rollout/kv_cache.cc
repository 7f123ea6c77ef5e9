#include "rollout/kv_cache.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/error.h"

namespace temper {

KvPool::KvPool(const KvShape& shape) : shape_(shape), latent_up_(shape.layers.size()) {
  offsets_ = {0};
  for (const KvHeads& l : shape.layers) offsets_.push_back(offsets_.back() + l.heads * l.run());
  if (shape.options.device().is_cpu()) return;
  std::vector<std::pair<int64_t, int64_t>> sizes;
  for (const KvHeads& l : shape.layers) sizes.emplace_back(l.heads, l.head_dim);
  arena_.emplace(sizes, shape.options);
}

int64_t KvPool::bytes() const {
  if (arena_) return arena_->bytes();
  return made_ * offsets_.back() * item_bytes();
}

at::Tensor KvPool::take() {
  if (free_.empty()) {
    ++made_;
    return at::empty({offsets_.back()}, shape_.options);
  }
  at::Tensor block = std::move(free_.back());
  free_.pop_back();
  return block;
}

int64_t KvPool::item_bytes() const {
  return static_cast<int64_t>(shape_.options.dtype().itemsize());
}

KvRun::~KvRun() {
  for (at::Tensor& block : blocks_) pool_->give(std::move(block));
  if (pool_->has_arena()) pool_->arena().give(stretch_);
}

void KvRun::extend(int64_t tokens) {
  routes_.resize(static_cast<size_t>((length_ + tokens) * shape().routes), -1);
  if (pool_->has_arena()) {
    KvArena& arena = pool_->arena();
    if (length_ + tokens > stretch_.tokens) {
      // Twice the room: what is copied over a run's life is no more than what it holds.
      const KvArena::Stretch larger = arena.take(std::max(length_ + tokens, 2 * stretch_.tokens));
      if (length_ > 0) arena.copy(stretch_, larger, length_);
      arena.give(stretch_);
      stretch_ = larger;
    }
    length_ += tokens;
    return;
  }
  length_ += tokens;
  while (static_cast<int64_t>(blocks_.size()) * kBlockTokens < length_) {
    blocks_.push_back(pool_->take());
    data_.push_back(blocks_.back().mutable_data_ptr());
  }
}

void KvRun::shorten(int64_t tokens) {
  const auto read = [](const RecurrentState& s) { return s.conv.defined(); };
  if (tokens > 0 && std::any_of(states_.begin(), states_.end(), read))
    user_error(
        "this model has layers whose memory of a text is a state (linear attention, short convolutions), "
        "which does not go back over tokens that it has read: it decodes without speculation, and turns end "
        "where they are cut");
  length_ -= tokens;
  routes_.resize(static_cast<size_t>(length_ * shape().routes));
}

void KvRun::copy_from(const KvRun& run, int64_t begin) {
  states_ = run.states_;  // tensors that are replaced, never written to
  length_ = std::min(length_, begin);
  extend(run.length_ - length_);
  routes_ = run.routes_;
  if (pool_->has_arena()) {
    if (length_ > 0) pool_->arena().copy(run.stretch_, stretch_, length_);
    return;
  }
  for (int64_t b = begin / kBlockTokens; b * kBlockTokens < length_; ++b)
    blocks_[static_cast<size_t>(b)].copy_(run.blocks_[static_cast<size_t>(b)]);
}

void KvRun::put_routes(int64_t token, int64_t sparse_layer, const int64_t* experts, int64_t count) const {
  int16_t* to = routes_.data() + token * shape().routes + sparse_layer * count;
  for (int64_t i = 0; i < count; ++i) to[i] = static_cast<int16_t>(experts[i]);
}

at::Tensor KvRun::keys(int64_t block, int64_t layer) const {
  const KvHeads& s = shape().layer(layer);
  return blocks_[block]
      .narrow(0, pool_->offset(layer), s.heads * s.run())
      .view({s.heads, s.run()})
      .narrow(1, 0, s.head_dim * kBlockTokens)
      .view({s.heads, s.head_dim, kBlockTokens});
}

at::Tensor KvRun::values(int64_t block, int64_t layer) const {
  const KvHeads& s = shape().layer(layer);
  return blocks_[block]
      .narrow(0, pool_->offset(layer), s.heads * s.run())
      .view({s.heads, s.run()})
      .narrow(1, s.head_dim * kBlockTokens, s.padded() * kBlockTokens)
      .view({s.heads, kBlockTokens, s.padded()})
      .narrow(2, 0, s.head_dim);
}

}  // namespace temper
