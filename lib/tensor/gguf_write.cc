#include <ATen/ATen.h>

#include "base/error.h"
#include "base/output.h"
#include "tensor/gguf.h"

namespace temper {
namespace {

constexpr uint64_t kAlignment = 32;

uint64_t aligned(uint64_t bytes) {
  return (bytes + kAlignment - 1) / kAlignment * kAlignment;
}

bool is_dense(GgmlType type) {
  return type == GgmlType::kF32 || type == GgmlType::kF16 || type == GgmlType::kBF16;
}

// What values have before they are written or quantised.
at::ScalarType dtype_of(GgmlType type) {
  return type == GgmlType::kF16 ? at::kHalf : type == GgmlType::kBF16 ? at::kBFloat16 : at::kFloat;
}

}  // namespace

template <class T>
void GgufWriter::put(const T& value) {
  metadata_.append(reinterpret_cast<const char*>(&value), sizeof value);
}

void GgufWriter::put_text(std::string_view value) {
  put<uint64_t>(value.size());
  metadata_.append(value);
}

void GgufWriter::key(const std::string& name, GgufType type) {
  put_text(name);
  put(static_cast<uint32_t>(type));
  ++keys_;
}

void GgufWriter::text(const std::string& name, std::string_view value) {
  key(name, GgufType::kString);
  put_text(value);
}
void GgufWriter::u32(const std::string& name, uint32_t value) {
  key(name, GgufType::kU32);
  put(value);
}
void GgufWriter::f32(const std::string& name, float value) {
  key(name, GgufType::kF32);
  put(value);
}
void GgufWriter::boolean(const std::string& name, bool value) {
  key(name, GgufType::kBool);
  put<uint8_t>(value ? 1 : 0);
}
void GgufWriter::texts(const std::string& name, const std::vector<std::string>& values) {
  key(name, GgufType::kArray);
  put(static_cast<uint32_t>(GgufType::kString));
  put<uint64_t>(values.size());
  for (const std::string& value : values) put_text(value);
}
void GgufWriter::f32s(const std::string& name, const std::vector<float>& values) {
  key(name, GgufType::kArray);
  put(static_cast<uint32_t>(GgufType::kF32));
  put<uint64_t>(values.size());
  for (const float value : values) put(value);
}
void GgufWriter::i32s(const std::string& name, const std::vector<int32_t>& values) {
  key(name, GgufType::kArray);
  put(static_cast<uint32_t>(GgufType::kI32));
  put<uint64_t>(values.size());
  for (const int32_t value : values) put(value);
}
void GgufWriter::booleans(const std::string& name, const std::vector<bool>& values) {
  key(name, GgufType::kArray);
  put(static_cast<uint32_t>(GgufType::kBool));
  put<uint64_t>(values.size());
  for (const bool value : values) put<uint8_t>(value ? 1 : 0);
}

void GgufWriter::tensor(const std::string& name, GgmlType type, const std::vector<int64_t>& shape) {
  tensors_.push_back({name, type, shape, 0, 0});
}

void GgufWriter::write(const std::string& path, const std::function<at::Tensor(size_t)>& produce) {
  std::string header = std::move(metadata_);
  metadata_.clear();
  uint64_t offset = 0;
  for (GgufTensor& t : tensors_) {
    const uint64_t each = ggml_block_elements(t.type);
    if (t.shape.back() % static_cast<int64_t>(each) != 0)
      bug("\"{}\": rows of {} are no whole blocks of {}", t.name, t.shape.back(), ggml_type_name(t.type));
    uint64_t bytes = ggml_block_bytes(t.type);
    for (const int64_t size : t.shape) bytes *= static_cast<uint64_t>(size);
    bytes /= each;
    put_text(t.name);
    put(static_cast<uint32_t>(t.shape.size()));
    for (size_t d = t.shape.size(); d-- > 0;) put(static_cast<uint64_t>(t.shape[d]));
    put(static_cast<uint32_t>(t.type));
    put(offset);
    t.begin = offset;
    t.end = offset + bytes;
    offset = aligned(t.end);
  }
  header += metadata_;
  FileStream file(path);
  const uint32_t magic_and_version[] = {0x46554747, 3};
  const uint64_t counts[] = {tensors_.size(), keys_};
  file.write(magic_and_version, sizeof magic_and_version);
  file.write(counts, sizeof counts);
  file.write(header.data(), header.size());
  for (size_t i = 0; i < tensors_.size(); ++i) {
    file.write_zeros(aligned(file.bytes()) - file.bytes());
    const at::Tensor tensor = produce(i)
                                  .detach()
                                  .to(at::TensorOptions().device(at::kCPU).dtype(dtype_of(tensors_[i].type)))
                                  .contiguous();
    if (tensor.sizes().vec() != tensors_[i].shape)
      bug("{}: \"{}\" was announced with another shape", path, tensors_[i].name);
    if (is_dense(tensors_[i].type)) {
      file.write(tensor.data_ptr(), static_cast<uint64_t>(tensor.nbytes()));
    } else {
      std::vector<uint8_t> blocks(tensors_[i].end - tensors_[i].begin);
      ggml_quantise(tensors_[i].type, tensor.const_data_ptr<float>(), tensor.numel(), blocks.data());
      file.write(blocks.data(), blocks.size());
    }
  }
  file.write_zeros(aligned(file.bytes()) - file.bytes());
  file.commit();
}

}  // namespace temper
