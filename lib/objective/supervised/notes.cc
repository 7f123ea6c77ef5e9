#include "objective/notes.h"

namespace temper::objective {

FamilyNotes supervised_notes() {
  FamilyNotes f;
  f.family = "supervised";
  f.title = "Supervised losses";
  f.summary =
      "One value a target token with p = exp(logp); the sum is divided by the targets of the whole optimizer "
      "step, whatever the "
      "micro-batches. sg: detached.";
  f.metrics = {{"loss", "the loss of the step"}, {"targets", "target tokens of the step"}};
  f.objectives = {
      {"nll",
       "-log p; with label_smoothing e: -(1 - e) log p - e mean over the vocabulary of log p_v",
       {},
       {}},
      {"dft", "-sg(p) log p", {}, {}},
      {"comp_sum", "(1 - p^(tau - 1)) / (tau - 1); tau 1: nll, 2: mean absolute error", {}, {}},
      {"dco",
       "-log(1 - (1 - P)^n), P the probability of all targets of a sequence",
       {"A sequence's loss is spread evenly over its tokens; the authors divide by their number."},
       {}},
      {"unlikelihood",
       "-log p where the reward of the record, or of the segment that the token is in, is at least the "
       "threshold, -alpha log(1 - p) elsewhere",
       {"Rewards are larger for better texts; PHF's code has scores, minus the reward.",
        "1 - p is at least 1e-6 (PHF: 1e-20, which fp32 cannot tell from 0)."},
       {}},
      {"rwr",
       "-min(exp((R - shift) / beta), weight_max) log p",
       {"PHF's AWR without a value head; phf_awr is the whole of it."},
       {}},
      {"phf_awr",
       "-alpha min(exp((R - V) / beta), weight_max) log p + (1 - alpha) (R - V)^2, V a value head's, "
       "detached in "
       "the weight",
       {},
       {}},
      {"emo",
       "(-log p + sg(-log p / (d + 1e-10)) d) / 2, d = 1 - sum over v of (q_v - sg(q_y) [v = y]) cos(E_v, "
       "E_y), E "
       "the rows of the head, y the target",
       {},
       {}},
      {"mml",
       "mml_weight (-1 / beta) logsumexp of beta log P_i + mle_weight sum of -log P_i, P_i the probability "
       "of "
       "solution i of a prompt; mean over prompts",
       {"beta does not multiply the second term; in TraceCodegen it does.",
        "A prompt's solutions share a micro-batch, so memory grows with the largest group."},
       {}},
  };
  return f;
}

}  // namespace temper::objective
