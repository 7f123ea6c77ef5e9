// Log-probs that were computed once and are kept on disk under a key.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <string>

namespace temper {

struct RunConfig;
class Session;

// <cache folder>/<kind>/<key>.safetensors. The key must hold all that the numbers depend on. Reading and
// writing tell the run's progress; a damaged file counts as none, with a warning, and one that cannot be
// written is no error.
class LogpFile {
 public:
  LogpFile(Session& session, const std::string& kind, const std::string& key);
  at::Tensor read(int64_t count) const;  // [count] fp32; undefined: there is none, or none that is whole
  void write(const at::Tensor& values) const;

 private:
  Session& s_;
  std::string kind_, key_, folder_, path_;
};

// A fingerprint of a model folder's weights, and of the weights that a run starts from.
std::string folder_fingerprint(const std::string& folder);
std::string start_fingerprint(const RunConfig& config);

// $XDG_CACHE_HOME/temper or ~/.cache/temper.
std::string cache_folder();

}  // namespace temper
