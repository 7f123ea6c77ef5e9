// Optimizer state shared out over the ranks of a run by whole parameters ("dist": {"shard": "state"}), as
// ZeRO's first stage (Rajbhandari et al., arXiv 1910.02054). Each trained parameter has an owner. It alone
// has the optimizer's state of it, steps it, and sends all the new values. With bf16 compute it alone has the
// fp32 master of a weight of the model, too; the others take gradients in a leaf without values
// (Parameter::leave_master) and have the bf16 copy that passes read.
//
// Whole parameters, because optimizers look at a whole one: rows and columns, blocks of 8 bits, a matrix's
// inverse root.
//
// Two ranks end with the bytes of two that share nothing out, since a sum of two has one order; three or more
// with the same but for the order of sums. The gradient's norm adds up by owner first, in double: it may
// differ in the last digits, which clipping in fp32 all but always rounds away.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "adapter/adapter.h"
#include "dist/ranks.h"
#include "model/model.h"
#include "optim/optimizer.h"
#include "run/checkpoint.h"

namespace temper {

// The owner of each of these (name, count of numbers), a rank of `ranks`: the largest first, of equal ones by
// name, each to the rank that has least so far, of equal ones the lower. The order of the list is of no
// consequence.
std::vector<int64_t> assign_owners(const std::vector<std::pair<std::string, int64_t>>& sizes, int64_t ranks);

// A trained parameter.
struct SharedParameter {
  std::string name;
  int64_t owner = 0;
  at::Tensor value;  // as Adapter::trainable() has it
  Parameter* weight =
      nullptr;  // the model's, where the owner alone has the master; null: all ranks have value

  // What all ranks have alike.
  at::Tensor everywhere() const { return weight != nullptr ? weight->compute : value.detach(); }
};
std::vector<SharedParameter> share_out(Adapter& adapter, Model& model, int64_t ranks);

// What each rank brings to a file that rank 0 writes, in one order for all.
struct GatheredTensors {
  std::vector<TensorSpec> specs;
  std::vector<int64_t> from;               // the rank that has it
  std::map<std::string, at::Tensor> mine;  // of this rank, by name
};

// Off with one rank, and where nothing is shared out: then all is this rank's.
class StateShard {
 public:
  StateShard(Ranks& ranks, bool wanted) : ranks_(ranks), on_(wanted && !ranks.alone()) {}

  bool on() const { return on_; }
  // Once an adapter is attached, and again when its tensors are other ones: masters that others own leave.
  // adapter.trainable() is to be asked again afterwards.
  void share_out(Adapter& adapter, Model& model);

  // Those of a list, or of an optimizer's state by "parameter/slot", that this rank owns.
  std::vector<OptimParameter> owned(const std::vector<OptimParameter>& parameters) const;
  std::map<std::string, at::Tensor> owned(const std::map<std::string, at::Tensor>& state) const;
  // Bytes of the fp32 masters that owners alone have: this rank's, and of all.
  int64_t master_bytes(bool all) const;

  // An update, on all ranks at once. The gradients of `parameters` go to their owners, summed; other ranks
  // let go of them. What no rank's passes reached has none. Once an update and not after each micro-batch:
  // all gradients are there at the end of a backward pass anyway, so that the owners' sums beside them would
  // take more memory, not less.
  void sum_gradients(const std::vector<OptimParameter>& parameters);
  // The norm of the gradients of all, from those that each rank owns; the same bits everywhere.
  double norm(const std::vector<OptimParameter>& owned);
  // After the owners' step: what all have alike, from its owner. Adapter::refresh() then does the rest.
  void publish();
  std::map<std::string, double> metrics(const Optimizer& optimizer);

  // Where the value of a trainable tensor is to be written to when it is read from a file.
  at::Tensor target(const std::string& name, const at::Tensor& trainable) const;
  // What all ranks have alike, of everything that trains.
  NamedTensors everywhere() const;

  // A checkpoint, on all ranks at once: of what trains, or of an optimizer's state.
  GatheredTensors gather(const NamedTensors& trainable);
  GatheredTensors gather(const std::map<std::string, at::Tensor>& state);
  // On rank 0: a tensor comes when it is to be written, so that one at a time is held. Meanwhile the others
  // are in hand_over().
  LazyTensors on_first(const GatheredTensors& tensors);
  void hand_over(const GatheredTensors& tensors);

 private:
  const SharedParameter& find(const std::string& name) const;
  GatheredTensors gather_all(std::map<std::string, at::Tensor> mine);

  Ranks& ranks_;
  bool on_;
  std::vector<SharedParameter> shared_;  // in the adapter's order
  std::map<std::string, size_t> place_;  // in shared_
};

}  // namespace temper
