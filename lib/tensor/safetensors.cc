#include "tensor/safetensors.h"

#include <ATen/ATen.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cstring>
#include <limits>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"

namespace temper {
namespace {

constexpr uint64_t kMaxHeader = 100'000'000;  // the Python package's own limit

const std::pair<const char*, at::ScalarType> kDtypes[] = {
    {"F64", at::kDouble}, {"F32", at::kFloat}, {"F16", at::kHalf},  {"BF16", at::kBFloat16},
    {"I64", at::kLong},   {"I32", at::kInt},   {"I16", at::kShort}, {"I8", at::kChar},
    {"U8", at::kByte},    {"BOOL", at::kBool}};

using Header =
    nlohmann::json;  // keys sorted, so that a header of a million names is no slower to build than to read

std::string shown(const Header& value) {
  return value.dump(-1, ' ', false, Header::error_handler_t::replace).substr(0, 100);
}

// Strict JSON without comments; names that stand twice and deep nesting are errors.
Header parse_header(const char* text, uint64_t size, const std::string& path) {
  constexpr int kDepth = 4;  // file, tensor, array, and one to see that it is too much
  std::vector<std::set<std::string>> keys;
  std::string problem;
  auto check = [&](int depth, Header::parse_event_t event, Header& value) {
    if (depth > kDepth && problem.empty()) problem = "is nested too deep";
    if (!problem.empty()) return false;
    if (event == Header::parse_event_t::object_start) keys.emplace_back();
    if (event == Header::parse_event_t::object_end) keys.pop_back();
    if (event == Header::parse_event_t::key && !keys.back().insert(value.get<std::string>()).second) {
      problem = fmt::format("has the key \"{}\" twice", value.get<std::string>().substr(0, 200));
    }
    return true;
  };
  try {
    Header header = Header::parse(text, text + size, check);
    if (problem.empty()) return header;
  } catch (const Header::exception& e) {
    if (problem.empty()) problem = fmt::format("is not valid JSON: {}", std::string(e.what()).substr(0, 160));
    std::replace(problem.begin(), problem.end(), '\n', ' ');
  }
  user_error("{}: the header {}", path, problem);
}

at::ScalarType read_dtype(const Header& value, const std::string& where) {
  if (value.is_string()) {
    for (const auto& [name, dtype] : kDtypes) {
      if (value.get_ref<const std::string&>() == name) return dtype;
    }
  }
  user_error("{}: dtype: expected one of F64, F32, F16, BF16, I64, I32, I16, I8, U8, BOOL, found {}", where,
             shown(value));
}

uint64_t read_unsigned(const Header& value, const std::string& where) {
  if (!value.is_number_unsigned()) {
    user_error("{}: expected a non-negative integer, found {}", where, shown(value));
  }
  return value.get<uint64_t>();
}

// One entry of the header; `data` and `size` say where the tensors' bytes lie in the file.
TensorInfo read_entry(const std::string& name, const Header& entry, uint64_t data, uint64_t size,
                      const std::string& path) {
  const std::string where = fmt::format("{}: tensor \"{}\"", path, name.substr(0, 200));
  if (!entry.is_object() || !entry.contains("dtype") || !entry.contains("shape") ||
      !entry.contains("data_offsets")) {
    user_error("{}: expected an object with dtype, shape and data_offsets", where);
  }
  for (const auto& [key, value] : entry.items()) {
    if (key != "dtype" && key != "shape" && key != "data_offsets") {
      user_error("{}: unknown key \"{}\"; expected dtype, shape, data_offsets", where, key.substr(0, 40));
    }
  }
  TensorInfo info;
  info.name = name;
  info.dtype = read_dtype(entry["dtype"], where);
  const Header& shape = entry["shape"];
  if (!shape.is_array() || shape.size() > 32)
    user_error("{}: shape: expected an array of at most 32 sizes", where);
  uint64_t bytes = c10::elementSize(info.dtype);
  for (const Header& item : shape) {
    const uint64_t dim = read_unsigned(item, where + ": shape");
    if (dim > static_cast<uint64_t>(std::numeric_limits<int64_t>::max()) ||
        __builtin_mul_overflow(bytes, dim, &bytes)) {
      user_error("{}: shape {}: more elements than 64 bits can count", where, shown(shape));
    }
    info.shape.push_back(static_cast<int64_t>(dim));
  }
  // A zero size hides an overflow in the other sizes from the product, yet strides are made of them.
  uint64_t span = c10::elementSize(info.dtype);
  for (const int64_t dim : info.shape) {
    if (dim > 0 && __builtin_mul_overflow(span, static_cast<uint64_t>(dim), &span)) {
      user_error("{}: shape {}: more elements than 64 bits can count", where, shown(shape));
    }
  }
  if (span > static_cast<uint64_t>(std::numeric_limits<int64_t>::max())) {
    user_error("{}: shape {}: more bytes than 63 bits can count", where, shown(shape));
  }
  const Header& offsets = entry["data_offsets"];
  if (!offsets.is_array() || offsets.size() != 2)
    user_error("{}: data_offsets: expected [begin, end]", where);
  const uint64_t begin = read_unsigned(offsets[0], where + ": data_offsets");
  const uint64_t end = read_unsigned(offsets[1], where + ": data_offsets");
  if (begin > end || end > size) {
    user_error("{}: data_offsets [{}, {}] do not lie in the {} bytes of data (truncated file?)", where, begin,
               end, size);
  }
  if (end - begin != bytes) {
    user_error("{}: {} of shape {} takes {} bytes, but data_offsets [{}, {}] give {}", where,
               entry["dtype"].get<std::string>(), shown(shape), bytes, begin, end, end - begin);
  }
  info.begin = data + begin;
  info.end = data + end;
  return info;
}

}  // namespace

SafetensorsFile::SafetensorsFile(const std::string& path)
    : path_(path), map_(std::make_shared<MappedFile>(path)) {
  const uint64_t size = map_->size();
  if (size < 8) user_error("{}: not a safetensors file: only {} bytes long", path, size);
  uint64_t header_bytes = 0;
  std::memcpy(&header_bytes, map_->data(), 8);
  if (header_bytes > kMaxHeader || header_bytes > size - 8) {
    user_error("{}: not a safetensors file: it says its header is {} bytes long, the file has {}", path,
               header_bytes, size);
  }
  const char* text = reinterpret_cast<const char*>(map_->data()) + 8;
  if (header_bytes < 2 || text[0] != '{')
    user_error("{}: not a safetensors file: its header does not begin with {{", path);
  const Header header = parse_header(text, header_bytes, path);

  const uint64_t data = 8 + header_bytes;
  for (const auto& [name, entry] : header.items()) {
    if (name == "__metadata__") {
      if (!entry.is_object()) user_error("{}: __metadata__: expected an object of strings", path);
      for (const auto& [key, value] : entry.items()) {
        if (!value.is_string())
          user_error("{}: __metadata__: \"{}\": expected a string", path, key.substr(0, 200));
        metadata_[key] = value.get<std::string>();
      }
      continue;
    }
    tensors_.push_back(read_entry(name, entry, data, size - data, path));
  }
  std::stable_sort(tensors_.begin(), tensors_.end(), [](const TensorInfo& a, const TensorInfo& b) {
    return std::make_pair(a.begin, a.end) < std::make_pair(b.begin, b.end);
  });
  uint64_t expected = data;
  for (size_t i = 0; i < tensors_.size(); ++i) {
    const TensorInfo& info = tensors_[i];
    if (info.begin != expected) {
      user_error("{}: tensor \"{}\" begins at byte {}, but the one before it ends at {}: the tensors {}",
                 path, info.name.substr(0, 200), info.begin - data, expected - data,
                 info.begin < expected ? "overlap" : "have a gap between them");
    }
    expected = info.end;
    index_[info.name] = i;
  }
  if (expected != size) {
    user_error("{}: {} bytes follow the last tensor; a safetensors file ends with it", path, size - expected);
  }
}

const TensorInfo* SafetensorsFile::find(const std::string& name) const {
  const auto it = index_.find(name);
  return it == index_.end() ? nullptr : &tensors_[it->second];
}

at::Tensor SafetensorsFile::tensor(const std::string& name) const {
  const TensorInfo* info = find(name);
  if (info == nullptr) user_error("{}: there is no tensor \"{}\"", path_, name);
  return tensor(*info);
}

at::Tensor SafetensorsFile::tensor(const TensorInfo& info) const {
  const auto options = at::TensorOptions().dtype(info.dtype);
  if (info.begin == info.end) return at::empty(info.shape, options);
  const uint8_t* bytes = map_->data() + info.begin;
  if (info.dtype == at::kBool &&
      std::any_of(bytes, map_->data() + info.end, [](uint8_t b) { return b > 1; })) {
    user_error("{}: tensor \"{}\": a BOOL byte is neither 0 nor 1", path_, info.name);
  }
  if (info.begin % c10::elementSize(info.dtype) != 0) {
    at::Tensor copy = at::empty(info.shape, options);
    std::memcpy(copy.data_ptr(), bytes, info.end - info.begin);
    return copy;
  }
  return at::from_blob(
      const_cast<uint8_t*>(bytes), info.shape, [map = map_](void*) {}, options);
}

void SafetensorsFile::release(const TensorInfo& info) const {
  // Whole pages inside the tensor; its neighbours keep theirs.
  const uint64_t page = static_cast<uint64_t>(::sysconf(_SC_PAGESIZE));
  const uint64_t begin = (info.begin + page - 1) / page * page, end = info.end / page * page;
  if (begin < end) ::madvise(const_cast<uint8_t*>(map_->data()) + begin, end - begin, MADV_DONTNEED);
}

SafetensorsFolder::SafetensorsFolder(const std::string& folder, const std::string& stem) : folder_(folder) {
  const std::string single = folder + "/" + stem + ".safetensors", index = single + ".index.json";
  if (!fs::is_directory(folder))
    user_error("{}: expected a model folder, found {}", folder, fs::exists(folder) ? "a file" : "nothing");
  if (fs::exists(single)) {
    files_.push_back(std::make_unique<SafetensorsFile>(single));
    for (const TensorInfo& info : files_[0]->tensors()) {
      names_.push_back(info.name);
      file_of_[info.name] = 0;
    }
    return;
  }
  if (!fs::exists(index)) {
    user_error("{}: holds neither {}.safetensors nor {}.safetensors.index.json{}", folder, stem, stem,
               fs::exists(folder + "/pytorch_model.bin")
                   ? "; pytorch_model.bin is not read: save it as safetensors first"
                   : "");
  }
  const Json json = read_json_file(index);
  if (!json.is_object() || !json.contains("weight_map") || !json["weight_map"].is_object()) {
    user_error("{}: expected an object with a weight_map", index);
  }
  std::map<std::string, size_t> opened;
  for (const auto& [name, value] : json["weight_map"].items()) {
    if (!value.is_string())
      user_error("{}: weight_map: \"{}\": expected a file name", index, name.substr(0, 200));
    const std::string file = value.get<std::string>();
    if (file.empty() || file.find('/') != std::string::npos || file == "." || file == "..") {
      user_error("{}: weight_map: \"{}\": expected the name of a file in the same folder, found \"{}\"",
                 index, name.substr(0, 200), file.substr(0, 200));
    }
    const auto [it, is_new] = opened.emplace(file, files_.size());
    if (is_new) files_.push_back(std::make_unique<SafetensorsFile>(folder + "/" + file));
    if (files_[it->second]->find(name) == nullptr) {
      user_error("{}: \"{}\" should be in {}, but is not", index, name.substr(0, 200), file);
    }
    file_of_[name] = it->second;
    names_.push_back(name);
  }
  for (const auto& file : files_) {
    for (const TensorInfo& info : file->tensors()) {
      if (!file_of_.count(info.name))
        user_error("{}: does not list \"{}\", which {} holds", index, info.name.substr(0, 200), file->path());
    }
  }
}

const TensorInfo* SafetensorsFolder::find(const std::string& name) const {
  const auto it = file_of_.find(name);
  return it == file_of_.end() ? nullptr : files_[it->second]->find(name);
}

at::Tensor SafetensorsFolder::tensor(const std::string& name) const {
  const auto it = file_of_.find(name);
  if (it == file_of_.end()) user_error("{}: there is no tensor \"{}\"", folder_, name);
  return files_[it->second]->tensor(name);
}

void SafetensorsFolder::release(const std::string& name) const {
  if (const TensorInfo* info = find(name)) files_[file_of_.at(name)]->release(*info);
}

std::string safetensors_dtype(at::ScalarType dtype) {
  for (const auto& [name, type] : kDtypes) {
    if (type == dtype) return name;
  }
  bug("safetensors has no dtype for {}", c10::toString(dtype));
}

}  // namespace temper
