#include "train/logp_file.h"

#include <ATen/ATen.h>

#include <algorithm>
#include <cstdlib>

#include "base/error.h"
#include "base/file.h"
#include "base/hash.h"
#include "tensor/safetensors.h"
#include "train/session.h"

namespace temper {
namespace {

std::string checksum(const at::Tensor& values) {
  return Fingerprint().add(values.const_data_ptr<float>(), values.numel() * sizeof(float)).hex();
}

}  // namespace

LogpFile::LogpFile(Session& session, const std::string& kind, const std::string& key)
    : s_(session),
      kind_(kind),
      key_(key),
      folder_(cache_folder() + "/" + kind),
      path_(fmt::format("{}/{}.safetensors", folder_, key)) {}

at::Tensor LogpFile::read(int64_t count) const {
  std::error_code error;
  if (!fs::exists(path_, error)) return {};
  try {
    const SafetensorsFile file(path_);
    const auto said = [&](const char* name) {
      const auto it = file.metadata().find(name);
      return it == file.metadata().end() ? "" : it->second;
    };
    const TensorInfo* info = file.find("logp");
    if (info == nullptr || info->dtype != at::kFloat || info->shape != std::vector<int64_t>{count})
      user_error("it does not hold {} log-probs", count);
    at::Tensor values = file.tensor(*info).clone();
    if (said("key") != key_ || said("checksum") != checksum(values)) user_error("its checksum does not fit");
    s_.progress->message(fmt::format("{} log-probs: read from {}", kind_, path_));
    return values;
  } catch (const UserError& e) {
    s_.progress->message(fmt::format("{}: damaged, computed anew: {}", path_, e.what()), LogLevel::kWarning);
    return {};
  }
}

void LogpFile::write(const at::Tensor& values) const {
  try {
    std::error_code error;
    fs::create_directories(folder_, error);
    write_safetensors(path_, {{"logp", values}},
                      {{"format", "pt"}, {"key", key_}, {"checksum", checksum(values)}});
    s_.progress->message(fmt::format("{} log-probs: written to {}", kind_, path_));
  } catch (const UserError& e) {
    s_.progress->message(fmt::format("{} log-probs: kept for this run only: {}", kind_, e.what()),
                         LogLevel::kWarning);
  }
}

std::string folder_fingerprint(const std::string& folder) {
  Fingerprint f;
  std::vector<std::string> files;
  for (const auto& entry : fs::directory_iterator(folder)) {
    if (entry.path().extension() == ".safetensors" || entry.path().filename() == "config.json")
      files.push_back(entry.path().string());
  }
  std::sort(files.begin(), files.end());
  for (const std::string& name : files) {
    const MappedFile file(name);
    f.add(fs::path(name).filename().string()).add(file.data(), file.size());
  }
  return f.hex();
}

std::string start_fingerprint(const RunConfig& config) {
  if (!config.model.path.empty()) {
    const std::string folder = folder_fingerprint(config.model.path);
    const ModelSection& model = config.model;
    if (model.quantise == "none") return folder;
    return Fingerprint().add(folder).add(model.quantise).add(model.double_quantisation ? 1 : 0).hex();
  }
  return Fingerprint().add(dump_fields(config.model).dump()).add(config.seed).hex();
}

std::string cache_folder() {
  const char* cache = std::getenv("XDG_CACHE_HOME");
  if (cache != nullptr && *cache != '\0') return std::string(cache) + "/temper";
  const char* home = std::getenv("HOME");
  return (home != nullptr && *home != '\0' ? std::string(home) : fs::temp_directory_path().string()) +
         "/.cache/temper";
}

}  // namespace temper
