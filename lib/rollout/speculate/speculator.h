// Speculative decoding: tokens are drafted by something cheap, read by the model in one pass, and kept as far
// as the model's own distribution lets them through, which leaves what is sampled unchanged.
#pragma once

#include <cstdint>
#include <vector>

#include "rollout/engine.h"
#include "rollout/sequence.h"
#include "rollout/speculate/speculation.h"

namespace temper {

// Tokens that may follow a sequence.
struct Draft {
  std::vector<int64_t> ids;
  // [V] of each: the distribution that it was drawn from. Empty: the tokens were not drawn.
  std::vector<std::vector<float>> drawn_from;
};

// Drafts for the sequences of one call of generate().
class Speculator {
 public:
  virtual ~Speculator() = default;
  // A draft behind each sequence, which leaves room for one token more (DecodedSequence::room). Draws come
  // from the sequence's own stream.
  virtual std::vector<Draft> draft(const std::vector<DecodedSequence*>& sequences) = 0;
  // What became of a sequence's draft of `drafted` tokens, at least one.
  virtual void verified(const DecodedSequence& s, int64_t drafted, int64_t accepted) {}
  // The sequence is finished.
  virtual void ended(const DecodedSequence& s) {}
};

// What a call of generate() is about. All of it outlives the speculator.
struct SpeculationScene {
  Model& model;
  const Tokenizer& tokenizer;
  const std::vector<GenerateRequest>& requests;
  const SamplingOptions& sampling;
  const std::vector<int64_t>& end_ids;
};

}  // namespace temper
