// Attention of a decoding step on an accelerator: one varlen call over all sequences' own tokens, one over
// their prompts, each prompt read once for all of its neighbours, merged by their log-sum-exps.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <vector>

#include "rollout/decode_attention.h"
#include "tensor/varlen.h"

namespace temper {

// What a step's layers share: where the new tokens go and which rows each sequence reads.
class DecodePlan {
 public:
  // Of rows of one pool, with their own runs already extended by the new token.
  explicit DecodePlan(std::vector<DecodeRow> rows);
  // As decode_attention: stores the new k and v and returns the attention of q over prompt and own.
  at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, int64_t layer,
                    double scale, int64_t window) const;

 private:
  struct Reads {
    Spans own, prompt;
    at::Tensor with_prompt;  // [R] int64 rows that still see some of their prompt; undefined: all
    bool any_prompt = true;
  };
  const Reads& reads(int64_t window) const;
  Reads make_reads(int64_t window) const;

  std::vector<DecodeRow> rows_;
  at::Tensor place_;                        // [N] int64, of the new tokens in the arena
  mutable std::map<int64_t, Reads> reads_;  // by window
};

// Where the tokens of these runs stand in their arena, one run after the other: [sum of lengths] int64.
at::Tensor places_of(const std::vector<const KvRun*>& runs);

}  // namespace temper
