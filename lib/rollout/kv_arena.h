// Keys and values of decoded tokens on an accelerator: one tensor of keys and one of values for all layers,
// in which every run of tokens has a stretch of neighbouring rows. ATen's varlen kernels read stretches that
// begin anywhere.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>

namespace temper {

class KvArena {
 public:
  KvArena(int64_t layers, int64_t heads, int64_t head_dim, const at::TensorOptions& options);

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
  at::Tensor keys(int64_t layer) const { return keys_.select(0, layer); }
  at::Tensor values(int64_t layer) const { return values_.select(0, layer); }
  int64_t rows() const { return keys_.size(1); }
  int64_t bytes() const { return static_cast<int64_t>(keys_.nbytes() + values_.nbytes()); }

 private:
  void grow(int64_t tokens);
  at::Tensor keys_, values_;         // [layers, rows, K, D]
  std::map<int64_t, int64_t> free_;  // stretches nobody has, by their begin; no two touch
};

}  // namespace temper
