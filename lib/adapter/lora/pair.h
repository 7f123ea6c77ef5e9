// Two LoRA on one base, one of which is in place at a time: the fast and the slow learner of OFS-DPO
// (arXiv 2406.05534). Which of the two is called fast is a role that moves; each keeps its learning rate, set
// by optimizer.lr_rules on the names "first." and "second.".
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "adapter/lora/lora.h"

namespace temper {

struct LoraPairOptions : LoraOptions {
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  std::unique_ptr<Adapter> attach(Model& model, uint64_t seed) const override;
};

class LoraPairAdapter : public Adapter {
 public:
  LoraPairAdapter(std::unique_ptr<LoraAdapter> first, std::unique_ptr<LoraAdapter> second);

  // Names begin with "first." and "second.".
  std::vector<std::pair<std::string, at::Tensor>> trainable() override;
  void refresh() override;
  bool can_switch_off() const override { return true; }
  void set_enabled(bool enabled) override;  // of the one in place
  void set_step(uint64_t seed, uint64_t step, uint64_t micro_batch) override;
  void save(const std::string& folder, at::ScalarType dtype) override;  // the one in place
  void merge() override;
  double lr_factor(const std::string& name) const override { return both_[0]->lr_factor(name); }

  // Puts the first (0) or the second (1) in place.
  void select(int which);

 private:
  std::unique_ptr<LoraAdapter> both_[2];
  int in_place_ = 0;
};

}  // namespace temper
