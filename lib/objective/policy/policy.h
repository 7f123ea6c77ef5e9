// Policy objectives: pure functions of ragged per-token numbers. formulas/policy.md.
//
// The axes are separate: advantage estimator x objective x reduction x KL (where, which estimator) x rollout
// correction x group filter. A named preset sets them all; see registry.cc. Everything computes in the type
// of PolicyBatch::logp: fp32 in training, fp64 in temper-inspect and the tests.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "base/fields.h"
#include "objective/credit/critic.h"
#include "objective/credit/process.h"
#include "objective/credit/turns.h"

namespace temper::objective {

// What an objective may ask for; the trainer computes nothing that nobody needs.
struct Needs {
  bool logp_old = false;          // behaviour policy, as the trainer computes it
  bool logp_ref = false;          // reference model
  bool logp_rollout = false;      // as the decode engine reported it
  bool entropy = false;           // of the full distribution
  bool entropy_gradient = false;  // ... which the loss itself reads, so that it must be differentiable
  bool reward = false;            // the objective itself reads rewards, not only the advantage estimator
  bool group = false;             // the objective itself reads groups
  // prepare() wants the current log-probs of the whole step: a pass without gradient for every update after
  // the first of a rollout (before the first update they are logp_old).
  bool step_logp = false;
  bool greedy_reward = false;     // the reward of a greedy response to each prompt (advantage remax)
  bool reward_parts = false;      // the rewards of each function apart (advantage gdpo)
  bool demonstration = false;     // which responses are demonstrations
  bool reference_reward = false;  // mean reward of the initial model on each prompt
  bool opening = false;           // which responses were made to open with the end-of-thinking token
  bool ended = false;             // which responses were told to end their thinking behind a shared beginning
  bool token_score = false;       // a token reward model's scores
  bool value = false;             // a critic's values (advantages gae, retrace, rbis)
  bool outcome_score = false;     // a critic's scores of a response's outcomes, and the outcome
  bool process = false;           // a reward's scores of the steps of a response
  bool turn = false;              // the turns of a conversation
  bool token = false;             // the sampled token ids
  int64_t top_k = 0;              // the k largest log-probs and their tokens
  bool critic() const { return value || token_score || outcome_score; }
};
// Their names as fields of PolicyBatch, StepRewards and the input of temper-inspect; for the error of a
// trainer that cannot give one, and for `list`.
std::vector<std::string> need_names(const Needs& needs);

// Ragged numbers of S sequences with M response tokens. Undefined tensors were not asked for. A sequence's
// tokens are never split over micro-batches; a group's sequences may be.
struct PolicyBatch {
  at::Tensor logp;           // [M] fp32 or fp64, requires grad in training
  at::Tensor logp_old;       // [M]
  at::Tensor logp_ref;       // [M]
  at::Tensor logp_rollout;   // [M]
  at::Tensor entropy;        // [M] detached, or differentiable with needs().entropy_gradient
  at::Tensor token;          // [M] int64, the sampled ids
  at::Tensor top_logp;       // [M, k] largest first, differentiable
  at::Tensor top_token;      // [M, k] int64
  at::Tensor token_score;    // [M]
  at::Tensor value;          // [M] the critic's output at each token's state, requires grad in training
  at::Tensor value_old;      // [M] the same when the step began
  at::Tensor value_target;   // [M] what a value critic should say
  at::Tensor outcome_score;  // [M, kOutcomeCount] an outcome critic's, requires grad in training
  at::Tensor token_reward;   // [M] used instead of `reward` by a critic's estimators when defined; NaN: null
  at::Tensor sequence;       // [M] int64 in [0, S), ascending; a sequence may have no tokens
  at::Tensor advantage;      // [S]
  at::Tensor token_advantage;   // [M], used instead of `advantage` when defined
  at::Tensor reward;            // [S], NaN: null
  at::Tensor outcome;           // [S] int64 in [0, kOutcomeCount), -1: not known
  at::Tensor group;             // [S] int64, any labels, the same ones in every micro-batch of a step
  at::Tensor demonstration;     // [S], 1 or 0: was not sampled from the policy
  at::Tensor reference_reward;  // [S], mean reward of the initial model on the sequence's prompt
  at::Tensor opening;           // [S], 1 or 0: was made to open with the end-of-thinking token
  at::Tensor include;  // [S], 1 or 0; 0 leaves a sequence out of loss and denominators. Undefined: all 1
  int64_t sequences = 0;
};

// Denominators over the whole optimizer step (all micro-batches, all ranks), of included sequences.
struct StepTotals {
  double tokens = 0, sequences = 0, groups = 0;
  double rewarded =
      0;  // responses with tokens and a reward, included or not: a critic of what is right learns of all
  double outcomes = 0, outcome_tokens = 0;  // included responses with tokens and an outcome, and their tokens
};
StepTotals totals(const PolicyBatch& step);

// What one value of an objective stands for, and so what the trainer divides by. A kGroup value is a
// sequence's share of its group's value: the shares of a group add up to it, so a group may be split over
// micro-batches.
enum class Unit { kToken, kSequence, kGroup };

struct Metric {
  at::Tensor value;  // detached: [M] for kToken, [S] otherwise
  Unit unit;
};
struct Terms {
  at::Tensor value;  // [M] for kToken, [S] otherwise; to be minimised, before any reduction
  std::map<std::string, Metric> metrics;  // averaged over the tokens or sequences of the step
};

class PolicyObjective {
 public:
  virtual ~PolicyObjective() = default;
  virtual Needs needs() const = 0;
  virtual Unit unit() const { return Unit::kToken; }
  // Sees a whole step's detached numbers before the first micro-batch of it.
  virtual void prepare(const PolicyBatch& step) {}
  // What prepare() found that its user should know, such as rewards of which this objective learns only half;
  // "": nothing.
  virtual std::string warning() const { return ""; }
  virtual Terms operator()(const PolicyBatch& batch) const = 0;
};

// The parameters of one objective ("clip_low", "log_clip" ...).
struct PolicyObjectiveOptions : Fields {
  virtual std::unique_ptr<PolicyObjective> make() const = 0;
  // Lines about values that are allowed but known to hurt; departures() ends with them.
  virtual std::vector<std::string> warnings() const { return {}; }
};

// The whole "algorithm" section of an RL config.
struct PolicyAlgorithm : Fields {
  std::string name;  // the preset it was made from; read by the registry's `choice`, not a field
  std::string advantage = "group_zscore";
  double advantage_eps = 1e-4;
  std::string reduction = "seq_mean_token_mean";  // of per-token values: | token_mean | seq_mean_token_sum
  double max_length = 0;                          // constant of seq_mean_token_sum; 0: rollout.max_new_tokens
  double kl_coef = 0.0;
  std::string kl_in = "loss";         // | reward
  std::string kl_estimator = "k3";    // of the KL in the loss: k1 | k2 | k3 | k3+; in the reward it is k1
  bool kl_importance_weight = false;  // weighs the KL in the loss by exp(logp - logp_old)
  double entropy_coef = 0.0;          // the mean entropy times this is taken off the loss
  std::string entropy_reduction = "as_loss";  // | token_mean
  std::string correction = "none";            // | truncate | mask: weight exp(logp_old - logp_rollout)
  std::string correction_level = "token";     // | sequence
  double correction_low = 0.0, correction_high = 2.0;
  double progress_bonus = 0;          // see progress_bonus()
  bool filter_zero_variance = false;  // drop groups whose unshaped rewards are all equal, and refill
  int64_t filter_max_rounds = 8;      // generation rounds a step may take before it is an error
  double overlong_buffer = 0;         // below 1 a share of max_new_tokens, else tokens; 0: off
  double overlong_penalty = 1.0;
  bool mask_truncated = false;  // truncated responses are left out of the loss
  bool keep_one_each =
      false;             // of each group only the first of the best and the first of the worst are learnt
  CriticOptions critic;  // read when needs().critic()
  ProcessOptions process;
  TurnOptions turn_advantage;
  std::unique_ptr<PolicyObjectiveOptions> objective;  // own fields, listed first among these in the config

  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  Needs needs() const;  // of the objective and of all axes
};
// name -> preset with the paper's values, but for those that notes.cc names. The registry's Base is
// PolicyAlgorithm itself, so `choice` can read it.
const Registry<PolicyAlgorithm>& policy_registry();
// Fields of `algorithm` that differ from the paper's values, by the preset or by an override: one line
// "clip_high 0.28 (paper: 0.2)" each, then the warnings.
std::vector<std::string> departures(const PolicyAlgorithm& algorithm);

// ---- before the loss: advantages, filters and shaping, over a whole step of sequences ----

// What the estimators of advantages.cc read; the last four only by those that say so.
struct StepRewards {
  at::Tensor reward;                 // [S], NaN: null, left out of all statistics, advantage 0
  at::Tensor group;                  // [S] int64
  at::Tensor length;                 // [S] response tokens: opo, reinforce_pp, reinforce_pp_baseline
  at::Tensor greedy;                 // [S] reward of the greedy response to the same prompt: remax
  at::Tensor parts;                  // [S, F] rewards of F functions: gdpo
  std::vector<double> part_weights;  // [F]: gdpo
  at::Tensor ended;                  // [S], 1 or 0: was told to end its thinking: ended_baseline
};
// [S] in the reward's type. A group with fewer than two rewards and a group of equal rewards get 0 from the
// estimators that compare within groups.
at::Tensor advantages(const PolicyAlgorithm& algorithm, const StepRewards& step);
// For the estimators that read nothing else.
at::Tensor advantages(const PolicyAlgorithm& algorithm, const at::Tensor& reward, const at::Tensor& group);

// True for the sequences of groups whose rewards (nulls aside) are not all equal: [S] bool. Give unshaped
// rewards.
at::Tensor keep_groups(const at::Tensor& reward, const at::Tensor& group);

// DAPO's soft overlong penalty, to be added to the reward: 0 up to max_length - buffer tokens, then linear
// down to -factor at max_length and beyond. lengths [S] int64 -> [S] fp32.
at::Tensor overlong_penalty(const at::Tensor& lengths, double max_length, double buffer, double factor);
// algorithm.overlong_buffer in tokens.
double overlong_buffer_tokens(const PolicyAlgorithm& algorithm, double max_new_tokens);

// MRT's bonus for progress (arXiv 2503.07572), to be added to the reward: with J_on and J_end the mean
// rewards of a group's responses that went on from the beginning they share and of those that were told to
// end there,
//   alpha (J_on - J_end)   for those that went on, 0 for the others,
// one scalar a response. A group that lacks rewards of either kind gets 0. reward [S], NaN: null, left out;
// group [S]; ended [S], 1 or 0. [S] in the reward's type.
at::Tensor progress_bonus(const at::Tensor& reward, const at::Tensor& group, const at::Tensor& ended,
                          double alpha);

// KL in the reward: -kl_coef * sum of (logp_old - logp_ref) over each sequence's tokens, [S], to be added to
// the reward.
at::Tensor kl_reward(const PolicyAlgorithm& algorithm, const PolicyBatch& step);

// TOPR's baseline c for a wished share of sum (R - c)+ in sum |R - c|. With rewards of 1 and -1, a share p of
// ones and a wished share q it is (p - q) / (p + q - 2 p q). reward [S], nulls left out.
double topr_baseline(const at::Tensor& reward, double share);

// ---- the loss ----

// KL estimators per token, differentiable in logp; with d = logp - logp_ref: k1 = d; k2 = d^2 / 2;
// k3 = exp(-d) + d - 1; k3+ has the value of k3 and the gradient of k2.
at::Tensor kl(const std::string& estimator, const at::Tensor& logp, const at::Tensor& logp_ref);

// Weight of the rollout correction: [M] for correction_level token, [S] for sequence. Detached.
at::Tensor correction_weight(const PolicyAlgorithm& algorithm, const PolicyBatch& batch);

// Scalar whose sum over the micro-batches of a step is the step's loss. `reduction` is how kToken values are
// reduced; kSequence values are averaged over the step's sequences and kGroup values over its groups.
// max_length: the constant of seq_mean_token_sum.
at::Tensor reduce(const at::Tensor& value, Unit unit, const std::string& reduction, const PolicyBatch& batch,
                  const StepTotals& step, double max_length);

// The loss of one micro-batch as the trainer sums it: objective, correction weight and KL term, reduced.
// Every metric is this micro-batch's share of the step's mean (its sum over included tokens or sequences,
// divided by the step's number of them), so adding the shares of all micro-batches and ranks gives the mean
// over the step:
//   loss                  the loss itself
//   policy_loss           the part of it that is neither KL nor entropy nor the critic's
//   kl_loss               kl_coef times the reduced KL, when it is in the loss
//   entropy_bonus         entropy_coef times the reduced entropy, which the loss is less by
//   kl                    mean over tokens of the configured estimator against the reference, when logp_ref
//   is given approx_kl             mean over tokens of exp(d) - 1 - d, d = logp - logp_old: KL(old || new) by
//   k3 entropy               mean over tokens, when it is given rollout_gap           mean over tokens of
//   |logp_old - logp_rollout|, when logp_rollout is given rollout_ratio         mean over tokens of
//   exp(logp_old - logp_rollout) correction_weight     mean over tokens or sequences of the correction's
//   weight, when it is on
//   critic_loss           the critic's loss before its coef; value: mean over tokens of its output;
//   value_error: mean over tokens of |value_target - value_old|
// and those of the objective, defined in its file.
struct PolicyLoss {
  at::Tensor loss;                            // all of it
  at::Tensor critic;                          // the critic's part of it; undefined without a critic
  std::map<std::string, at::Tensor> metrics;  // [] detached
};
PolicyLoss policy_loss(const PolicyAlgorithm& algorithm, const PolicyObjective& objective,
                       const PolicyBatch& batch, const StepTotals& step, double max_length);

}  // namespace temper::objective
