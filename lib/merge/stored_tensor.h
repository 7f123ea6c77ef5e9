// Tensors of files, read in pieces: a merge holds its result and a piece of each model, whatever the models'
// size.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

#include "model/load.h"

namespace temper {

constexpr int64_t kMergePiece = 1 << 20;  // elements

// One tensor of a folder's or file's, or one in memory. What it comes from must outlive it.
class StoredTensor {
 public:
  StoredTensor(const ModelFiles& files, const std::string& name);
  StoredTensor(const SafetensorsFile& file, const std::string& name);
  explicit StoredTensor(at::Tensor values);

  const std::vector<int64_t>& shape() const { return shape_; }
  at::ScalarType dtype() const { return dtype_; }
  int64_t numel() const { return numel_; }
  // Elements [begin, end) in the order of the file, fp32 [end - begin]. The memory that the file's pages took
  // is given back.
  at::Tensor piece(int64_t begin, int64_t end) const;
  // All of it, fp32 in its shape.
  at::Tensor whole() const;

 private:
  std::function<at::Tensor()> map_;
  std::function<void()> release_;
  std::vector<int64_t> shape_;
  at::ScalarType dtype_ = at::kFloat;
  int64_t numel_ = 1;
};

// visit(begin, end) for the pieces of `numel` elements, in order.
void in_pieces(int64_t numel, const std::function<void(int64_t begin, int64_t end)>& visit);

// The tensor of this shape, cast to `dtype`, whose elements [begin, end) are make(begin, end).
at::Tensor made_in_pieces(const std::vector<int64_t>& shape, at::ScalarType dtype,
                          const std::function<at::Tensor(int64_t begin, int64_t end)>& make);

}  // namespace temper
