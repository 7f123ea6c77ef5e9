// IST, importance-aware sparse tuning (Yao et al. 2024, arXiv:2410.11772), of a LoRA: each update trains the
// adapters of a few blocks, drawn by an importance score I that is learnt on the way. formulas/adapters.md
// (antgroup/importance-aware-sparse-tuning-IST-paper).
//
// Before every `measure_every`-th update but the first, `subsets` different sets of blocks are drawn in
// proportion to sigmoid(I); with the updates of a set's adapters scaled by `suppress`, the loss of the coming
// update is l_k. With r_k = exp(-l_k) minus the mean of all exp(-l), I_i += score_rate r_k p_i (1 - p_i) for
// the blocks i of set k, p = sigmoid(I) before the first change. Blocks that train are drawn in proportion to
// sigmoid(-I): a high score says that the block is not missed.
//
// Departure from the code: the loss is over the whole batch of the update, not over its first micro-batch, so
// that the micro-batch size changes nothing.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "adapter/lora/lora.h"

namespace temper {

struct IstOptions : LoraOptions {
  double train_share = 0.25, suppressed_share = 0.5, suppress = 0.25, score_rate = 10.0;
  int64_t measure_every = 10, subsets = 3;
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  std::unique_ptr<Adapter> attach(Model& model, uint64_t seed) const override;
};

class IstAdapter : public Adapter {
 public:
  IstAdapter(std::unique_ptr<LoraAdapter> lora, const IstOptions& options, uint64_t seed);

  std::vector<std::pair<std::string, at::Tensor>> trainable() override { return lora_->trainable(); }
  void refresh() override { lora_->refresh(); }
  bool can_switch_off() const override { return true; }
  void set_enabled(bool enabled) override { lora_->set_enabled(enabled); }
  void set_step(uint64_t seed, uint64_t step, uint64_t micro_batch) override;
  void save(const std::string& folder, at::ScalarType dtype) override;  // a LoRA
  void merge() override { lora_->merge(); }
  double lr_factor(const std::string& name) const override { return lora_->lr_factor(name); }

  // Measures when it is due, then draws who trains. A parameter that is not drawn takes no gradient and so
  // keeps its optimizer state as it is.
  void begin_update(int64_t update, TrainingRun& run) override;
  AdapterState state() override;
  void load_state(const AdapterState& state, int64_t updates, const std::string& where) override;

  const std::vector<double>& importance() const { return importance_; }  // I, by place in layers()
  const std::vector<int64_t>& layers() const { return layers_; }         // blocks that have adapters
  std::vector<int64_t> training() const;                                 // of layers(), those of this update

 private:
  void measure(int64_t update, TrainingRun& run);
  std::vector<int64_t> drawn(int64_t update) const;  // places in layers_
  void scale_updates(const std::vector<int64_t>& places, double factor);
  std::unique_ptr<LoraAdapter> lora_;
  IstOptions options_;
  uint64_t seed_;
  std::vector<int64_t> layers_;
  std::vector<double> importance_;
  std::vector<int64_t> places_;  // in layers_, of those that train
};

}  // namespace temper
