// Keys and values of decoded tokens: on the CPU in blocks that one kernel reads end to end, on an accelerator
// in stretches of an arena.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <optional>
#include <vector>

#include "model/config.h"
#include "model/linear_attention.h"
#include "rollout/kv_arena.h"

namespace temper {

constexpr int64_t kBlockTokens = 64;

constexpr int64_t kLanePad = 16;  // rows of values are filled up to whole vectors

// A layer's part of KvShape.
struct KvHeads {
  int64_t heads = 0, head_dim = 0;  // heads: of keys and values; 0: the layer keeps none
  int64_t padded() const { return (head_dim + kLanePad - 1) / kLanePad * kLanePad; }
  // A block's numbers for one head: keys [head_dim, kBlockTokens], then values [kBlockTokens, padded()]. The
  // keys stand on their sides so that scores of neighbouring tokens fill a vector without a sum across it.
  int64_t run() const { return kBlockTokens * (head_dim + padded()); }
};

// What one token's keys and values look like.
struct KvShape {
  std::vector<KvHeads> layers;
  at::TensorOptions options;  // dtype, device
  bool latents = false;       // of latent attention (model/latent.h), in the place of keys and values
  int64_t routes = 0;         // numbers a token of the experts that it goes to; 0: not kept
  const KvHeads& layer(int64_t l) const { return layers[static_cast<size_t>(l)]; }
  static KvShape alike(int64_t layers, const KvHeads& each, const at::TensorOptions& options) {
    return {std::vector<KvHeads>(static_cast<size_t>(layers), each), options};
  }
};

// Hands out blocks, of each layer [heads, run()] one behind the other, and takes them back; keeps what was
// given back for the next caller. On an accelerator it has an arena instead.
class KvPool {
 public:
  explicit KvPool(const KvShape& shape);
  const KvShape& shape() const { return shape_; }
  // Where a layer's numbers begin in a block.
  int64_t offset(int64_t layer) const { return offsets_[static_cast<size_t>(layer)]; }
  at::Tensor take();
  void give(at::Tensor block) { free_.push_back(std::move(block)); }
  KvArena& arena() { return *arena_; }
  bool has_arena() const { return arena_.has_value(); }
  int64_t bytes() const;
  // See AttentionContext::latent_up(): of the weights at the time of the pool.
  at::Tensor& latent_up(int64_t layer) { return latent_up_[static_cast<size_t>(layer)]; }

 private:
  int64_t item_bytes() const;
  KvShape shape_;
  std::vector<int64_t> offsets_;  // by layer, then the numbers of a whole block
  std::vector<at::Tensor> free_;
  int64_t made_ = 0;
  std::optional<KvArena> arena_;
  std::vector<at::Tensor> latent_up_;  // by layer
};

// The keys and values of consecutive tokens: a prompt's, or those of one sequence after its prompt.
class KvRun {
 public:
  explicit KvRun(KvPool& pool) : pool_(&pool), states_(pool.shape().layers.size()) {}
  ~KvRun();
  KvRun(const KvRun&) = delete;
  KvRun& operator=(const KvRun&) = delete;

  const KvShape& shape() const { return pool_->shape(); }
  KvPool& pool() const { return *pool_; }
  int64_t length() const { return length_; }
  // Makes room for `tokens` more, whose keys and values are then stored layer by layer.
  void extend(int64_t tokens);
  // The last `tokens` are gone; their room stays. Throws UserError where a layer with a state has read them,
  // as it does not go back.
  void shorten(int64_t tokens);
  // Becomes equal to a run of the same pool with which it has the first `begin` tokens in common.
  void copy_from(const KvRun& run, int64_t begin);
  // Where the tokens stand in the arena; on an accelerator alone.
  const KvArena::Stretch& stretch() const { return stretch_; }
  const KvArena& arena() const { return pool_->arena(); }
  // What a layer with a state keeps behind the run's last token; undefined before the first.
  RecurrentState& state(int64_t layer) const { return states_.at(static_cast<size_t>(layer)); }
  // The experts that the tokens went to, [length, shape().routes], -1: not known.
  const std::vector<int16_t>& routes() const { return routes_; }
  void put_routes(int64_t token, int64_t sparse_layer, const int64_t* experts, int64_t count) const;
  // Views of a block's keys [heads, head_dim, kBlockTokens] and values [heads, kBlockTokens, head_dim]; on
  // the CPU alone.
  at::Tensor keys(int64_t block, int64_t layer) const;
  at::Tensor values(int64_t block, int64_t layer) const;

  // Where block b keeps its keys and values of a layer and head. CPU only.
  template <typename T>
  T* data(int64_t block, int64_t layer, int64_t head) const {
    return static_cast<T*>(data_[block]) + pool_->offset(layer) + head * shape().layer(layer).run();
  }

  // k and v [n, head_dim] of one layer and head, `stride` numbers from token to token, become tokens [at, at
  // + n).
  template <typename T>
  void store(int64_t layer, int64_t head, int64_t at, int64_t n, const T* k, const T* v,
             int64_t stride) const;

 private:
  KvPool* pool_;
  std::vector<at::Tensor> blocks_;
  std::vector<void*> data_;
  KvArena::Stretch stretch_;
  int64_t length_ = 0;
  mutable std::vector<RecurrentState> states_;  // by layer
  mutable std::vector<int16_t> routes_;
};

template <typename T>
void KvRun::store(int64_t layer, int64_t head, int64_t at, int64_t n, const T* k, const T* v,
                  int64_t stride) const {
  const int64_t d = shape().layer(layer).head_dim, padded = shape().layer(layer).padded();
  for (int64_t t = 0; t < n; ++t, k += stride, v += stride) {
    T* block = data<T>((at + t) / kBlockTokens, layer, head);
    const int64_t slot = (at + t) % kBlockTokens;
    T *keys = block + slot, *values = block + kBlockTokens * d + slot * padded;
    for (int64_t i = 0; i < d; ++i) keys[i * kBlockTokens] = k[i];
    for (int64_t i = 0; i < d; ++i) values[i] = v[i];
  }
}

}  // namespace temper
