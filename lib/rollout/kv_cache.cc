#include "rollout/kv_cache.h"

#include <ATen/ATen.h>

namespace temper {

at::Tensor KvPool::take() {
  if (free_.empty()) {
    ++made_;
    return at::empty({shape_.layers, shape_.heads, shape_.run()}, shape_.options);
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
}

void KvRun::extend(int64_t tokens) {
  length_ += tokens;
  while (static_cast<int64_t>(blocks_.size()) * kBlockTokens < length_) {
    blocks_.push_back(pool_->take());
    data_.push_back(blocks_.back().mutable_data_ptr());
  }
}

at::Tensor KvRun::keys(int64_t block, int64_t layer) const {
  const KvShape& s = shape();
  return blocks_[block]
      .select(0, layer)
      .narrow(1, 0, s.head_dim * kBlockTokens)
      .view({s.heads, s.head_dim, kBlockTokens});
}

at::Tensor KvRun::values(int64_t block, int64_t layer) const {
  const KvShape& s = shape();
  return blocks_[block]
      .select(0, layer)
      .narrow(1, s.head_dim * kBlockTokens, s.padded() * kBlockTokens)
      .view({s.heads, kBlockTokens, s.padded()})
      .narrow(2, 0, s.head_dim);
}

}  // namespace temper
