#include "adapter/parked.h"

#include <ATen/ATen.h>

#include "base/error.h"
#include "base/file.h"
#include "tensor/safetensors.h"

namespace temper {
namespace {

StateTensors mapped(const std::string& path) {
  StateTensors out;
  const SafetensorsFile file(path);
  for (const TensorInfo& info : file.tensors()) out[info.name] = file.tensor(info);
  return out;
}

}  // namespace

ParkedState::~ParkedState() {
  remove_files();
}

void ParkedState::remove_files() {
  std::error_code ignored;
  if (!folder_.empty()) fs::remove_all(folder_, ignored);
}

void ParkedState::put(const std::string& name, const StateTensors& state) {
  if (drops() || state.empty()) return;
  names_.insert(name);
  if (policy_ == "keep") {
    kept_[name] = state;
    return;
  }
  if (folder_.empty()) bug("offloaded state needs a folder");
  std::error_code error;
  fs::create_directories(folder_, error);
  if (error) user_error("{}: cannot create the folder: {}", folder_, error.message());
  write_safetensors(file(name), NamedTensors(state.begin(), state.end()));
}

StateTensors ParkedState::take(const std::string& name) {
  if (names_.erase(name) == 0) return {};
  StateTensors out;
  if (policy_ == "keep") {
    out = std::move(kept_.at(name));
    kept_.erase(name);
  } else {
    for (const auto& [slot, tensor] : mapped(file(name))) out[slot] = tensor.clone();
    fs::remove(file(name));
  }
  return out;
}

StateTensors ParkedState::all() const {
  StateTensors out;
  for (const std::string& name : names_) {
    for (const auto& [slot, tensor] : policy_ == "keep" ? kept_.at(name) : mapped(file(name)))
      out[name + "/" + slot] = tensor;
  }
  return out;
}

void ParkedState::load(const StateTensors& all) {
  names_.clear();
  kept_.clear();
  remove_files();
  std::map<std::string, StateTensors> by_name;
  for (const auto& [key, tensor] : all) {
    const size_t slash = key.rfind('/');
    by_name[key.substr(0, slash)][key.substr(slash + 1)] = tensor.clone();
  }
  for (const auto& [name, state] : by_name) put(name, state);
}

}  // namespace temper
