#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>
#include <numeric>
#include <set>

#include "base/error.h"
#include "base/file.h"
#include "base/json.h"
#include "base/output.h"
#include "tensor/safetensors.h"

namespace temper {
namespace {

constexpr int64_t kPieceElements = 1 << 21;  // cast and written at a time

// The Python package's order: by this rank, the widest first, then by name.
int dtype_rank(at::ScalarType dtype) {
  const at::ScalarType order[] = {at::kLong, at::kDouble, at::kFloat, at::kInt,  at::kBFloat16,
                                  at::kHalf, at::kShort,  at::kChar,  at::kByte, at::kBool};
  return static_cast<int>(std::find(std::begin(order), std::end(order), dtype) - std::begin(order));
}

void write_tensor(FileStream& file, const at::Tensor& tensor, at::ScalarType dtype) {
  const at::NoGradGuard no_grad;
  if (tensor.numel() == 0) return;
  auto piece = [&](const at::Tensor& part) {
    const at::Tensor flat = part.to(at::TensorOptions().device(at::kCPU).dtype(dtype)).contiguous();
    file.write(flat.data_ptr(), static_cast<uint64_t>(flat.nbytes()));
  };
  if (tensor.dim() == 0) return piece(tensor);
  if (tensor.is_contiguous()) {
    const at::Tensor flat = tensor.view({-1});
    for (int64_t at = 0; at < flat.numel(); at += kPieceElements) {
      piece(flat.narrow(0, at, std::min(kPieceElements, flat.numel() - at)));
    }
    return;
  }
  const int64_t rows =
      std::max<int64_t>(1, kPieceElements / std::max<int64_t>(1, tensor.numel() / tensor.size(0)));
  for (int64_t at = 0; at < tensor.size(0); at += rows)
    piece(tensor.narrow(0, at, std::min(rows, tensor.size(0) - at)));
}

}  // namespace

uint64_t bytes_of(const TensorSpec& spec) {
  uint64_t bytes = c10::elementSize(spec.dtype);
  for (const int64_t dim : spec.shape) bytes *= static_cast<uint64_t>(dim);
  return bytes;
}

std::vector<size_t> safetensors_order(const std::vector<TensorSpec>& specs) {
  std::vector<size_t> order(specs.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::sort(order.begin(), order.end(), [&](size_t a, size_t b) {
    return std::make_pair(dtype_rank(specs[a].dtype), specs[a].name) <
           std::make_pair(dtype_rank(specs[b].dtype), specs[b].name);
  });
  return order;
}

void write_safetensors(const std::string& path, const std::vector<TensorSpec>& specs,
                       const std::function<at::Tensor(size_t)>& produce, const Metadata& metadata) {
  const std::vector<size_t> order = safetensors_order(specs);
  std::string text = "{";
  if (!metadata.empty()) text += "\"__metadata__\":" + dump_line(metadata);
  uint64_t offset = 0;
  std::set<std::string> seen;
  for (const size_t i : order) {
    const uint64_t end = offset + bytes_of(specs[i]);
    if (!seen.insert(specs[i].name).second)
      bug("{}: the tensor \"{}\" is to be written twice", path, specs[i].name);
    const Json entry = {{"dtype", safetensors_dtype(specs[i].dtype)},
                        {"shape", specs[i].shape},
                        {"data_offsets", {offset, end}}};
    text += fmt::format("{}{}:{}", text.size() > 1 ? "," : "", dump_line(specs[i].name), dump_line(entry));
    offset = end;
  }
  text += "}";
  text.append((8 - text.size() % 8) % 8, ' ');  // so that the tensors are aligned

  FileStream file(path);
  const uint64_t header_bytes = text.size();
  file.write(&header_bytes, 8);
  file.write(text.data(), text.size());
  for (const size_t i : order) {
    const at::Tensor tensor = produce(i);
    if (tensor.sizes().vec() != specs[i].shape)
      bug("{}: \"{}\" was announced with another shape", path, specs[i].name);
    write_tensor(file, tensor, specs[i].dtype);
  }
  file.commit();
}

void write_safetensors(const std::string& path, const NamedTensors& tensors, const Metadata& metadata) {
  std::vector<TensorSpec> specs;
  for (const auto& [name, tensor] : tensors)
    specs.push_back({name, tensor.scalar_type(), tensor.sizes().vec()});
  write_safetensors(
      path, specs, [&](size_t i) { return tensors[i].second; }, metadata);
}

void write_safetensors_folder(const std::string& folder, const std::vector<TensorSpec>& specs,
                              const std::function<at::Tensor(size_t)>& produce, uint64_t shard_bytes,
                              const std::string& stem) {
  // Shards are filled in the order of the list; a tensor larger than a shard has one of its own.
  std::vector<std::vector<size_t>> shards(1);
  uint64_t filled = 0, total = 0;
  for (size_t i = 0; i < specs.size(); ++i) {
    const uint64_t bytes = bytes_of(specs[i]);
    if (!shards.back().empty() && filled + bytes > shard_bytes) {
      shards.emplace_back();
      filled = 0;
    }
    shards.back().push_back(i);
    filled += bytes;
    total += bytes;
  }

  std::set<std::string> written;
  Json weight_map = Json::object();
  for (size_t s = 0; s < shards.size(); ++s) {
    const std::string name = shards.size() == 1
                                 ? stem + ".safetensors"
                                 : fmt::format("{}-{:05}-of-{:05}.safetensors", stem, s + 1, shards.size());
    std::vector<TensorSpec> part;
    for (const size_t i : shards[s]) {
      part.push_back(specs[i]);
      weight_map[specs[i].name] = name;
    }
    write_safetensors(folder + "/" + name, part, [&](size_t j) { return produce(shards[s][j]); });
    written.insert(name);
  }
  const std::string index = stem + ".safetensors.index.json";
  if (shards.size() > 1) {
    const Json json = {{"metadata", {{"total_size", total}}}, {"weight_map", weight_map}};
    write_file_atomic(folder + "/" + index, json.dump(2) + "\n");
    written.insert(index);
  }
  // A single file left beside new shards would win over them, and an old index beside a new single file would
  // confuse.
  for (const auto& entry : fs::directory_iterator(folder)) {
    const std::string name = entry.path().filename().string();
    const bool ours = name == stem + ".safetensors" || name == index ||
                      (name.starts_with(stem + "-") && name.ends_with(".safetensors") &&
                       name.find("-of-") != std::string::npos);
    if (ours && !written.count(name)) fs::remove(entry.path());
  }
}

}  // namespace temper
