// Drawing the next tokens of the engine's sequences.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <vector>

#include "rollout/banned_texts.h"
#include "rollout/constrained.h"
#include "rollout/distribution.h"
#include "rollout/sequence.h"

namespace temper {

class TokenDraws {
 public:
  // vocab: ids of the model; exact: EngineOptions::exact_weights. The other arguments outlive this.
  TokenDraws(const Tokenizer& tokenizer, const SamplingOptions& sampling, const std::vector<int64_t>& end_ids,
             int64_t vocab, bool exact)
      : sampling_(sampling), end_ids_(end_ids), exact_(exact), bans_(tokenizer, sampling.ban, vocab) {}

  // Sequences have to read their text as it comes.
  bool watches_text() const { return !bans_.empty(); }
  // What the sequence's next token is drawn from: of its row of logits [vocab], which is edited in place.
  TokenDistribution distribution(float* row, int64_t vocab, const DecodedSequence& s) const;
  // What may not come next.
  std::vector<int64_t> banned_for(const DecodedSequence& s) const;
  // The next token of each sequence from its row of logits [B, V], on any device; each draws from its own
  // stream. Throws as sample_token does.
  std::vector<SampledToken> draw(const at::Tensor& logits,
                                 const std::vector<DecodedSequence*>& sequences) const;
  const SamplingOptions& sampling() const { return sampling_; }

 private:
  std::vector<SampledToken> draw_here(at::Tensor logits,
                                      const std::vector<DecodedSequence*>& sequences) const;
  std::vector<SampledToken> draw_there(const at::Tensor& logits,
                                       const std::vector<DecodedSequence*>& sequences) const;
  const SamplingOptions& sampling_;
  const std::vector<int64_t>& end_ids_;
  bool exact_;
  BannedTexts bans_;
};

}  // namespace temper
