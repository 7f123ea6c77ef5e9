// LoRA (Hu et al. 2021, arXiv:2106.09685), with rsLoRA's scale (Kalajdzievski 2023, arXiv:2312.03732). Files
// are PEFT's.
#pragma once

#include <ATen/core/Tensor.h>

#include <map>
#include <memory>
#include <string>
#include <vector>

#include "adapter/adapter.h"
#include "adapter/lora_product.h"
#include "adapter/saved_modules.h"
#include "base/json.h"

namespace temper {

struct LoraOptions : AdapterOptions {
  int64_t rank = 16;
  double alpha = 32.0;
  bool rslora = false;
  double dropout = 0.0;
  Json targets = "all-linear";
  Json rank_pattern = Json::object(), alpha_pattern = Json::object();
  std::vector<std::string> modules_to_save;

  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  std::unique_ptr<Adapter> attach(Model& model, uint64_t seed) const override;
};

// One adapted linear.
struct LoraModule {
  std::string path;
  int64_t rank = 0;
  double scale = 1.0;
  at::Tensor a, b;            // [r, in], [out, r]: fp32 masters that take gradients
  at::Tensor a_work, b_work;  // in the compute dtype, the scale folded into b_work
};

// Modules whose products are one: their A below each other, so that x is multiplied once.
struct LoraGroup {
  std::vector<int64_t> modules;  // places in the adapter's list
  at::Tensor a_work;             // [sum of ranks, in]; the modules' own a_work are its rows
  std::vector<LoraPart> parts;
};

class LoraAdapter : public Adapter, public LinearDelta {
 public:
  // Freezes the model, makes A kaiming-uniform and B zero for the modules of these paths, and attaches.
  LoraAdapter(Model& model, const LoraOptions& options, const std::vector<std::string>& paths, uint64_t seed,
              const std::string& where);
  ~LoraAdapter() override;

  std::vector<std::pair<std::string, at::Tensor>> trainable() override;
  void refresh() override;
  bool can_switch_off() const override { return true; }
  void set_enabled(bool enabled) override;
  void set_step(uint64_t seed, uint64_t step, uint64_t micro_batch) override;
  void save(const std::string& folder, at::ScalarType dtype) override;
  void merge() override;

  at::Tensor apply(const std::vector<int64_t>& modules, const std::vector<int64_t>& outs, const at::Tensor& x,
                   const at::Tensor& y, bool training) override;

  // The tensors of adapter_model.safetensors under PEFT's keys, masters of the optimizer's.
  std::vector<std::pair<std::string, at::Tensor>> tensors() const;
  const std::vector<LoraModule>& modules() const { return modules_; }

 private:
  const LoraGroup& group(const std::vector<int64_t>& modules, const std::vector<int64_t>& outs);
  Model& model_;
  LoraOptions options_;
  SavedModules saved_;
  std::vector<LoraModule> modules_;
  std::vector<int64_t> place_;           // by LinearDelta's module id: place in modules_, or -1
  std::map<int64_t, LoraGroup> groups_;  // by the id of their first linear; made when first met
  uint64_t seed_ = 0, step_ = 0, micro_batch_ = 0;
};

// PEFT's adapter_config.json of a LoRA. `targets` names the modules.
Json lora_config_json(const LoraOptions& options, const Json& targets, const std::string& base_model,
                      bool tied_head, bool causal);
// Reads one; throws UserError on features that change what is computed and are not there.
LoraOptions lora_options_from(const Json& config, const std::string& where);
std::unique_ptr<Adapter> load_lora(Model& model, const std::string& folder, const Json& config);

}  // namespace temper
