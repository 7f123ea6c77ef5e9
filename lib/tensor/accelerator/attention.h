// Attention of a packed batch on an accelerator: one varlen call for each level of the trees of segments, the
// results merged by their log-sum-exps. A prompt's keys are read once for all of its completions.
#pragma once

#include <ATen/core/Tensor.h>

#include <array>
#include <cstdint>
#include <mutex>
#include <vector>

#include "tensor/accelerator/varlen.h"
#include "tensor/packed.h"

namespace temper {

// Queries of some rows against keys of some rows.
struct AttentionPart {
  at::Tensor rows;  // [R] int64, distinct; undefined: all, in order
  at::Tensor keys;  // [S] int64; undefined: all, in order
  Spans spans;
  bool causal = false;
  int64_t window = 0;  // > 0: keys are copied out for each sequence, and so repeat
};

// The parts of a batch's attention, made once for all layers of a pass.
class AttentionPlan {
 public:
  AttentionPlan(std::vector<Segment> segments, at::Device device);
  // Without a window, or one that reaches from every token to its first ancestor: level 0 is each segment
  // against itself; level d all descendants of a segment at distance d against it. Else one part: each
  // segment against its ancestors' keys and its own, copied out one after the other.
  const std::vector<AttentionPart>& parts(int64_t window) const;

 private:
  std::vector<Segment> segments_;
  at::Device device_;
  int64_t longest_ = 0;  // tokens from a root's first to a segment's last
  std::vector<AttentionPart> levels_;
  mutable std::mutex mutex_;
  mutable std::vector<AttentionPart> chains_;  // of the last window that was asked for
};

namespace on_device {

Attended attention(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const AttentionPlan& plan,
                   double scale, int64_t window);
// Of q, k, v.
std::array<at::Tensor, 3> attention_backward(const at::Tensor& dout, const at::Tensor& q, const at::Tensor& k,
                                             const at::Tensor& v, const Attended& attended,
                                             const AttentionPlan& plan, double scale, int64_t window);

}  // namespace on_device
}  // namespace temper
