#include "merge/by_statistics.h"

#include <ATen/ATen.h>
#include <fmt/ranges.h>

#include "base/error.h"

namespace temper {

std::optional<std::string> module_with_gram(const MergeTensor& t) {
  constexpr std::string_view kEnd = ".weight";
  if (!t.name.ends_with(kEnd) || t.shape().size() != 2) return std::nullopt;
  const std::string module = t.name.substr(0, t.name.size() - kEnd.size());
  size_t have = 0;
  for (const SafetensorsFile* file : t.statistics) have += file->find(module + ".gram") != nullptr ? 1 : 0;
  if (have == 0) return std::nullopt;
  for (const SafetensorsFile* file : t.statistics) {
    if (file->find(module + ".gram") == nullptr)
      user_error("{}: there is no \"{}.gram\", which the other models' statistics have", file->path(),
                 module);
  }
  return module;
}

StoredTensor stored_statistic(const SafetensorsFile& file, const std::string& name,
                              const std::vector<int64_t>& shape) {
  const TensorInfo* info = file.find(name);
  if (info == nullptr)
    user_error("{}: there is no \"{}\"; these statistics are of another model", file.path(), name);
  if (info->shape != shape)
    user_error("{}: \"{}\": expected shape [{}], found [{}]; these statistics are of another model",
               file.path(), name, fmt::join(shape, ", "), fmt::join(info->shape, ", "));
  return StoredTensor(file, name);
}

at::Tensor statistic(const SafetensorsFile& file, const std::string& name,
                     const std::vector<int64_t>& shape) {
  return stored_statistic(file, name, shape).whole();
}

at::Tensor scale_off_diagonal(at::Tensor gram, double factor) {
  if (factor == 1.0) return gram;
  const at::Tensor diagonal = gram.diagonal().clone();
  gram.mul_(factor).diagonal().copy_(diagonal);
  return gram;
}

}  // namespace temper
