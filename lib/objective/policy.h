// Policy objectives: pure functions of ragged per-token numbers. formulas/policy.md.
//
// The axes are separate: advantage estimator x objective x reduction x KL (where, which estimator) x rollout
// correction x group filter. A named preset sets them all; see registry.cc.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/fields.h"

namespace temper::objective {

// What an objective may ask for; the trainer computes nothing that nobody needs.
struct Needs {
  bool logp_old = false, logp_ref = false, logp_rollout = false, entropy = false, whole_groups = false;
  int64_t top_k = 0;
};

// Ragged numbers of S sequences with M response tokens. Undefined tensors were not asked for.
struct PolicyBatch {
  at::Tensor logp;          // [M] fp32, requires grad in training
  at::Tensor logp_old;      // [M] behaviour policy, as the trainer computes it
  at::Tensor logp_ref;      // [M] reference model
  at::Tensor logp_rollout;  // [M] as the decode engine reported it
  at::Tensor entropy;       // [M] detached
  at::Tensor sequence;      // [M] int64 in [0, S)
  at::Tensor advantage;     // [S] or [M]
  at::Tensor reward;        // [S]
  at::Tensor group;         // [S] int64, any labels
  at::Tensor include;       // [S] fp32, 1 or 0; 0 leaves a sequence out of loss and denominators. Undefined: all 1
  int64_t sequences = 0;
};

// Denominators over the whole optimizer step (all micro-batches, all ranks), of included sequences.
struct StepTotals {
  double tokens = 0, sequences = 0, groups = 0;
};
StepTotals totals(const PolicyBatch& step);

enum class Unit { kToken, kSequence, kGroup };
struct Terms {
  at::Tensor value;  // [M], [S] or [groups], before any reduction
  Unit unit = Unit::kToken;
  std::map<std::string, at::Tensor> metrics;  // detached, [M] or [S]; the trainer averages them the same way
};

class PolicyObjective {
 public:
  virtual ~PolicyObjective() = default;
  virtual Needs needs() const = 0;
  // Sees a whole step's detached numbers before the first micro-batch of it.
  virtual void prepare(const PolicyBatch& step) {}
  virtual Terms operator()(const PolicyBatch& batch) const = 0;
};

// The parameters of one objective ("clip_low", "log_clip" ...).
struct PolicyObjectiveOptions : Fields {
  virtual std::unique_ptr<PolicyObjective> make() const = 0;
};

// The whole "algorithm" section of an RL config.
struct PolicyAlgorithm : Fields {
  std::string name = "grpo";          // the preset
  std::string advantage = "group_zscore";  // group_zscore | group_center | batch_zscore | rloo
  double advantage_eps = 1e-4;
  std::string reduction = "seq_mean_token_mean";  // | token_mean | seq_mean_token_sum (over max_new_tokens)
  double kl_coef = 0.0;
  std::string kl_estimator = "k3";    // k1 | k2 | k3
  std::string kl_in = "loss";         // loss | reward
  std::string correction = "none";    // none | truncate | mask: weight exp(logp_old - logp_rollout)
  std::string correction_level = "token";  // token | sequence
  double correction_low = 0.0, correction_high = 2.0;
  bool filter_zero_variance = false;  // drop groups whose unshaped rewards are all equal, and refill
  int64_t filter_max_rounds = 8;      // generation rounds a step may take before it is an error
  double overlong_buffer = 0;         // tokens; soft penalty in the last `buffer` tokens before the limit. 0: off
  double overlong_penalty = 1.0;
  bool mask_truncated = false;        // truncated responses are left out of the loss
  double entropy_bonus = 0.0;
  std::unique_ptr<PolicyObjectiveOptions> objective;  // own fields, listed among these in the config
  void fields(FieldVisitor& v) override;
  Needs needs() const;
};
// name -> preset with the paper's values. The registry's Base is PolicyAlgorithm itself, so `choice` can read it.
const Registry<PolicyAlgorithm>& policy_registry();
// Fields of `algorithm` that differ from its preset: one line "clip_high 0.28 (paper: 0.2)" each.
std::vector<std::string> departures(const PolicyAlgorithm& algorithm);

// Advantages of a step. reward [S] (NaN: null, left out of the group's statistics, advantage 0), group [S] -> [S].
at::Tensor advantages(const PolicyAlgorithm& algorithm, const at::Tensor& reward, const at::Tensor& group);

// Scalar whose sum over the micro-batches of a step is the step's loss. max_length: the constant of seq_mean_token_sum.
at::Tensor reduce(const Terms& terms, const std::string& reduction, const PolicyBatch& batch, const StepTotals& step,
                  double max_length);

// The loss of one micro-batch as the trainer sums it: objective, correction weight, KL and entropy terms, reduced.
struct PolicyLoss {
  at::Tensor loss;
  std::map<std::string, at::Tensor> metrics;  // scalars: sums over the micro-batch ready to be added up over the step
};
PolicyLoss policy_loss(const PolicyAlgorithm& algorithm, const PolicyObjective& objective, const PolicyBatch& batch,
                       const StepTotals& step, double max_length);

// KL estimators per token: k1, k2, k3 of formulas/policy.md. Differentiable in logp.
at::Tensor kl(const std::string& estimator, const at::Tensor& logp, const at::Tensor& logp_ref);

}  // namespace temper::objective
