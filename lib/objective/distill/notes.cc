#include "objective/notes.h"

namespace temper::objective {

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
