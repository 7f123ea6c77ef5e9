#include "objective/notes.h"

namespace temper::objective {

FamilyNotes preference_notes() {
  FamilyNotes f;
  f.family = "preference";
  f.title = "Preference losses";
  f.summary =
      "Pairs of a chosen (w) and a rejected (l) response, single responses with a label, or lists of "
      "responses. lp: log-probs "
      "summed over a response's "
      "tokens, |w| and |l| their numbers, a = lp / length, x = lp - lp_ref, ls = logsigmoid, e "
      "label_smoothing, b beta, S the "
      "f-divergence score (reverse_kl x, forward_kl -exp(-x), js ls(x), alpha (exp((alpha - 1) x) - 1) / "
      "(alpha - 1)), "
      "u = b (S(x_w) - S(x_l)). The mean is over pairs or responses. `also` sums further losses, sft_weight "
      "adds the token mean of "
      "-logp over chosen responses, ld_alpha and wpo act on any loss of pairs.";
  f.departures = {"An exponential of a log-ratio above 40 is cut off; TRL's forward KL overflows in fp32.",
                  "WPO weighs the preference losses and not the NLL term; TRL weighs both.",
                  "The NLL of sft_weight is over the completion's tokens of the whole step."};
  f.metrics = {
      {"loss", "the loss of the step"},
      {"sft_loss", "token mean of -logp over chosen (or desirable) responses, when it is part of the loss"},
      {"weight", "mean over units of the WPO weight, with wpo"},
      {"reward_chosen, reward_rejected", "pairs: mean implicit reward, by default b x"},
      {"reward_margin", "pairs: mean of chosen less rejected"},
      {"reward_accuracy", "pairs: share with the chosen one strictly above the rejected one"},
      {"logp_chosen, logp_rejected", "pairs: mean of lp"},
      {"reward_desirable, reward_undesirable", "single responses: mean implicit reward of each label"},
      {"logp_desirable, logp_undesirable", "single responses: mean of lp of each label"}};
  f.objectives = {
      {"dpo",
       "-(1 - e) ls(u) - e ls(-u)",
       {"Label smoothing is cDPO; TRL's sigmoid loss ignores the setting."},
       {}},
      {"robust", "(-(1 - e) ls(u) + e ls(-u)) / (1 - 2 e)", {}, {}},
      {"hinge",
       "relu(1 - u)",
       {"TRL 1.16 fails in backward with WPO, so that pair of settings was not compared."},
       {}},
      {"ipo",
       "(S(x_w) / |w| - S(x_l) / |l| - 1 / (2 b))^2; length_norm false: without the divisions",
       {"As in TRL, the divergence's constant (1 or log 2) is divided by the length with the rest."},
       {}},
      {"exo_pair", "sigmoid(u) (ls(u) - log(1 - e)) + sigmoid(-u) (ls(-u) - log e)", {}, {}},
      {"discopop", "-ls(u) (1 - m) + exp(-u) m, m = sigmoid(u / tau)", {}, {}},
      {"sigmoid_norm",
       "-ls(b (S(x_w) / |w| - S(x_l) / |l|))",
       {"As in TRL, the divergence's constant (1 or log 2) is divided by the length with the rest."},
       {}},
      {"nca_pair", "-ls(b x_w) - ls(-b x_w) / 2 - ls(-b x_l) / 2", {}, {}},
      {"bco_pair",
       "-ls(b x_w - d) - ls(d - b x_l), d 0, or with shift \"step\" the mean reward of the step",
       {},
       {}},
      {"sppo_hard", "(x_w - 1 / (2 b))^2 + (x_l + 1 / (2 b))^2", {}, {}},
      {"apo_zero", "1 - sigmoid(b x_w) + sigmoid(b x_l)", {}, {}},
      {"apo_down", "sigmoid(b x_w) + 1 - sigmoid(b (x_w - x_l))", {}, {}},
      {"aot",
       "-(1 - e) ls(b D) - e ls(-b D), D = sorted (lp_w - lp_l) less sorted (ref_w - ref_l), rank by rank",
       {"The pairs of the whole step are sorted, TRL's of a micro-batch."},
       {}},
      {"aot_unpaired",
       "-(1 - e) ls(b D) - e ls(-b D), D = sorted x_w less sorted x_l, rank by rank",
       {"The pairs of the whole step are sorted, TRL's of a micro-batch."},
       {}},
      {"simpo", "-(1 - e) ls(v) - e ls(-v), v = b (a_w - a_l) - gamma", {}, {}},
      {"cpo", "-(1 - e) ls(v) - e ls(-v), v = b (lp_w - lp_l), plus the NLL of the chosen", {}, {}},
      {"orpo",
       "-lambda ls(log odds_w - log odds_l), odds = exp(a) / (1 - exp(a)), plus the NLL of the chosen",
       {},
       {}},
      {"kto",
       "desirable: 1 - sigmoid(b (x - z)); undesirable: 1 - sigmoid(b (z - x)); z = max(0, mean mismatch), "
       "detached",
       {"z is the mean over the whole step."},
       {{"kl", "mean mismatch: log-ratio of responses after other prompts"}}},
      {"apo_zero_unpaired", "desirable: 1 - sigmoid(b x); undesirable: sigmoid(b x)", {}, {}},
      {"bco",
       "desirable: -ls(b x - d); undesirable: -ls(d - b x); d halfway between the mean rewards of both, "
       "detached",
       {"d is of the step; the paper keeps a running mean of it."},
       {}},
      {"brio",
       "10 sum over gaps d of mean over i of relu(f_(i+d) - f_i + d margin) + 0.1 NLL of y_1; candidates y_1 "
       ".. y_K "
       "best first, f = lp / |y|^length_power",
       {"No term against a gold response apart from the best candidate; no label smoothing of the NLL."},
       {{"rank_accuracy", "mean share of a list's pairs in the right order"},
        {"reward_best, reward_worst", "mean f of the best and of the worst candidate"},
        {"logp_best", "mean lp of the best candidate"}}},
      {"sami",
       "(CE of the rows of M to the diagonal + CE of its columns) / 2, M_ij = a of response j, without its "
       "end "
       "token, after the prompt with constitution i",
       {"No KL term; the authors' runs have its weight at 0."},
       {{"row_accuracy", "mean share of constitutions whose own response is the likeliest after them"},
        {"column_accuracy", "mean share of responses that are likeliest after their own constitution"}}},
      {"ofs_dpo",
       "L(F) + alpha L_FS(S detached) + L(S) - alpha L_FS(F detached), L(M) = -ls(h_M - h_ref), L_FS = "
       "-ls(h_F - "
       "h_S), h = b (lp_w - lp_l)",
       {"Roles change by the mean L over swap_every steps; both adapters begin with the same values.",
        "COFS-DPO: a run for each domain, then the linear combination of their fast adapters, which is what "
        "final/ holds: "
        "temper-convert BASE DST --adapter A/final@0.5 --adapter B/final@0.5 --adapter-only."},
       {{"loss_fast, loss_slow", "mean L of the fast and the slow adapter"},
        {"fast", "which of the two adapters is fast, 0 or 1 (in a run)"}}},
      {"mpo", "0.8 dpo + 0.2 bco_pair + the NLL of the chosen", {}, {}},
  };
  return f;
}

}  // namespace temper::objective
