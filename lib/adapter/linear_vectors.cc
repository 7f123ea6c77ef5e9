#include "adapter/linear_vectors.h"

#include <ATen/ATen.h>

#include <algorithm>

#include "adapter/peft_files.h"

namespace temper {

LinearVectors::LinearVectors(Model& model, const std::vector<std::string>& paths)
    : model_(model), saved_(model, always_saved(model), "adapter"), paths_(paths) {
  for (const std::string& module : model.linear_modules()) {
    const auto at = std::find(paths_.begin(), paths_.end(), module);
    path_of_module_.push_back(at == paths_.end() ? nullptr : &*at);
  }
}

LinearVectors::~LinearVectors() {
  if (model_.delta() == this) model_.set_delta(nullptr);
}

void LinearVectors::add(const std::string& name, const at::Tensor& start) {
  order_.push_back(name);
  vectors_[name] = start.to(model_.precision().device).requires_grad_(true);
}

std::vector<std::pair<std::string, at::Tensor>> LinearVectors::trainable() {
  std::vector<std::pair<std::string, at::Tensor>> out;
  for (const std::string& name : order_) out.emplace_back(kPeftPrefix + name, vectors_.at(name));
  for (const Parameter* p : saved_.parameters()) out.emplace_back(p->name, p->master);
  return out;
}

NamedTensors LinearVectors::tensors() const {
  NamedTensors out;
  for (const std::string& name : order_) out.emplace_back(kPeftPrefix + name, vectors_.at(name).detach());
  for (auto& saved : saved_.folder_tensors(model_.config().causal)) out.push_back(std::move(saved));
  return out;
}

void LinearVectors::refresh() {
  model_.refresh();  // a score head
}

void LinearVectors::set_enabled(bool enabled) {
  model_.set_delta(enabled ? this : nullptr);
  saved_.set_enabled(enabled);
}

void LinearVectors::set_step(uint64_t seed, uint64_t step, uint64_t micro_batch) {
  seed_ = seed;
  step_ = step;
  micro_batch_ = micro_batch;
}

void LinearVectors::save(const std::string& folder, at::ScalarType) {
  save_adapter(folder, tensors(), peft_config(config(), base_model_, model_.config().causal));
}

const std::string* LinearVectors::path_of(int64_t module) const {
  return path_of_module_[static_cast<size_t>(module)];
}

bool LinearVectors::any(const std::vector<int64_t>& modules) const {
  return std::any_of(modules.begin(), modules.end(), [&](int64_t m) { return path_of(m) != nullptr; });
}

const at::Tensor& LinearVectors::base_weight(const std::string& path) const {
  return model_.find(path + ".weight")->compute;
}

}  // namespace temper
