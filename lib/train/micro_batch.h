// A step's sequences cut into packed micro-batches of bounded size.
#pragma once

#include <cstdint>
#include <vector>

#include "tensor/packed.h"

namespace temper {

// A prompt, what follows it, and which tokens of that are learnt.
struct Sequence {
  const std::vector<int64_t>* prompt = nullptr;  // may be empty
  const std::vector<int64_t>* completion = nullptr;
  const std::vector<bool>* target = nullptr;    // of the completion's tokens; null: all
  int64_t group = 0;                            // neighbours of one group share the prompt
  const std::vector<int64_t>* input = nullptr;  // what the model reads for the completion; null: itself
  // Experts that the tokens of prompt and completion went to in decoding, row by row; null: not known.
  const std::vector<int16_t>* routes = nullptr;
  bool joined = false;  // stays in the micro-batch of the one before it (a pair)
};

struct MicroBatch {
  PackedTokens tokens;
  Targets targets;                 // .sequence counts inside the micro-batch
  std::vector<int64_t> sequences;  // index in the step of each
  at::Tensor routes;               // [N, R] int16 of the tokens, -1: not known; undefined: of none
};

// Micro-batches of at most `max_tokens` tokens each, in order; a single sequence, or one with those joined to
// it, may be larger. Neighbouring sequences of one group share one copy of their prompt inside a micro-batch
// when share_prompts is on.
std::vector<MicroBatch> cut_into_micro_batches(const std::vector<Sequence>& sequences, int64_t max_tokens,
                                               bool share_prompts, at::Device device);

}  // namespace temper
