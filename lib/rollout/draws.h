// Drawing the next tokens of the engine's sequences.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <exception>
#include <optional>
#include <vector>

#include "rollout/banned_texts.h"
#include "rollout/constrained.h"
#include "rollout/distribution.h"
#include "rollout/sequence.h"

namespace temper {

// How the tokens of some sequences are drawn.
class TokenDraws {
 public:
  // vocab: ids of the model; exact: EngineOptions::exact_weights; ranked: tokens come with so many of the
  // likeliest ones (SampledToken::ranked). The other arguments outlive this.
  TokenDraws(const Tokenizer& tokenizer, const SamplingOptions& sampling, const std::vector<int64_t>& end_ids,
             int64_t vocab, bool exact, std::optional<int64_t> ranked = std::nullopt)
      : sampling_(sampling),
        end_ids_(end_ids),
        exact_(exact),
        ranked_(ranked),
        bans_(tokenizer, sampling.ban, vocab) {}

  // Sequences have to read their text as it comes.
  bool watches_text() const { return !bans_.empty(); }
  // What the sequence's next token is drawn from: of its row of logits [vocab], which is edited in place.
  TokenDistribution distribution(float* row, int64_t vocab, const DecodedSequence& s) const;
  // What may not come next.
  std::vector<int64_t> banned_for(const DecodedSequence& s) const;
  // The sequence's next token, from its stream; the row is scratch. Throws as sample_token does.
  SampledToken draw(float* row, int64_t vocab, DecodedSequence& s) const;
  // Whether an accelerator can draw in the host's place.
  bool can_draw_there() const;
  const SamplingOptions& sampling() const { return sampling_; }
  const std::vector<int64_t>& end_ids() const { return end_ids_; }

 private:
  SampledToken draw_unranked(float* row, int64_t vocab, DecodedSequence& s) const;
  const SamplingOptions& sampling_;
  const std::vector<int64_t>& end_ids_;
  bool exact_;
  std::optional<int64_t> ranked_;
  BannedTexts bans_;
};

// The next token of each sequence, as its own draws have it, from its row of logits [B, V] on any device.
// Throws as TokenDraws::draw; with `failures`, [B], what a sequence's own draw throws on the host is kept
// there instead.
std::vector<SampledToken> draw_tokens(const at::Tensor& logits,
                                      const std::vector<DecodedSequence*>& sequences,
                                      std::vector<std::exception_ptr>* failures = nullptr);

}  // namespace temper
