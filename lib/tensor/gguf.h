// GGUF, llama.cpp's one-file format: metadata by key, then tensors, many of them quantised in blocks.
// https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; block layouts: ggml-common.h, checked against
// the gguf Python package.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace temper {

class MappedFile;

enum class GgufType : uint32_t {
  kU8,
  kI8,
  kU16,
  kI16,
  kU32,
  kI32,
  kF32,
  kBool,
  kString,
  kArray,
  kU64,
  kI64,
  kF64
};

// Weight types, with ggml's numbers.
enum class GgmlType : uint32_t {
  kF32 = 0,
  kF16 = 1,
  kQ4_0 = 2,
  kQ4_1 = 3,
  kQ5_0 = 6,
  kQ5_1 = 7,
  kQ8_0 = 8,
  kQ4_K = 12,
  kQ5_K = 13,
  kQ6_K = 14,
  kBF16 = 30,
  kMXFP4 = 39
};
const char* ggml_type_name(GgmlType type);

struct GgufTensor {
  std::string name;
  GgmlType type = GgmlType::kF32;
  std::vector<int64_t> shape;   // rows first, as PyTorch has it (the file lists the fastest dimension first)
  uint64_t begin = 0, end = 0;  // bytes, from the start of the file
};

// One open file, memory-mapped; versions 2 and 3, little endian. Everything is checked against the file's
// size when it is opened: throws UserError on what does not fit, overlaps, stands twice or is of an unknown
// type.
class GgufFile {
 public:
  explicit GgufFile(const std::string& path);
  const std::string& path() const { return path_; }

  // Metadata. has() says whether the key is there; the others throw UserError when it is not or is of another
  // kind.
  bool has(const std::string& key) const { return values_.count(key) > 0; }
  bool is_array(const std::string& key) const { return value(key).type == GgufType::kArray; }
  std::vector<std::string> keys() const;
  std::string text(const std::string& key) const;
  int64_t integer(const std::string& key) const;
  double number(const std::string& key) const;  // of an fp32 value: the shortest decimal that rounds to it
  bool boolean(const std::string& key) const;
  std::vector<std::string_view> texts(const std::string& key) const;  // they live as long as this object
  std::vector<int64_t> integers(const std::string& key) const;
  std::vector<double> numbers(const std::string& key) const;
  std::vector<bool> booleans(const std::string& key) const;

  const std::vector<GgufTensor>& tensors() const { return tensors_; }  // in the file's order
  const GgufTensor* find(const std::string& name) const;               // null when there is none
  // Dequantised, fp32, on the CPU.
  at::Tensor tensor(const GgufTensor& info) const;

 private:
  struct Value {
    GgufType type, item = GgufType::kU8;  // item: of an array
    uint64_t at = 0, count = 0;           // where the value, or the array's first item, lies in the file
  };
  const Value& value(const std::string& key) const;
  [[noreturn]] void wrong(const std::string& key, const char* expected) const;

  std::string path_;
  std::shared_ptr<MappedFile> map_;
  std::map<std::string, Value> values_;
  std::vector<GgufTensor> tensors_;
  std::map<std::string, size_t> index_;
};

// bytes of `elements` weights, a multiple of the block; dequantises them into out.
uint64_t ggml_block_elements(GgmlType type);
uint64_t ggml_block_bytes(GgmlType type);
void ggml_dequantize(GgmlType type, const uint8_t* bytes, int64_t elements, float* out);
// The other way, to Q8_0, Q4_0, Q5_0, Q5_1, Q4_K, Q5_K or Q6_K: the bytes of ggml's reference quantisers
// without an importance matrix.
void ggml_quantise(GgmlType type, const float* values, int64_t elements, uint8_t* out);

// Writes a version-3 file that is all there or not there.
class GgufWriter {
 public:
  void text(const std::string& key, std::string_view value);
  void u32(const std::string& key, uint32_t value);
  void f32(const std::string& key, float value);
  void boolean(const std::string& key, bool value);
  void texts(const std::string& key, const std::vector<std::string>& values);
  void f32s(const std::string& key, const std::vector<float>& values);
  void i32s(const std::string& key, const std::vector<int32_t>& values);
  void booleans(const std::string& key, const std::vector<bool>& values);
  // type: F32, F16, BF16 or what ggml_quantise() makes, of rows of whole blocks.
  void tensor(const std::string& name, GgmlType type, const std::vector<int64_t>& shape);
  // produce(i) gives the i-th announced tensor, in any floating dtype. Throws UserError when the disk is full
  // etc.
  void write(const std::string& path, const std::function<at::Tensor(size_t)>& produce);

 private:
  void key(const std::string& name, GgufType type);
  template <class T>
  void put(const T& value);
  void put_text(std::string_view value);
  std::string metadata_;
  uint64_t keys_ = 0;
  std::vector<GgufTensor> tensors_;
};

}  // namespace temper
