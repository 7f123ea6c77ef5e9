// Tensors from rank to rank.
#include <ATen/ATen.h>
#include <ATen/core/grad_mode.h>

#include <algorithm>

#include "dist/group.h"

namespace temper {
namespace {

constexpr int64_t kBucket = int64_t{1} << 23;  // numbers summed at once: 32 MB

// Tensors that are exchanged at once, tensors[begin] to [end - 1]: of one type, kBucket numbers at most or
// one tensor.
size_t bucket_end(const std::vector<at::Tensor>& tensors, size_t begin) {
  int64_t count = tensors[begin].numel();
  size_t end = begin + 1;
  for (; end < tensors.size() && tensors[end].scalar_type() == tensors[begin].scalar_type(); ++end) {
    count += tensors[end].numel();
    if (count > kBucket) break;
  }
  return end;
}

// One behind the other, in host memory. One tensor alone is not copied where it need not be.
std::vector<at::Tensor> joined(const std::vector<at::Tensor>& tensors, size_t begin, size_t end) {
  std::vector<at::Tensor> flat;
  for (size_t i = begin; i < end; ++i) flat.push_back(tensors[i].detach().reshape({-1}));
  return {(flat.size() == 1 ? flat[0] : at::cat(flat)).cpu()};
}

void put_back(const at::Tensor& flat, const std::vector<at::Tensor>& tensors, size_t begin, size_t end) {
  int64_t at = 0;
  for (size_t i = begin; i < end; ++i) {
    tensors[i].copy_(flat.narrow(0, at, tensors[i].numel()).view(tensors[i].sizes()));
    at += tensors[i].numel();
  }
}

// As they lie in memory: Gloo need not know their type.
std::vector<at::Tensor> as_bytes(const at::Tensor& tensor) {
  return {tensor.detach().view({-1}).view(at::kByte)};
}

bool on_gpu(const std::vector<at::Tensor>& tensors) {
  return std::all_of(tensors.begin(), tensors.end(), [](const at::Tensor& t) { return t.is_cuda(); });
}

}  // namespace

// Runs call(tensors, waiting) of NCCL on tensors side by side in memory, what it wrote back where they were
// not.
template <class Call>
void Ranks::by_nccl(const std::vector<at::Tensor>& tensors, const Call& call) {
  std::vector<at::Tensor> plain;
  for (const at::Tensor& t : tensors) plain.push_back(t.detach().contiguous());
  Group::Watch watch(*group_);
  exchange(kPeerGone, [&] {
    call(plain, [&] {
      for (int64_t other = 0; other < world_; ++other)
        if (other != rank_) watch.look(other);
    });
  });
  for (size_t i = 0; i < tensors.size(); ++i) {
    if (!tensors[i].is_contiguous()) tensors[i].detach().copy_(plain[i]);
  }
}

void Ranks::sum(const std::vector<at::Tensor>& tensors) {
  if (alone() || tensors.empty()) return;
  meet();
  at::NoGradGuard guard;
  if (group_->nccl != nullptr && on_gpu(tensors)) {
    by_nccl(tensors, [&](const auto& all, const auto& waiting) { group_->nccl->sum(all, waiting); });
    return;
  }
  for (size_t begin = 0, end = 0; begin < tensors.size(); begin = end) {
    end = bucket_end(tensors, begin);
    auto bucket = joined(tensors, begin, end);
    exchange(kPeerGone, [&] { group_->backend->allreduce(bucket)->wait(); });
    put_back(bucket[0], tensors, begin, end);
  }
}

void Ranks::sum_to(int64_t to, std::vector<at::Tensor>& tensors) {
  if (alone() || tensors.empty()) return;
  meet();
  at::NoGradGuard guard;
  if (group_->nccl != nullptr && on_gpu(tensors)) {
    by_nccl(tensors, [&](const auto& all, const auto& waiting) { group_->nccl->sum_to(to, all, waiting); });
    if (rank_ != to) std::fill(tensors.begin(), tensors.end(), at::Tensor());
    return;
  }
  c10d::ReduceOptions options;
  options.rootRank = to;
  for (size_t begin = 0, end = 0; begin < tensors.size(); begin = end) {
    end = bucket_end(tensors, begin);
    auto bucket = joined(tensors, begin, end);
    if (rank_ != to) std::fill_n(tensors.begin() + static_cast<int64_t>(begin), end - begin, at::Tensor());
    exchange(kPeerGone, [&] { group_->backend->reduce(bucket, options)->wait(); });
    if (rank_ == to) put_back(bucket[0], tensors, begin, end);
  }
}

void Ranks::broadcast(int64_t from, const std::vector<at::Tensor>& tensors) {
  if (alone() || tensors.empty()) return;
  meet();
  at::NoGradGuard guard;
  if (group_->nccl != nullptr && on_gpu(tensors)) {
    by_nccl(tensors,
            [&](const auto& all, const auto& waiting) { group_->nccl->copy_from(from, all, waiting); });
    return;
  }
  c10d::BroadcastOptions options;
  options.rootRank = from;
  for (size_t begin = 0, end = 0; begin < tensors.size(); begin = end) {
    end = bucket_end(tensors, begin);
    const auto bucket = joined(tensors, begin, end);
    auto bytes = as_bytes(bucket[0]);
    exchange(kPeerGone, [&] { group_->backend->broadcast(bytes, options)->wait(); });
    if (rank_ != from) put_back(bucket[0], tensors, begin, end);
  }
}

void Ranks::to_first(int64_t from, const at::Tensor& tensor) {
  if (from == 0) return;
  meet();
  if ((rank_ != from && !first()) || tensor.numel() == 0) return;
  auto bytes = as_bytes(first() ? tensor : tensor.detach().cpu().contiguous());
  exchange(kPeerGone, [&] {
    if (first())
      group_->backend->recv(bytes, static_cast<int>(from), 0)->wait();
    else
      group_->backend->send(bytes, 0, 0)->wait();
  });
}

}  // namespace temper
