// LISA (Pan et al. 2024, arXiv:2403.17919): the model's own weights train, but in each interval only a few
// blocks drawn at random, besides embedding, head and final norm. formulas/adapters.md.
//
// A block that is drawn again for the very next interval never freezes. One that is not drawn is: no
// gradient, no optimizer state and, with bf16 compute, only its bf16 weights. What becomes of its state when
// an interval ends:
//   drop     it is gone, and a block that is drawn again starts its moments and their bias correction anew.
//            With bf16 compute its fp32 master is gone too: the weights are rounded to bf16 once an interval.
//   keep     it stays in memory, the master too; the memory of all blocks that were ever drawn adds up.
//   offload  it is written to files of the run folder and read back, the master too; exact.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "adapter/full.h"
#include "adapter/parked.h"

namespace temper {

struct LisaOptions : AdapterOptions {
  int64_t blocks = 2, every = 20;
  std::string state = "drop";
  bool embedding = true, head = true, norm = true;
  std::vector<double> weights;  // of the draw, one a block; empty: all the same
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  bool trains_a_fixed_set() const override { return false; }
  void train_whole(const std::vector<std::string>&) override {}  // embedding and head do unless told not to
  std::unique_ptr<Adapter> attach(Model& model, uint64_t seed) const override;
};

class LisaAdapter : public FullAdapter {
 public:
  LisaAdapter(Model& model, const LisaOptions& options, uint64_t seed);
  std::vector<std::pair<std::string, at::Tensor>> active() override;
  // At the first update of an interval: the blocks of the one before freeze, the drawn ones train.
  void begin_update(int64_t update, TrainingRun& run) override;
  AdapterState state() override;
  void load_state(const AdapterState& state, int64_t updates, const std::string& where) override;
  bool parks_in_memory() const override { return options_.state == "keep"; }

  const std::vector<int64_t>& blocks() const { return blocks_; }  // that train now, in rising order

 private:
  void set_blocks(int64_t interval);
  bool is_active(const std::string& name) const;
  LisaOptions options_;
  uint64_t seed_;
  ParkedState parked_;
  int64_t interval_ = 0, updates_ = 0;  // updates_: begun so far, in the whole run
  std::vector<int64_t> blocks_;
};

}  // namespace temper
