// Preference objectives: pure functions of the log-probs of compared or labelled responses.
// formulas/preference.md.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "base/fields.h"

namespace temper::objective {

// Ragged numbers of S responses with M tokens. A unit is what a loss has one value for: a pair, or with
// unpaired losses one labelled response, with losses on lists `unit` of them. A unit's responses stand in one
// micro-batch.
struct PreferenceBatch {
  at::Tensor logp;             // [M] fp32 or fp64, requires grad in training
  at::Tensor logp_ref;         // [M] reference model
  at::Tensor logp_other;       // [M] a second policy that learns too: for ofs_dpo
  at::Tensor log_sum_squares;  // [M] log of the sum of p(v)^2 over the vocabulary, detached: for wpo
  at::Tensor sequence;         // [M] int64 in [0, S), ascending; a response may have no tokens
  at::Tensor label;            // [S] bool, is the response desirable? Only for unpaired losses
  at::Tensor mismatch;  // [S] for kto: sum of logp - logp_ref of another prompt's response after this prompt
  at::Tensor index;     // [U] int64, which unit of the step each is; undefined: 0 .. U-1
  at::Tensor include;   // [U], 1 or 0; 0 leaves a unit out of loss and denominators. Undefined: all 1
  int64_t unit = 0;     // losses on lists: responses of each unit
  int64_t sequences = 0;  // pairs: response 2 i is the chosen one of pair i, 2 i + 1 the rejected one
};

struct PreferenceNeeds {
  bool logp_ref = false, log_sum_squares = false, label = false, mismatch = false;
  bool other = false;      // a second policy
  int64_t swap_every = 0;  // with one: steps after which the better of the two becomes `logp`; 0: never
  bool list = false;       // units are lists: candidates, best first ...
  // ... or each of C responses after each of C prompts, prompt by prompt; then a response's end token is no
  // target.
  bool matrix = false;
  // prepare() wants the current log-probs (or mismatches) of the whole step: a pass without gradient before
  // it.
  bool step = false;
};

// Denominators over the whole optimizer step, of included units. tokens: those of chosen or desirable
// responses.
struct PreferenceTotals {
  double units = 0, tokens = 0, desirable = 0, undesirable = 0;
};

// One response of every unit: log-probs summed over its tokens, and its length (at least 1), each [U].
struct Responses {
  at::Tensor logp, ref, length;
  at::Tensor other = {};  // summed log-probs of the second policy
  at::Tensor ratio() const { return logp - ref; }
};
// What a loss sees. Pairs have chosen and rejected, unpaired losses response, label and mismatch, lists
// candidates, whose tensors are [U, K].
struct PreferenceNumbers {
  Responses chosen, rejected, response, candidates;
  at::Tensor label, mismatch;  // [U]
  at::Tensor index;            // [U]
  at::Tensor include;          // [U]
};

class PreferenceLoss {
 public:
  virtual ~PreferenceLoss() = default;
  virtual PreferenceNeeds needs() const = 0;
  // Sees a whole step's detached numbers before the first micro-batch of it.
  virtual void prepare(const PreferenceNumbers& step) {}
  virtual at::Tensor operator()(const PreferenceNumbers& numbers) const = 0;  // [U], to be minimised
  // The implicit reward of a response, for the metrics: [U].
  virtual at::Tensor reward(const Responses& responses) const = 0;
  // Metrics of its own, detached: [U] each.
  virtual std::map<std::string, at::Tensor> metrics(const PreferenceNumbers& numbers) const { return {}; }
};

struct PreferenceLossOptions : Fields {
  virtual std::unique_ptr<PreferenceLoss> make() const = 0;
};
const Registry<PreferenceLossOptions>& preference_loss_registry();

// One more loss of a weighted sum: {"name": "bco_pair", "weight": 0.2, "beta": 0.1}.
struct PreferenceTerm : Fields {
  std::string name;
  double weight = 1.0;
  std::unique_ptr<PreferenceLossOptions> loss;
  void fields(FieldVisitor& v) override;
};

// The whole "algorithm" section of a preference config: a loss with its own fields, and what goes with any
// loss.
struct PreferenceAlgorithm : Fields {
  std::string name;  // the preset it was made from; read by the registry's `choice`, not a field
  std::unique_ptr<PreferenceLossOptions> loss;
  double weight = 1.0;
  std::vector<PreferenceTerm> also;  // further losses of the sum, all on pairs or all on single responses
  double sft_weight = 0.0;           // of the token mean of -logp over chosen (or desirable) responses
  std::optional<double> ld_alpha;    // LD-DPO: weight of the tokens past the shorter response's length
  bool wpo = false;                  // weigh each unit by the policy's likelihood of its responses

  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  PreferenceNeeds needs() const;
};
const Registry<PreferenceAlgorithm>& preference_registry();

// The loss of a step, micro-batch by micro-batch.
class PreferenceObjective {
 public:
  explicit PreferenceObjective(const PreferenceAlgorithm& algorithm);
  PreferenceNeeds needs() const { return needs_; }
  PreferenceTotals totals(const PreferenceBatch& step) const;
  void prepare(const PreferenceBatch& step);

  // loss: a scalar whose sum over the micro-batches is the step's loss. Every metric is this micro-batch's
  // share of the step's mean, so that adding the shares gives it:
  //   loss; sft_loss (token mean of -logp, when it is part of the loss); weight (mean over units, with wpo)
  //   pairs: reward_chosen, reward_rejected (implicit rewards, by default beta times the log-ratio),
  //   reward_margin,
  //     reward_accuracy (chosen above rejected, strictly), logp_chosen, logp_rejected (sums over tokens):
  //     means over pairs
  //   unpaired: reward_desirable, logp_desirable: means over the desirable responses; reward_undesirable,
  //     logp_undesirable: over the others; kl: mean mismatch, with kto
  //   lists: none but the loss's own (the first loss's metrics(), means over units)
  struct Result {
    at::Tensor loss;
    std::map<std::string, at::Tensor> metrics;  // [] detached
  };
  Result operator()(const PreferenceBatch& batch, const PreferenceTotals& step) const;

 private:
  PreferenceNumbers numbers(const PreferenceBatch& batch) const;
  int64_t unit_of(const PreferenceBatch& batch) const;  // responses of a unit
  at::Tensor likelihood_weight(const PreferenceBatch& batch) const;

  std::vector<std::pair<double, std::unique_ptr<PreferenceLoss>>> losses_;
  PreferenceNeeds needs_;
  double sft_weight_;
  std::optional<double> ld_alpha_;
  bool wpo_;
};

}  // namespace temper::objective
