// Drafts that a model writes token by token, for all sequences of the batch at once.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <optional>
#include <vector>

#include "rollout/speculate/speculator.h"

namespace temper {

// When a model stops drafting: behind a token of whose distribution the largest probability is below gamma.
// gamma follows how much of the drafts was accepted (Draft & Verify, arXiv 2309.08168, with the constants of
// the authors' code).
struct DraftingOptions : SpeculationOptions {
  std::optional<double> stop_below;  // gamma at first
  bool adapt = true;
  void fields(FieldVisitor& v) override;
};

struct DraftGamma {
  double gamma = 0, acceptance = 0;  // acceptance: a running mean
  // Of a draft of so many tokens, `limit` at most.
  void follow(int64_t drafted, int64_t accepted, int64_t limit);
};

class DraftingSpeculator : public Speculator {
 public:
  // Both outlive this.
  DraftingSpeculator(const DraftingOptions& options, const SpeculationScene& scene);
  std::vector<Draft> draft(const std::vector<DecodedSequence*>& sequences) override;
  void verified(const DecodedSequence& s, int64_t drafted, int64_t accepted) override;
  void ended(const DecodedSequence& s) override;

 protected:
  // A sequence that is being drafted for.
  struct Open {
    DecodedSequence* sequence;
    Draft draft = {};
    SeenTokens seen = {};  // with the draft's
    int64_t limit = 0;     // tokens
  };
  // Logits [B, V] of what follows each sequence and its draft so far.
  virtual at::Tensor next_logits(const std::vector<Open*>& open) = 0;
  // The drafts are done: what was read for them is dropped.
  virtual void drafted(const std::vector<Open>& all) {}

  const SpeculationScene scene_;

 private:
  double first_gamma() const;
  // Draws the next token of a draft. Whether to go on.
  bool extend(Open& open, float* logits, int64_t vocab, double gamma) const;

  const DraftingOptions& options_;
  std::map<const DecodedSequence*, DraftGamma> gammas_;
};

}  // namespace temper
