// safetensors: 8 bytes of header length, a JSON header, then the tensors' bytes with no gap between them.
// https://github.com/huggingface/safetensors (format section of the README).
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace temper {

class MappedFile;

struct TensorInfo {
  std::string name;
  at::ScalarType dtype = at::kFloat;
  std::vector<int64_t> shape;
  uint64_t begin = 0, end = 0;  // bytes, from the start of the file
};

// One open file, memory-mapped. The whole header is checked before anything is allocated: throws UserError on
// lengths and offsets beyond the file, overlaps and gaps, sizes that do not fit dtype and shape, and unknown
// dtypes.
class SafetensorsFile {
 public:
  explicit SafetensorsFile(const std::string& path);
  const std::string& path() const { return path_; }
  const std::vector<TensorInfo>& tensors() const { return tensors_; }  // in the file's order of offsets
  const TensorInfo* find(const std::string& name) const;               // null when there is none
  const std::map<std::string, std::string>& metadata() const { return metadata_; }

  // The file's bytes as a CPU tensor that must not be written to (a copy where they are not aligned). It
  // keeps the map alive. Throws UserError when there is no such tensor.
  at::Tensor tensor(const std::string& name) const;
  at::Tensor tensor(const TensorInfo& info) const;
  // Gives the tensor's pages back to the system; reading it again fetches them anew.
  void release(const TensorInfo& info) const;

 private:
  std::string path_;
  std::shared_ptr<MappedFile> map_;
  std::vector<TensorInfo> tensors_;
  std::map<std::string, size_t> index_;
  std::map<std::string, std::string> metadata_;
};

// All tensors of a folder: model.safetensors, or the shards that model.safetensors.index.json lists. `stem`
// is "model" or the like. Throws UserError when neither exists or the index and the shards disagree.
class SafetensorsFolder {
 public:
  explicit SafetensorsFolder(const std::string& folder, const std::string& stem = "model");
  const std::vector<std::string>& names() const { return names_; }
  const TensorInfo* find(const std::string& name) const;
  at::Tensor tensor(const std::string& name) const;
  void release(const std::string& name) const;

 private:
  std::string folder_;
  std::vector<std::unique_ptr<SafetensorsFile>> files_;
  std::vector<std::string> names_;
  std::map<std::string, size_t> file_of_;
};

using NamedTensors = std::vector<std::pair<std::string, at::Tensor>>;
using Metadata = std::map<std::string, std::string>;

// A tensor that will be produced when its turn to be written comes.
struct TensorSpec {
  std::string name;
  at::ScalarType dtype;
  std::vector<int64_t> shape;
};

// The places in `specs` in the order of the Python package: wide dtypes first, then by name.
std::vector<size_t> safetensors_order(const std::vector<TensorSpec>& specs);
// Writes a file that is all there or not there, with its tensors in safetensors_order(), and the same bytes
// as the Python package. produce(i), called once for each in that order, gives the tensor of specs[i] on
// any device, of any dtype and strides; it is cast piece by piece, so no more than the tensor itself and a
// few MB are held.
void write_safetensors(const std::string& path, const std::vector<TensorSpec>& specs,
                       const std::function<at::Tensor(size_t)>& produce,
                       const Metadata& metadata = {{"format", "pt"}});
// The tensors as they are.
void write_safetensors(const std::string& path, const NamedTensors& tensors,
                       const Metadata& metadata = {{"format", "pt"}});

// model.safetensors, or shards of at most `shard_bytes` with their index when it is larger. Older files of
// the same stem that are no longer part of it are removed last.
void write_safetensors_folder(const std::string& folder, const std::vector<TensorSpec>& specs,
                              const std::function<at::Tensor(size_t)>& produce,
                              uint64_t shard_bytes = 5'000'000'000, const std::string& stem = "model");

std::string safetensors_dtype(at::ScalarType dtype);  // "F32", "BF16" ...; throws std::logic_error on others
uint64_t bytes_of(const TensorSpec& spec);

}  // namespace temper
