// What the processes of a run say to each other, over torch's c10d: sums, gathered bytes, and that one is
// gone.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <vector>

#include "dist/place.h"

namespace temper {

// The exit code for "another process of the run was lost, start all again", as sysexits.h has it.
constexpr int kExitRetry = 75;

// Another rank is dead, hangs or cannot be reached: the run can be started again from its last checkpoint.
// Programs exit with kExitRetry.
class PeerLost : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// Every rank calls the same members in the same order. All but those of tensors are small. No call waits
// longer for a rank that has stopped than kSilence; ranks that work, however long, are waited for.
class Ranks {
 public:
  Ranks();  // one alone: nothing is said
  // Throws UserError when the others cannot be met (a port that is taken, another version ...).
  // settings: what must be the same on all ranks; UserError that names the rank which has others.
  Ranks(const Place& place, const std::string& settings);
  ~Ranks();
  Ranks(const Ranks&) = delete;
  Ranks& operator=(const Ranks&) = delete;

  // From now on tensors on GPUs are exchanged by NCCL, not through the hosts. All ranks at once, each with a
  // GPU of its own as the current one. Throws UserError where that cannot be. With one rank: nothing.
  void use_nccl();

  int64_t rank() const { return rank_; }
  int64_t world() const { return world_; }
  bool first() const { return rank_ == 0; }
  bool alone() const { return world_ == 1; }
  // How the items of a list are shared out.
  bool mine(size_t i) const { return static_cast<int64_t>(i) % world_ == rank_; }
  // The n-th item, from 0, that is this rank's.
  size_t nth_mine(size_t n) const { return n * static_cast<size_t>(world_) + static_cast<size_t>(rank_); }

  // In place, the same bits on every rank, and again when called again.
  void sum(const std::vector<at::Tensor>& tensors);  // fp32, of the same shapes everywhere
  void sum(std::map<std::string, double>& numbers);  // of all names that some rank has
  double sum(double number);
  // Rank `to` alone gets the sum, in place; elsewhere the tensors are let go of as they are sent and are
  // undefined afterwards. The same bits when called again; of two ranks those of sum(), of more the order of
  // the addition may be another one.
  void sum_to(int64_t to, std::vector<at::Tensor>& tensors);  // fp32, of the same shapes everywhere
  // Rank `from`'s numbers in the tensors of all, which have the same shapes and types everywhere.
  void broadcast(int64_t from, const std::vector<at::Tensor>& tensors);
  // Rank `from`'s numbers in the tensor of rank 0, of the same shape and type, contiguous, in host memory;
  // what the others give is not looked at.
  void to_first(int64_t from, const at::Tensor& tensor);
  // The bytes of every rank, in their order.
  std::vector<std::string> gather(const std::string& mine);
  // Rank 0's.
  std::string from_first(const std::string& bytes);
  // Throws UserError unless all ranks say the same: `what` has gone apart.
  void demand_same(const std::string& bytes, const std::string& what);
  // The last call of a run that went well: rank 0, which keeps the store, goes last.
  void end();
  // Tells the others why this rank ends, so that they end with the same words. Throws nothing.
  void leave(const std::string& why) noexcept;

 private:
  struct Group;

  void meet();
  template <class Call>
  void by_nccl(const std::vector<at::Tensor>& tensors, const Call& call);

  int64_t rank_ = 0, world_ = 1;
  std::unique_ptr<Group> group_;  // null: alone
};

}  // namespace temper
