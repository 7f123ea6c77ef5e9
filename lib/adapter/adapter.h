// What trains: everything ("full"), or small additions to a frozen model ("lora" and kin).
// formulas/adapters.md.
#pragma once

#include <ATen/core/Tensor.h>

#include <functional>
#include <map>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/fields.h"
#include "base/json.h"
#include "model/model.h"

namespace temper {

struct AdapterStart;
using StateTensors = std::map<std::string, at::Tensor>;

// What an adapter may ask of the run before an optimizer update.
class TrainingRun {
 public:
  virtual ~TrainingRun() = default;
  // The optimizer lets go of a parameter; its state there, by slot ("exp_avg", "step" ...), is the caller's.
  virtual StateTensors forget(const std::string& name) = 0;
  // The optimizer takes in a parameter of trainable(), with a state that forget gave; without one it starts
  // anew.
  virtual void add(const std::string& name, const StateTensors& state = {}) = 0;
  // The loss of the coming update with the model as it is now, over all of its micro-batches, without
  // gradient.
  virtual double loss() = 0;
};

// What an adapter adds to a checkpoint.
struct AdapterState {
  Json json = Json::object();
  StateTensors tensors;
};

class Adapter {
 public:
  virtual ~Adapter() = default;
  // What trains now or at another time of the run, by stable name: model parameters for "full" and
  // modules_to_save, adapter tensors ("base_model.model.<path>.lora_A.weight") for the rest. All of them are
  // in the checkpoints. fp32; those not in active() may be in the compute dtype.
  virtual std::vector<std::pair<std::string, at::Tensor>> trainable() = 0;
  // What an optimizer updates now: trainable() or a part of it, fp32.
  virtual std::vector<std::pair<std::string, at::Tensor>> active() { return trainable(); }

  // Of adapters that change during training (layer schedules, growing ranks), in the order of an update; the
  // rest keeps these defaults.
  // Before the forward passes of optimizer update `update` (from 0). trainable() and active() change here
  // alone, and each parameter that leaves active() or joins it goes through run.forget or run.add.
  virtual void begin_update(int64_t update, TrainingRun& run) {}
  // Whether the optimizer state of what leaves active() stays in memory.
  virtual bool parks_in_memory() const { return false; }
  // A term of the update's loss beside the data's, [] with a gradient; undefined: none.
  virtual at::Tensor penalty() { return {}; }
  // Tensors besides trainable() whose gradients the backward passes add up, for end_backward(): ranks sum
  // them too.
  virtual std::vector<at::Tensor> gradient_carriers() const { return {}; }
  // After the backward passes, before clipping and the optimizer's step: all gradients are there.
  virtual void end_backward() {}
  virtual AdapterState state() { return {}; }
  // Takes up a checkpoint's state after `updates` updates; trainable() and active() are then as they were
  // when it was written. The values of trainable() are restored afterwards. Throws UserError, naming `where`,
  // on a state that is not this run's.
  virtual void load_state(const AdapterState& state, int64_t updates, const std::string& where) {}

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
  virtual bool lr_factors_change() const { return false; }  // from one update to the next
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
  // Where an adapter may keep files while it lives; a run's folder.
  void set_work_folder(const std::string& folder) { work_folder_ = folder; }

 protected:
  std::string base_model_, work_folder_;
};

// Where a fresh adapter may take its first values from.
struct AdapterStart {
  std::function<std::vector<int64_t>(const std::string& text)> encode;
  // At most so many records of these files, or of the run's data where there is none, as token ids.
  std::function<std::vector<std::vector<int64_t>>(const std::vector<std::string>& files, int64_t count)>
      samples;
};

struct AdapterOptions : Fields {
  // Whether the model's linears may be quantised: the adapter reads them through the model's products alone,
  // or through Parameter::values() and assign().
  virtual bool takes_quantised_base() const { return false; }
  // Tokens were added: these modules (embed_tokens, lm_head) have to train, and to be saved, whole. Throws
  // UserError for a kind that cannot.
  virtual void train_whole(const std::vector<std::string>& modules);
  // Whether trainable() and active() are the same tensors during the whole run.
  virtual bool trains_a_fixed_set() const { return true; }
  // Prepares the model (freezes, attaches) and returns the adapter; the model must outlive it. `seed` feeds
  // the initial weights. Throws UserError when targets match nothing, listing the module names there are.
  virtual std::unique_ptr<Adapter> attach(Model& model, uint64_t seed) const = 0;
};
const Registry<AdapterOptions>& adapter_registry();  // full, freeze, lisa, lora, lora_pair, ist

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
