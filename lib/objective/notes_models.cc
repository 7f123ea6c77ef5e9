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
       "-log p where the record's reward is at least the threshold, -alpha log(1 - p) elsewhere",
       {"Rewards are larger for better records and one a record; PHF's code has scores, minus the reward, of "
        "tokens or sentences.",
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

FamilyNotes reward_model_notes() {
  FamilyNotes f;
  f.family = "reward_model";
  f.title = "Reward-model losses";
  f.summary =
      "Scores r of responses: of pairs (w chosen, l rejected), of groups with right and wrong ones, of rated "
      "responses, or of the "
      "steps of a solution. ls = logsigmoid, m how much better the chosen one is.";
  f.metrics = {{"accuracy",
                "share of pairs (also right-wrong pairs of a group, averaged by group) strictly in the right "
                "order; of steps on "
                "the right side of 0"},
               {"margin", "mean difference of the scores of a pair, or of right and wrong in a group"},
               {"error", "mean absolute error of a rating"},
               {"score", "mean score"}};
  f.objectives = {
      {"bt",
       "-ls(r_w - r_l - margin) + center (r_w + r_l)^2, margin the record's column, 0 without one",
       {},
       {}},
      {"margin_bt", "-ls(r_w - r_l - m) + center (r_w + r_l)^2", {}, {}},
      {"scaled_bt", "-m ls(r_w - r_l) + center (r_w + r_l)^2", {}, {}},
      {"listwise",
       "minus the mean of ls(r_i - r_j) over right i and wrong j of a group",
       {"Mean over the groups that have both."},
       {}},
      {"regression", "(r - target)^2 of each rated attribute, mean over the ratings", {}, {}},
      {"process",
       "cross entropy of sigmoid(r) with the label of each step",
       {"Steps without a label are left out."},
       {}},
  };
  return f;
}

FamilyNotes distillation_notes() {
  FamilyNotes f;
  f.family = "distillation";
  f.title = "Distillation losses";
  f.summary =
      "One value a token from the logits of student and teacher; S and T are softmax(logits / temperature), "
      "M = (1 - beta) S + beta "
      "T, and D = beta KL(T || M) + (1 - beta) KL(S || M), at beta 0 KL(T || S), at 1 KL(S || T).";
  f.departures = {
      "The mean is over all target tokens of the step. TRL's GKDTrainer does the same with stored "
      "completions; "
      "with own samples it still divides by the number of the stored ones, Temper by the sampled ones.",
      "TRL's temperature is that of sampling alone, and its loss is at 1; rollout.temperature and "
      "algorithm.temperature are two settings here. TRL draws own or stored once a micro-batch, Temper once "
      "a "
      "step (on_policy_share, GKD's lambda).",
      "Teachers have the student's vocabulary; several are averaged, logit by logit. Heads that are padded "
      "differently are compared over the rows that all have.",
      "Sequence-level distillation needs no loss of its own: temper-generate --write completions writes the "
      "teacher's answers, and the task sft learns them."};
  f.metrics = {
      {"divergence", "mean of D over the target tokens; of minillm the reverse KL"},
      {"cross_entropy", "of sampled_kd: with the drawn tokens"},
      {"nll, teacher_nll", "mean of -log p of the data's or the sampled tokens at temperature 1"},
      {"on_policy", "1: the step learnt from the student's own samples"},
  };
  f.objectives = {
      {"forward_kl", "KL(T || S)", {}, {}},
      {"reverse_kl", "KL(S || T)", {}, {}},
      {"gjsd", "D at beta 0.5", {}, {}},
      {"kd", "(1 - ce_weight) temperature^2 KL(T || S) + ce_weight (-log p of the target)", {}, {}},
      {"sampled_kd",
       "(1 - ce_weight) sum over drawn tokens of count / draws * t / q * (-log S) + ce_weight (-log p of the "
       "target), drawn from q = t^tau",
       {"With tau other than 1 the weights t / q are not normalised, so that the loss is unbiased.",
        "Positions are kept by example in the file of temper-generate --teacher-cache, so nothing needs to "
        "be "
        "packed alike."},
       {}},
      {"minillm",
       "KL(S || T) of each own token's distribution - A log p of the token, A_t = sum over k > t of "
       "gamma^(k-t-1) r_k / sum of the gammas, r = log p_teacher - log p_student; single_step false: without "
       "the KL, and A_t begins with r_t",
       {"One update a batch of samples, hence no clipped ratio; no samples mixed with the teacher's; no loss "
        "on plain text."},
       {}},
  };
  return f;
}

}  // namespace temper::objective
