// Keys and values of decoded tokens on an accelerator: one tensor of keys and one of values a layer, in which
// every run of tokens has a stretch of neighbouring rows, the same in all. ATen's varlen kernels read
// stretches that begin anywhere.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <utility>
#include <vector>

namespace temper {

class KvArena {
 public:
  // sizes: heads of keys and values, and their size, of each layer.
  KvArena(const std::vector<std::pair<int64_t, int64_t>>& sizes, const at::TensorOptions& options);

  struct Stretch {
    int64_t begin = 0, tokens = 0;
  };
  // Rows for so many tokens at once, of which nobody has any yet.
  void reserve(int64_t tokens);
  // Room for at least `tokens`, rounded up. What is stored elsewhere keeps its place.
  Stretch take(int64_t tokens);
  void give(Stretch stretch);
  // The first `tokens` rows of one stretch become those of another, in all layers.
  void copy(const Stretch& from, const Stretch& to, int64_t tokens);

  // [rows, K, D]; until the next take.
  const at::Tensor& keys(int64_t layer) const { return keys_[static_cast<size_t>(layer)]; }
  const at::Tensor& values(int64_t layer) const { return values_[static_cast<size_t>(layer)]; }
  int64_t rows() const { return rows_; }
  int64_t bytes() const;

 private:
  void grow(int64_t tokens);
  int64_t rows_ = 0;
  std::vector<at::Tensor> keys_, values_;  // [rows, K, D] of each layer
  std::map<int64_t, int64_t> free_;        // stretches nobody has, by their begin; no two touch
};

}  // namespace temper
