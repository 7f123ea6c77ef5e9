// What adapters share whose trained parts are vectors beside named linears (VeRA, IA3): names, files, on and
// off.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <string>
#include <vector>

#include "adapter/adapter.h"
#include "adapter/saved_modules.h"
#include "base/json.h"
#include "tensor/safetensors.h"

namespace temper {

class LinearVectors : public Adapter, public LinearDelta {
 public:
  // Freezes the model but for a score head, which always trains. The kind attaches itself when it is
  // complete.
  LinearVectors(Model& model, const std::vector<std::string>& paths);
  ~LinearVectors() override;

  std::vector<std::pair<std::string, at::Tensor>> trainable() override;
  void refresh() override;
  bool can_switch_off() const override { return true; }
  bool trains(int64_t module) const override { return path_of(module) != nullptr; }
  void set_enabled(bool enabled) override;
  void set_step(uint64_t seed, uint64_t step, uint64_t micro_batch) override;
  void save(const std::string& folder, at::ScalarType dtype) override;
  // What the file holds, under PEFT's keys.
  virtual NamedTensors tensors() const;

 protected:
  void add(const std::string& name, const at::Tensor& start);  // a trained fp32 tensor
  const at::Tensor& vector(const std::string& name) const { return vectors_.at(name); }
  const std::vector<std::string>& paths() const { return paths_; }
  const std::string* path_of(int64_t module) const;  // null: not adapted
  bool any(const std::vector<int64_t>& modules) const;
  const at::Tensor& base_weight(const std::string& path) const;
  virtual Json config() const = 0;  // the kind's own part of adapter_config.json

  Model& model_;
  uint64_t seed_ = 0, step_ = 0, micro_batch_ = 0;

 private:
  SavedModules saved_;
  std::vector<std::string> paths_;
  std::vector<const std::string*> path_of_module_;
  std::vector<std::string> order_;
  std::map<std::string, at::Tensor> vectors_;
};

}  // namespace temper
