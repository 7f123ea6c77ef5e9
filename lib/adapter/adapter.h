// What trains: everything ("full"), or small additions to a frozen model ("lora" and kin).
// formulas/adapters.md.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/fields.h"
#include "model/model.h"

namespace temper {

struct AdapterStart;

class Adapter {
 public:
  virtual ~Adapter() = default;
  // What an optimizer updates, by stable name, all fp32: model parameters for "full" and modules_to_save,
  // adapter tensors ("base_model.model.<path>.lora_A.weight") for the rest.
  virtual std::vector<std::pair<std::string, at::Tensor>> trainable() = 0;
  // After an optimizer step, or after trainable tensors were written to: working copies follow the masters.
  virtual void refresh() = 0;
  // Off: the model computes as the base does (the reference model of an adapter run). "full" cannot be
  // switched off: set_enabled(false) throws std::logic_error there.
  virtual bool can_switch_off() const = 0;
  virtual void set_enabled(bool enabled) = 0;
  // Once, before a fresh run's first step; a continued run restores what this made.
  virtual void start(const AdapterStart& from) {}
  // On the learning rate of a trainable tensor, besides optimizer.lr_rules (LoRA+).
  virtual double lr_factor(const std::string& name) const { return 1.0; }
  // Names dropout's random stream. Call it before every micro-batch: what is recomputed in backward then
  // draws the same mask, and another micro-batch another one.
  virtual void set_step(uint64_t seed, uint64_t step, uint64_t micro_batch = 0) {}
  // The folder that transformers ("full") or PEFT (the rest) loads. dtype: of full weights; adapter tensors
  // are fp32.
  virtual void save(const std::string& folder, at::ScalarType dtype) = 0;
  // Adds the update to the model's weights, computed in fp32 and rounded once to the weights' dtype, and
  // detaches.
  virtual void merge() = 0;
  // Takes the update out of weights that it was merged into, in fp32, and stays attached: together they
  // compute what the merged weights did. Throws UserError for a kind whose update the merged weights no
  // longer tell.
  virtual void unmerge();

  // The folder or hub name of the base model, for adapter_config.json's base_model_name_or_path; "" is null.
  void set_base_model(const std::string& name) { base_model_ = name; }

 protected:
  std::string base_model_;
};

// Where a fresh adapter may take its first values from.
struct AdapterStart {
  std::function<std::vector<int64_t>(const std::string& text)> encode;
  std::function<std::vector<std::vector<int64_t>>(int64_t count)>
      samples;  // so many records of the run's data
};

struct AdapterOptions : Fields {
  // Prepares the model (freezes, attaches) and returns the adapter; the model must outlive it. `seed` feeds
  // the initial weights. Throws UserError when targets match nothing, listing the module names there are.
  virtual std::unique_ptr<Adapter> attach(Model& model, uint64_t seed) const = 0;
};
const Registry<AdapterOptions>& adapter_registry();  // full, lora, lora_pair

// Loads an adapter folder that PEFT or Temper wrote onto the model, for inference or to continue. Throws
// UserError.
std::unique_ptr<Adapter> load_adapter(Model& model, const std::string& folder);

// The heads that the base model of an adapter folder needs: the language-model head, or for PEFT's task_type
// SEQ_CLS as many scores as the folder has. Throws UserError.
Heads adapter_heads(const std::string& folder);

// Unmerges a switched-on adapter. Returns the largest change of a log-prob, or a score, between the merged
// weights and base and adapter together.
double unmerge_adapter(Model& model, Adapter& adapter, const std::vector<int64_t>& probe);

// Merges a switched-on adapter. Returns the largest change of a log-prob, or a score, between adapter and
// merged model on `probe` (a handful of ids), for the user to see.
double merge_adapter(Model& model, Adapter& adapter, const std::vector<int64_t>& probe);

}  // namespace temper
