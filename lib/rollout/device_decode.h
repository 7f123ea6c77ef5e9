// Attention of a decoding step on an accelerator: one varlen call over all sequences' own tokens, one over
// their prompts, each prompt read once for all of its neighbours, merged by their log-sum-exps.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <vector>

#include "rollout/decode_attention.h"
#include "tensor/accelerator/varlen.h"

namespace temper {

// Which rows of the arena the sequences of a step read, in pieces: some queries and the keys of theirs.
// Pieces without queries fill up.
class SpansOver {
 public:
  void add(int64_t queries, int64_t begin, int64_t keys);
  int64_t pieces() const { return static_cast<int64_t>(used_.size()); }
  // Spans::begin_q, begin_k and used_k, one behind the other.
  std::vector<int32_t> numbers() const;
  // Over numbers() that lie on a device; sequence and offset are undefined, as flash attention needs them
  // not.
  Spans over(const at::Tensor& numbers, int64_t longest_q, int64_t longest_k) const;
  Spans on(at::Device device) const;

 private:
  std::vector<int32_t> begin_q_ = {0}, begin_k_, used_;
};

// What a step's sequences read in a layer.
struct DecodeReads {
  Spans own, prompt;
  at::Tensor with_prompt;  // [R] int64 rows that still see some of their prompt; undefined: all
  bool any_prompt = true;
};

// The pieces of rows of one pool: each row's own tokens, and prompts, which neighbours read together.
SpansOver own_pieces(const std::vector<DecodeRow>& rows);
SpansOver prompt_pieces(const std::vector<DecodeRow>& rows);

// Stores k and v in rows `place` of the arena and returns the attention of q over what is read, within the
// reads' window. Throws UserError for a law with a softcap, which ATen's kernels do not have.
at::Tensor attend_step(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, const KvArena& arena,
                       const at::Tensor& place, const DecodeReads& reads, int64_t layer,
                       const AttentionLaw& law);

// What a step's layers share.
class DecodePlan {
 public:
  // Of rows of one pool, with their own runs already extended by the new token.
  explicit DecodePlan(std::vector<DecodeRow> rows);
  // As decode_attention: stores the new k and v and returns the attention of q over prompt and own.
  at::Tensor attend(const at::Tensor& q, const at::Tensor& k, const at::Tensor& v, int64_t layer,
                    const AttentionLaw& law) const;

 private:
  const DecodeReads& reads(int64_t window) const;

  std::vector<DecodeRow> rows_;
  at::Tensor place_;                              // [N] int64, of the new tokens in the arena
  mutable std::map<int64_t, DecodeReads> reads_;  // by window
};

// Where the tokens of these runs stand in their arena, one run after the other: [sum of lengths] int64.
at::Tensor places_of(const std::vector<const KvRun*>& runs);

}  // namespace temper
