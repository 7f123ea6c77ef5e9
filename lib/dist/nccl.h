// Sums and copies between the GPUs of a run by NCCL. Its library came in with libtorch_cuda; the functions
// are its C interface, found by name, so that neither CUDA's nor NCCL's headers are needed.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <functional>
#include <string>
#include <vector>

namespace temper {

class Nccl {
 public:
  // A name for a group of ranks, made by one of them for all.
  static std::string fresh_id();
  // All ranks of the group at once, each with a GPU of its own, the current one. Throws std::runtime_error.
  Nccl(const std::string& id, int64_t rank, int64_t world);
  ~Nccl();
  Nccl(const Nccl&) = delete;
  Nccl& operator=(const Nccl&) = delete;

  // Called now and then while a rank waits for the others; may throw.
  using Waiting = std::function<void()>;
  // In place, of contiguous tensors on the GPU, of the same shapes everywhere; returns when it is done. By
  // rings, whose order is fixed: the same bits on every rank, and again when called again.
  void sum(const std::vector<at::Tensor>& tensors, const Waiting& waiting) const;
  // The sums reach rank `owner` alone; elsewhere the tensors keep what they hold.
  void sum_to(int64_t owner, const std::vector<at::Tensor>& tensors, const Waiting& waiting) const;
  // Everybody's become those of rank `from`.
  void copy_from(int64_t from, const std::vector<at::Tensor>& tensors, const Waiting& waiting) const;

 private:
  struct Library;
  void queued(const std::vector<at::Tensor>& tensors, const std::function<int(const at::Tensor&)>& call,
              const Waiting& waiting) const;
  const Library& library_;
  void* group_ = nullptr;
};

}  // namespace temper
