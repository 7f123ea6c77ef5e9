// Rewards of a response's steps, such as a process reward model's, and the advantages of tokens that they
// make. Ragged: S responses with [M] tokens, and [K] steps of them. formulas/rewards.md.
//
// The rewards of a response: outcome_weight times its reward at its last token, and weight times the refined
// score of a step at the token where the step ends. Refinements keep a policy from being paid for repeating
// steps (arXiv 2410.15115), of the scores q_1 .. q_n of a response:
//   clip   r_k = min(q_k - threshold, 0)
//   delta  r_k = q_k - q_{k+1}, and the last step keeps its own, so that r_k + r_{k+1} + ... is q_k
// one after the other in the order given. Advantages:
//   process_zscore  arXiv 2402.03300, 4.1.3: r is normalised by mean and deviation of all steps of a group,
//                   and a token's advantage is the sum over the steps that end at it or later
//   return_to_go    the sum of the response's rewards at the token and later
//   gae, retrace, rbis  the rewards go to the critic's estimators (critic.h)
#pragma once

#include <ATen/core/Tensor.h>

#include <string>
#include <vector>

#include "base/fields.h"

namespace temper::objective {

struct PolicyAlgorithm;
struct PolicyBatch;

// The section "process" of an algorithm.
struct ProcessOptions : Fields {
  std::string reward;               // the reward that scores steps, by its name; "": none does
  std::vector<std::string> refine;  // "clip", "delta"
  double threshold = 0.5;           // of clip
  double weight = 1.0, outcome_weight = 1.0;
  std::string level_column = "level";
  std::vector<std::string> easy_levels;  // records whose outcome counts; none: all
  void fields(FieldVisitor& v) override;
  void check(std::vector<std::string>& problems, const std::string& where) const override;
  bool on() const { return !reward.empty(); }
};
// "process_zscore", "return_to_go": the advantage estimators that read the scores of steps alone.
const std::vector<std::string>& process_estimators();

// The steps of an optimizer step's responses, response after response.
struct ProcessScores {
  at::Tensor score;     // [K] fp64
  at::Tensor sequence;  // [K] int64, ascending
  at::Tensor token;     // [K] int64 in [0, M): where each ends; not before the one that it follows
  at::Tensor known;     // [S] bool: the steps were scored
  at::Tensor easy;      // [S] bool: the outcome counts
};

// [K] -> [K]: the refinements of `refine`, in order, with clip's threshold.
at::Tensor refine_process(const std::vector<std::string>& refine, double threshold, const at::Tensor& score,
                          const at::Tensor& sequence);

// reward [M], sequence [M] ascending -> [M] fp64: the sum over a token and those behind it in its sequence.
at::Tensor return_to_go(const at::Tensor& reward, const at::Tensor& sequence);

// The rewards of all tokens, [M] fp64; NaN at all tokens of a response whose steps, or whose outcome where it
// counts, are not known. `step` needs sequence, sequences and reward.
at::Tensor process_token_rewards(const ProcessOptions& options, const PolicyBatch& step,
                                 const ProcessScores& scores);

// token_advantage of a step by process_zscore or return_to_go: [M] in the reward's type. Of process_zscore
// the outcome is the reward's z-score in its group, at every token. A group with fewer than two steps, or of
// equal ones, and what is not known get 0. `step` needs sequence, sequences, reward and group.
at::Tensor process_advantages(const PolicyAlgorithm& algorithm, const PolicyBatch& step,
                              const ProcessScores& scores);

}  // namespace temper::objective
