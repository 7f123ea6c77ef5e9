#include "merge/stored_tensor.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "base/error.h"

namespace temper {

StoredTensor::StoredTensor(const ModelFiles& files, const std::string& name)
    : map_([&files, name] { return files.tensor(name); }), release_([&files, name] { files.release(name); }) {
  const TensorInfo* info = files.find(name);
  if (info == nullptr) bug("there is no tensor {}", name);
  shape_ = info->shape;
  dtype_ = info->dtype;
  numel_ = c10::multiply_integers(shape_);
}

StoredTensor::StoredTensor(const SafetensorsFile& file, const std::string& name)
    : map_([&file, name] { return file.tensor(name); }),
      release_([&file, name] { file.release(*file.find(name)); }) {
  const TensorInfo* info = file.find(name);
  if (info == nullptr) bug("{}: there is no tensor {}", file.path(), name);
  shape_ = info->shape;
  dtype_ = info->dtype;
  numel_ = c10::multiply_integers(shape_);
}

StoredTensor::StoredTensor(at::Tensor values)
    : map_([values = values.contiguous()] { return values; }),
      release_([] {}),
      shape_(values.sizes().vec()),
      dtype_(values.scalar_type()),
      numel_(values.numel()) {}

at::Tensor StoredTensor::piece(int64_t begin, int64_t end) const {
  // A copy even of fp32: what still pointed into the file would bring the pages back.
  const at::Tensor out = map_().view({-1}).narrow(0, begin, end - begin).to(at::kFloat, false, /*copy=*/true);
  release_();
  return out;
}

at::Tensor StoredTensor::whole() const {
  return made_in_pieces(shape_, at::kFloat, [&](int64_t begin, int64_t end) { return piece(begin, end); });
}

void in_pieces(int64_t numel, const std::function<void(int64_t begin, int64_t end)>& visit) {
  for (int64_t at = 0; at < numel; at += kMergePiece) visit(at, std::min(numel, at + kMergePiece));
}

at::Tensor made_in_pieces(const std::vector<int64_t>& shape, at::ScalarType dtype,
                          const std::function<at::Tensor(int64_t begin, int64_t end)>& make) {
  at::Tensor out = at::empty(shape, at::TensorOptions(dtype));
  at::Tensor row = out.view({-1});
  in_pieces(row.numel(),
            [&](int64_t begin, int64_t end) { row.narrow(0, begin, end - begin).copy_(make(begin, end)); });
  return out;
}

}  // namespace temper
