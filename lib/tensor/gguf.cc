#include "tensor/gguf.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <charconv>
#include <cstring>
#include <limits>
#include <set>

#include "base/error.h"
#include "base/file.h"

namespace temper {
namespace {

constexpr uint64_t kMaxName = 1 << 16;
constexpr int kMaxNesting = 3;

// Bytes of a fixed-size value; 0 for strings and arrays.
uint64_t value_bytes(GgufType type) {
  switch (type) {
    case GgufType::kU8:
    case GgufType::kI8:
    case GgufType::kBool:
      return 1;
    case GgufType::kU16:
    case GgufType::kI16:
      return 2;
    case GgufType::kU32:
    case GgufType::kI32:
    case GgufType::kF32:
      return 4;
    case GgufType::kU64:
    case GgufType::kI64:
    case GgufType::kF64:
      return 8;
    default:
      return 0;
  }
}

// Walks through the file; every step is checked against its size first.
class Cursor {
 public:
  Cursor(const MappedFile& map) : map_(map) {}
  uint64_t at() const { return at_; }
  uint64_t left() const { return map_.size() - at_; }

  template <class T>
  T read(const char* what) {
    need(sizeof(T), what);
    T value;
    std::memcpy(&value, map_.data() + at_, sizeof(T));
    at_ += sizeof(T);
    return value;
  }
  std::string_view text(const char* what, uint64_t most = std::numeric_limits<uint64_t>::max()) {
    const auto size = read<uint64_t>(what);
    if (size > most) fail(fmt::format("{} is {} bytes long", what, size));
    need(size, what);
    const std::string_view view(reinterpret_cast<const char*>(map_.data()) + at_, size);
    at_ += size;
    return view;
  }
  GgufType type(const char* what) {
    const auto number = read<uint32_t>(what);
    if (number > static_cast<uint32_t>(GgufType::kF64))
      fail(fmt::format("{} has the unknown value type {}", what, number));
    return static_cast<GgufType>(number);
  }
  void skip_items(GgufType type, uint64_t count, int depth, const char* what) {
    const uint64_t size = value_bytes(type);
    if (size > 0) {
      if (count > left() / size) fail(fmt::format("{}: {} items do not fit the file", what, count));
      at_ += count * size;
      return;
    }
    if (count > left() / 8) fail(fmt::format("{}: {} items do not fit the file", what, count));
    for (uint64_t i = 0; i < count; ++i) {
      if (type == GgufType::kString) {
        text(what);
      } else {
        if (depth >= kMaxNesting) fail(fmt::format("{}: arrays are nested too deep", what));
        const GgufType inner = this->type(what);
        skip_items(inner, read<uint64_t>(what), depth + 1, what);
      }
    }
  }
  [[noreturn]] void fail(const std::string& why) const {
    user_error("{}: not a valid GGUF file: {}", map_.path(), why);
  }

 private:
  void need(uint64_t bytes, const char* what) const {
    if (bytes > left()) fail(fmt::format("it ends inside {} (byte {} of {})", what, at_, map_.size()));
  }
  const MappedFile& map_;
  uint64_t at_ = 0;
};

template <class T>
T load(const uint8_t* from) {
  T value;
  std::memcpy(&value, from, sizeof(T));
  return value;
}

bool is_integer(GgufType type) {
  return value_bytes(type) > 0 && type != GgufType::kF32 && type != GgufType::kF64 && type != GgufType::kBool;
}

// Unsigned 64-bit values beyond the signed range come out negative; callers check ranges.
int64_t load_integer(GgufType type, const uint8_t* from) {
  switch (type) {
    case GgufType::kU8:
      return load<uint8_t>(from);
    case GgufType::kI8:
      return load<int8_t>(from);
    case GgufType::kU16:
      return load<uint16_t>(from);
    case GgufType::kI16:
      return load<int16_t>(from);
    case GgufType::kU32:
      return load<uint32_t>(from);
    case GgufType::kI32:
      return load<int32_t>(from);
    default:
      return load<int64_t>(from);
  }
}

double load_number(GgufType type, const uint8_t* from) {
  if (type == GgufType::kF64) return load<double>(from);
  // 1e-5 is stored as the fp32 9.9999997e-06; configs want what was meant.
  char digits[32];
  const auto end = std::to_chars(digits, digits + sizeof digits, load<float>(from)).ptr;
  double value = 0;
  std::from_chars(digits, end, value);
  return value;
}

GgmlType known_type(uint32_t number, const std::string& name, const Cursor& cursor) {
  for (const GgmlType type : {GgmlType::kF32, GgmlType::kF16, GgmlType::kBF16, GgmlType::kQ4_0,
                              GgmlType::kQ4_1, GgmlType::kQ5_0, GgmlType::kQ5_1, GgmlType::kQ8_0,
                              GgmlType::kQ4_K, GgmlType::kQ5_K, GgmlType::kQ6_K, GgmlType::kMXFP4}) {
    if (static_cast<uint32_t>(type) == number) return type;
  }
  cursor.fail(
      fmt::format("tensor \"{}\" is of ggml type {}; read are F32, F16, BF16, Q4_0, Q4_1, Q5_0, Q5_1, Q8_0, "
                  "Q4_K, Q5_K, Q6_K, MXFP4",
                  name.substr(0, 200), number));
}

GgufTensor read_tensor(Cursor& cursor) {
  GgufTensor info;
  info.name = std::string(cursor.text("a tensor's name", kMaxName));
  const std::string shown = info.name.substr(0, 200);
  const auto dims = cursor.read<uint32_t>("a tensor's dimensions");
  if (dims < 1 || dims > 4)
    cursor.fail(fmt::format("tensor \"{}\" has {} dimensions, expected 1 to 4", shown, dims));
  uint64_t elements = 1;
  for (uint32_t d = 0; d < dims; ++d) {
    const auto size = cursor.read<uint64_t>("a tensor's dimensions");
    if (size == 0 || size > (uint64_t{1} << 40) || __builtin_mul_overflow(elements, size, &elements) ||
        elements > (uint64_t{1} << 48)) {
      cursor.fail(fmt::format("tensor \"{}\" has an impossible dimension {}", shown, size));
    }
    info.shape.insert(info.shape.begin(), static_cast<int64_t>(size));
  }
  info.type = known_type(cursor.read<uint32_t>("a tensor's type"), info.name, cursor);
  if (static_cast<uint64_t>(info.shape.back()) % ggml_block_elements(info.type) != 0) {
    cursor.fail(fmt::format("tensor \"{}\": rows of {} are no whole {} blocks", shown, info.shape.back(),
                            ggml_type_name(info.type)));
  }
  info.begin = cursor.read<uint64_t>("a tensor's offset");
  info.end = elements / ggml_block_elements(info.type) *
             ggml_block_bytes(info.type);  // its size, until the data's start is known
  return info;
}

}  // namespace

GgufFile::GgufFile(const std::string& path) : path_(path), map_(std::make_shared<MappedFile>(path)) {
  Cursor cursor(*map_);
  if (map_->size() < 4 || std::memcmp(map_->data(), "GGUF", 4) != 0)
    user_error("{}: not a GGUF file: it does not begin with GGUF", path);
  cursor.read<uint32_t>("the header");
  const auto version = cursor.read<uint32_t>("the header");
  if (version != 2 && version != 3) {
    cursor.fail(fmt::format("version {}; expected 2 or 3, little endian", version));
  }
  const auto tensor_count = cursor.read<uint64_t>("the header"),
             key_count = cursor.read<uint64_t>("the header");
  // The shortest key takes 13 bytes, the shortest tensor 32.
  if (key_count > cursor.left() / 13 || tensor_count > cursor.left() / 32) {
    cursor.fail(
        fmt::format("{} keys and {} tensors do not fit {} bytes", key_count, tensor_count, map_->size()));
  }
  for (uint64_t i = 0; i < key_count; ++i) {
    const std::string key(cursor.text("a key", kMaxName));
    Value value;
    value.type = cursor.type("a value");
    if (value.type == GgufType::kArray) {
      value.item = cursor.type("an array");
      value.count = cursor.read<uint64_t>("an array");
      value.at = cursor.at();
      cursor.skip_items(value.item, value.count, 1, "an array");
    } else {
      value.at = cursor.at();
      cursor.skip_items(value.type, 1, 1, "a value");
    }
    if (!values_.emplace(key, value).second)
      cursor.fail(fmt::format("the key \"{}\" stands twice", key.substr(0, 200)));
  }
  uint64_t alignment = 32;
  if (has("general.alignment")) {
    const int64_t given = integer("general.alignment");
    if (given < 8 || given > (1 << 20) || given % 8 != 0)
      cursor.fail(fmt::format("general.alignment is {}", given));
    alignment = static_cast<uint64_t>(given);
  }
  for (uint64_t i = 0; i < tensor_count; ++i) {
    tensors_.push_back(read_tensor(cursor));
    if (!index_.emplace(tensors_.back().name, i).second) {
      cursor.fail(fmt::format("the tensor \"{}\" stands twice", tensors_.back().name.substr(0, 200)));
    }
  }
  const uint64_t data = (cursor.at() + alignment - 1) / alignment * alignment;
  const uint64_t room = data <= map_->size() ? map_->size() - data : 0;
  for (GgufTensor& t : tensors_) {
    if (t.begin % alignment != 0 || t.begin > room || t.end > room - t.begin) {
      cursor.fail(
          fmt::format("tensor \"{}\" ({} bytes at {}) does not lie in the {} bytes of data (truncated file?)",
                      t.name.substr(0, 200), t.end, t.begin, room));
    }
    t.begin += data;
    t.end += t.begin;
  }
  std::vector<const GgufTensor*> sorted;
  for (const GgufTensor& t : tensors_) sorted.push_back(&t);
  std::sort(sorted.begin(), sorted.end(), [](const auto* a, const auto* b) { return a->begin < b->begin; });
  for (size_t i = 1; i < sorted.size(); ++i) {
    if (sorted[i]->begin < sorted[i - 1]->end) {
      cursor.fail(fmt::format("the tensors \"{}\" and \"{}\" overlap", sorted[i - 1]->name.substr(0, 200),
                              sorted[i]->name.substr(0, 200)));
    }
  }
}

std::vector<std::string> GgufFile::keys() const {
  std::vector<std::string> out;
  for (const auto& [key, value] : values_) out.push_back(key);
  return out;
}

const GgufFile::Value& GgufFile::value(const std::string& key) const {
  const auto it = values_.find(key);
  if (it == values_.end()) user_error("{}: the key {} is missing", path_, key);
  return it->second;
}

void GgufFile::wrong(const std::string& key, const char* expected) const {
  user_error("{}: {}: expected {}, found value type {}", path_, key, expected,
             static_cast<uint32_t>(value(key).type));
}

std::string GgufFile::text(const std::string& key) const {
  const Value& v = value(key);
  if (v.type != GgufType::kString) wrong(key, "a string");
  return std::string(reinterpret_cast<const char*>(map_->data()) + v.at + 8,
                     load<uint64_t>(map_->data() + v.at));
}

int64_t GgufFile::integer(const std::string& key) const {
  const Value& v = value(key);
  if (!is_integer(v.type)) wrong(key, "an integer");
  return load_integer(v.type, map_->data() + v.at);
}

double GgufFile::number(const std::string& key) const {
  const Value& v = value(key);
  if (is_integer(v.type)) return static_cast<double>(load_integer(v.type, map_->data() + v.at));
  if (v.type != GgufType::kF32 && v.type != GgufType::kF64) wrong(key, "a number");
  return load_number(v.type, map_->data() + v.at);
}

bool GgufFile::boolean(const std::string& key) const {
  const Value& v = value(key);
  if (v.type != GgufType::kBool) wrong(key, "a boolean");
  return map_->data()[v.at] != 0;
}

std::vector<std::string_view> GgufFile::texts(const std::string& key) const {
  const Value& v = value(key);
  if (v.type != GgufType::kArray || v.item != GgufType::kString) wrong(key, "an array of strings");
  std::vector<std::string_view> out;
  const uint8_t* at = map_->data() + v.at;
  for (uint64_t i = 0; i < v.count; ++i) {
    const auto size = load<uint64_t>(at);
    out.emplace_back(reinterpret_cast<const char*>(at) + 8, size);
    at += 8 + size;
  }
  return out;
}

std::vector<int64_t> GgufFile::integers(const std::string& key) const {
  const Value& v = value(key);
  if (v.type != GgufType::kArray || !is_integer(v.item)) wrong(key, "an array of integers");
  std::vector<int64_t> out;
  for (uint64_t i = 0; i < v.count; ++i)
    out.push_back(load_integer(v.item, map_->data() + v.at + i * value_bytes(v.item)));
  return out;
}

std::vector<double> GgufFile::numbers(const std::string& key) const {
  const Value& v = value(key);
  if (v.type != GgufType::kArray || (v.item != GgufType::kF32 && v.item != GgufType::kF64))
    wrong(key, "an array of numbers");
  std::vector<double> out;
  for (uint64_t i = 0; i < v.count; ++i) {
    const uint8_t* at = map_->data() + v.at + i * value_bytes(v.item);
    out.push_back(v.item == GgufType::kF32 ? static_cast<double>(load<float>(at)) : load<double>(at));
  }
  return out;
}

std::vector<bool> GgufFile::booleans(const std::string& key) const {
  const Value& v = value(key);
  if (v.type != GgufType::kArray || v.item != GgufType::kBool) wrong(key, "an array of booleans");
  std::vector<bool> out;
  for (uint64_t i = 0; i < v.count; ++i) out.push_back(map_->data()[v.at + i] != 0);
  return out;
}

const GgufTensor* GgufFile::find(const std::string& name) const {
  const auto it = index_.find(name);
  return it == index_.end() ? nullptr : &tensors_[it->second];
}

at::Tensor GgufFile::tensor(const GgufTensor& info) const {
  at::Tensor out = at::empty(info.shape, at::kFloat);
  ggml_dequantize(info.type, map_->data() + info.begin, out.numel(), out.mutable_data_ptr<float>());
  return out;
}

}  // namespace temper
