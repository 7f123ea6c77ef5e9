#include "objective/notes.h"

namespace temper::objective {

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

}  // namespace temper::objective
