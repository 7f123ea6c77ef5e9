// One objective on numbers given as JSON, in float64: `temper-inspect objective NAME --input batch.json --set
// f=v`.
#pragma once

#include <string>
#include <vector>

#include "base/json_fwd.h"

namespace temper::objective {

// {"loss": x, "grad": {"logp": [[...], ...]}, "metrics": {...}}: the whole input is one optimizer step.
//
// Policy objectives: {"sequences": [{"logp": [...], "logp_old": [...], "logp_ref": [...], "logp_rollout":
// [...],
//   "entropy": [...], "advantage": a or [...], "reward": r or null, "group": g, "include": true}, ...],
//   "max_length": n (only for seq_mean_token_sum, unless the field max_length is set)}. Advantage remax also
//   reads "greedy": r of a sequence, gdpo "rewards": [...] and beside the sequences "reward_weights": [...]
//   (default: ones). process.reward reads "steps": [[token, score], ...] of a sequence, token the place where
//   the step ends, or null, and "easy": whether its outcome counts (default: true); turn_advantage reads
//   "turns": [{"state": text, "reward": r or null, "begin": token, "end": one behind the last}, ...]; coderl
//   reads "outcome": 0 (worst) to 3 (best), or null, and "outcome_score": [[...], ...], four numbers a token.
//   Arrays have one number a token; an objective takes those it needs (objective_inputs) and
//   the others may be left out. Without "advantage" the algorithm's own estimator makes it of "reward" and
//   "group", after the KL when kl_in is "reward". What happens before a loss (group filter, overlong penalty,
//   masking of truncated responses) is not done here.
// Preference objectives: {"pairs": [{"chosen": {"logp": [...], "logp_ref": [...], "log_sum_squares": [...]},
//   "rejected": {...}, "include": true}, ...]}; the gradient's rows are chosen and rejected of each pair in
//   turn. Unpaired ones: {"sequences": [{"logp": [...], "logp_ref": [...], "label": true, "mismatch": k,
//   "include": true}, ...]}. ofs_dpo also reads "logp_other", the slow adapter's, and gives its gradient.
//   Losses on lists: {"sequences": [{"logp": [...], "group": g}, ...]}, the rows of a group in turn: brio's
//   candidates best first; sami's responses after the first prompt, then after the second ...
// Supervised losses: {"sequences": [{"logp": [...], "mean_logp": [...], "cosine": [...], "value": [...],
//   "reward": r or [...], "group": g}, ...]}; the mean over all tokens, of mml over all groups. "grad" has
//   each of the differentiable arrays that the loss reads.
// Reward-model losses ("grad" has "score" in the place of "logp"): pairs {"pairs": [{"chosen": {"score": r},
// "rejected":
//   {"score": r}, "strength": m}, ...]}; listwise {"sequences": [{"score": r, "group": g, "label": true},
//   ...]}; regression
//   {"sequences": [{"score": [...], "target": [..., null]}, ...]}; process {"sequences": [{"score": [...],
//   "label": [1, 0, null]}, ...]}, one number a step.
// Distillation losses ("grad" has "student"): {"sequences": [{"student": [[...], ...], "teacher": [[...],
// ...],
//   "target": [...]}, ...]}, logits, a row of the vocabulary for each token; the mean over all tokens. Of
//   sampled_kd a teacher's row holds the shares of the drawn tokens instead. minillm: {"sequences": [{"logp":
//   [...], "logp_teacher": [...]}, ...]} with "grad" of "logp".
//
// `name` may have its family in front: "preference/dpo". `overrides` are fields of the algorithm. Throws
// UserError for anything unknown, missing, ragged or not finite.
Json evaluate_objective(const std::string& name, const Json& batch, const Json& overrides);

// The arrays and numbers of a sequence that the objective with these overrides reads, for `list`.
std::vector<std::string> objective_inputs(const std::string& name, const Json& overrides);

}  // namespace temper::objective
