#include "objective/notes.h"

namespace temper::objective {
namespace {

const Definitions kTokenClip = {
    {"ratio", "mean over tokens of r"},
    {"clip_low", "share of tokens with A < 0 and r < 1 - clip_low: the clip took their gradient"},
    {"clip_high", "share of tokens with A > 0 and r > 1 + clip_high: the clip took their gradient"},
    {"dual_clip", "share of tokens that the dual clip holds, when it is on"}};
const Definitions kSequenceClip = {{"ratio", "mean over sequences of s"},
                                   {"clip_low", "share of sequences with A < 0 and s < 1 - clip_low"},
                                   {"clip_high", "share of sequences with A > 0 and s > 1 + clip_high"}};
const std::string kClip = "-min(r A, clip(r, 1 - clip_low, 1 + clip_high) A) per token";
const std::string kNoClip =
    "The paper has no clip, which does nothing while each answer is learnt from once "
    "(train.updates_per_rollout "
    "1, one batch a rollout).";
const std::string kKl = "No KL: the papers' settings differ from task to task; set kl_coef and kl_in.";

}  // namespace

FamilyNotes policy_notes() {
  FamilyNotes f;
  f.family = "policy";
  f.title = "Policy objectives";
  f.summary =
      "Responses in groups, one group a prompt. logp, logp_old, logp_ref: log-probs of the policy, of the "
      "policy that sampled, of "
      "the reference; d = logp - logp_old, r = exp(d), s = exp(mean of d over a response), |o| its length, R "
      "its reward, A its "
      "advantage, mu and sd the mean and unbiased deviation of its group, sg detached. A preset sets "
      "objective, advantage "
      "estimator, reduction, KL, rollout correction and group filter; each can be set by itself.";
  f.departures = {
      "Denominators are those of the whole optimizer step. TRL's grpo, bnpo and dr_grpo average the "
      "micro-batches' means, so there "
      "the loss depends on how a step is cut; with one micro-batch both agree.",
      "A truncated response that is masked (mask_truncated), or any sequence with include 0, leaves the "
      "denominators as well. TRL "
      "zeroes its tokens and still counts it as a sequence. An empty response counts in both.",
      "A log-ratio above 20 (a ratio above 5e8) is cut off before exp, and so has no gradient; TRL's becomes "
      "infinite in fp32.",
      "Rewards that are all equal in a group give an advantage of exactly 0, whatever the rounding of their "
      "mean.",
      "A null reward is left out of all statistics of its group, and its advantage is 0."};
  f.metrics = {
      {"loss", "the loss of the step"},
      {"policy_loss", "the part of it that is neither KL nor entropy nor critic"},
      {"critic_loss", "the critic's loss before its coef, when there is a critic"},
      {"value", "mean over tokens of the critic's output"},
      {"value_error", "mean over tokens of |target - value at sampling|, with a value critic"},
      {"kl_loss", "kl_coef times the reduced KL, when it is in the loss"},
      {"entropy_bonus", "entropy_coef times the reduced entropy, when it is above 0: the loss is less by it"},
      {"kl", "mean over tokens of the configured estimator against the reference, when there is one"},
      {"approx_kl", "mean over tokens of exp(d) - 1 - d: the KL from the policy that sampled"},
      {"entropy", "mean over tokens of the entropy of the full distribution"},
      {"rollout_gap", "mean over tokens of |logp_old - logp_rollout|: the trainer against the decode engine"},
      {"rollout_ratio", "mean over tokens of exp(logp_old - logp_rollout)"},
      {"correction_weight", "mean weight of the rollout correction, when it is on"}};
  f.objectives = {
      {"grpo",
       kClip + ", A = (R - mu) / (sd + 1e-4), mean of the responses' means",
       {"The standard deviation is the unbiased one and 1e-4 is added to it, as in TRL."},
       kTokenClip,
       {{"kl_coef", 0.04, "no reference model is needed, which has become common practice."}}},
      {"dapo",
       kClip + ", clip_high 0.28, A = (R - mu) / (sd + 1e-4), mean over all tokens; groups of equal rewards "
               "are replaced",
       {"overlong_buffer is a share of max_new_tokens: 0.2 is the paper's 4096 of 20480 tokens."},
       kTokenClip},
      {"dr_grpo",
       kClip + ", A = R - mu, sum / max_length, mean over responses",
       {"The constant max_length is rollout.max_new_tokens unless it is given."},
       kTokenClip},
      {"gspo", "-min(s A, clip(s, 1 - clip_low, 1 + clip_high) A) per sequence", {}, kSequenceClip},
      {"gspo_token",
       "-min(s' A, clip(s', 1 - clip_low, 1 + clip_high) A) per token, s' = sg(s) exp(logp - sg(logp))",
       {},
       {{"ratio", "mean over tokens of s"},
        {"clip_low", "share of tokens with A < 0 and s < 1 - clip_low"},
        {"clip_high", "share of tokens with A > 0 and s > 1 + clip_high"}}},
      {"luspo",
       "-|o| min(s A, clip(s, 1 - clip_low, 1 + clip_high) A) per sequence",
       {"TRL's form with TRL's default clip range; the paper's range was not checked."},
       kSequenceClip},
      {"gmpo",
       "-A exp(sum of d' / |o|) per sequence; A >= 0: d' = min(d, log_clip_high); A < 0: d' = max(d, "
       "-log_clip_low)",
       {},
       {{"ratio", "mean over sequences of the geometric mean of the clipped ratios"},
        {"clip_low", "share of tokens with A < 0 and d < -log_clip_low"},
        {"clip_high", "share of tokens with A >= 0 and d > log_clip_high"}},
       {{"advantage_eps", 1e-8, "as the other presets and TRL have it."}}},
      {"cispo",
       "-sg(clip(r, weight_min, weight_max)) A logp per token, mean over all tokens",
       {},
       {{"weight", "mean over tokens of the clipped weight"},
        {"weight_clipped", "share of tokens whose weight was clipped"},
        {"masked", "share of tokens dropped by unified_mask, when it is on"}}},
      {"topr",
       "-sg(w) x sum of logp per sequence, x = R - baseline, rho = exp(sum of d); x >= 0: w = clip(rho, "
       "positive_min, positive_max); x < 0: w = clip(rho, negative_min, negative_max)",
       {"The paper's equation; its runs also divide by the length (length_norm)."},
       {{"weight", "mean over sequences of w"},
        {"positives", "share of sequences with x >= 0"},
        {"baseline", "of the step, when split_on is \"reward\""},
        {"positive_share",
         "effective share of positives of the step: sum of max(x, 0) over the sum of |x|; 0.1 to 0.2 worked "
         "best in the paper"}},
       {{"baseline", 0.0,
         "the paper's rewards are 1 and -1, a verifier's 1 and 0, of which this makes the same, halved; "
         "without "
         "it no failure would be learnt from."}}},
      {"gvpo",
       "sum over a group of e^2 / 2 / (n - 1), e = beta (l - mean l) - (R - mu), l = sum of d",
       {"Mean over groups. The authors sum over a micro-batch and average micro-batches: a constant factor."},
       {{"residual", "mean over sequences of |e|"}, {"log_ratio", "mean over sequences of l"}}},
      {"copg",
       "minus the sum over pairs of a group of ((R - R') - beta/2 (l - l')) (l - l') / (n - 1), l = sum of "
       "logp - logp_ref",
       {"Sums over pairs are divided by n - 1. Written with the group's means, so a group may be split over "
        "micro-batches; the "
        "gradient is the same."},
       {{"residual", "mean over sequences of |beta (l - mean l) - (R - mu)|"},
        {"log_ratio", "mean over sequences of l"}}},
      {"sapo",
       "-(4 / tau) sigmoid(tau (r - 1)) A per token, tau by the sign of A",
       {},
       {{"ratio", "mean over tokens of r"},
        {"gate", "mean over tokens of the derivative by r: 1 at r = 1, falling to 0 on both sides"}}},
      {"vespo",
       "-phi(w) A logp per token, w = exp(sum of d), phi(w) = exp(lambda) w^k exp(-lambda w), (k, lambda) by "
       "the sign of A",
       {"TRL puts the rollout correction inside phi; here it multiplies the loss as for every objective."},
       {{"weight", "mean over sequences of phi"}}},
      {"gpg",
       "-A logp per token, A = R - mu, mean over all tokens",
       {"Groups of equal rewards count in the mean; the paper scales the others up by their share, or draws "
        "anew "
        "(filter_zero_variance)."},
       {}},
      {"dro",
       "-(logp A - beta/2 d^2) per token",
       {"A is the group's centred reward; the paper learns a value V and has A = R - V."},
       {{"penalty", "mean of beta/2 d^2"}},
       {{"level", "sequence", "Tinker's form, token by token."}}},
      {"kimi",
       "-(A sum of logp - beta/2 (sum of d)^2) per sequence",
       {},
       {{"penalty", "mean over sequences of beta/2 (sum of d)^2"}}},
      {"rloo",
       "-min(q A, clip(q, 1 - clip_low, 1 + clip_high) A) per sequence, q = exp(sum of d), A = R - KL - mean "
       "of the others",
       {"TRL's values: KL 0.05 in the reward, clip 0.2 on the sequence's ratio; the paper has no clip, which "
        "does "
        "nothing while each answer is learnt from once."},
       {{"ratio", "mean over sequences of q"},
        {"clip_low", "share of sequences with A < 0 and q < 1 - clip_low"},
        {"clip_high", "share of sequences with A > 0 and q > 1 + clip_high"}}},
      {"loop",
       kClip + ", A = R - mean of the others, mean over all tokens",
       {"For answers of one turn; the paper's are conversations with an environment. No KL, as in the "
        "paper."},
       kTokenClip},
      {"reinforce_pp",
       kClip + ", A = R whitened over the tokens of the step, mean over all tokens",
       {kKl, "Whitened over tokens, so a longer response weighs more: verl's form."},
       kTokenClip},
      {"reinforce_pp_baseline",
       kClip + ", A = R - mu whitened over the tokens of the step, mean over all tokens",
       {kKl, "Whitened over tokens, so a longer response weighs more: verl's form."},
       kTokenClip},
      {"remax",
       kClip + ", A = R - R of the greedy response, mean over all tokens",
       {kKl, kNoClip},
       kTokenClip},
      {"opo",
       kClip + ", A = R - sum(|o| R) / sum(|o|) over the group, mean over all tokens",
       {"No KL, as in the paper.", kNoClip},
       kTokenClip},
      {"pass_at_k",
       kClip + ", A = R - R of the second best for the best of a group, else 0, mean over all tokens",
       {kKl, "verl's form: where several are best, none has an advantage."},
       kTokenClip},
      {"gdpo",
       kClip + ", A: z-score of each reward function in its group, weighted sum, z-score over the step",
       {"TRL's form."},
       kTokenClip},
      {"mrt",
       kClip +
           ", A = (R' - mu) / (sd + 1e-4), mean of the responses' means; half of a group goes on thinking "
           "from a beginning that all of it shares, half is told to answer there; R' = R + progress_bonus "
           "(J_on - J_end) for those that go on, J their mean rewards, R' = R for the others",
       {"The beginning is one sample of the policy, cut at a random token (rollout.prefix), and not learnt; "
        "the "
        "authors took it from the base model's traces, once before training.",
        "Their README's other form, A = R - J_end, is advantage ended_baseline with progress_bonus 0.",
        "The weight of the bonus is not in the paper's text as read here; 1 is that of the authors' later "
        "code."},
       kTokenClip},
      {"ppo",
       kClip +
           ", A from a critic's values by gae, retrace or rbis, mean over all tokens; plus critic.coef times "
           "the mean of max((V - target)^2, (clip(V, V_old -+ value_clip) - target)^2) / 2",
       {"The critic is a score head on the policy's own hidden states (critic.trunk says whether its loss "
        "trains "
        "these too), not a second model.",
        "TRL's values; advantages are whitened over the tokens of the step as in verl."},
       kTokenClip},
      {"awr",
       "-min(exp(A / beta), weight_max) logp per token, mean over all tokens",
       {"A is the group's centred reward by default; with advantage \"gae\" and critic.lambda 1 it is the "
        "paper's R - V."},
       {{"weight", "mean over tokens of the weight"},
        {"weight_capped", "share of tokens whose weight is the cap"}}},
      {"luffy",
       "-r A for an own token; -f(p) A for a token of a demonstration, p = exp(logp), f(p) = p / (p + "
       "shaping); A = R - mu, "
       "sum / max_length, mean over responses; less 0.001 times the mean entropy of all tokens",
       {"The authors divide by a constant length and not by the number of responses; here it is the mean "
        "over responses too, so it "
        "does not depend on how many there are."},
       {{"ratio", "mean over tokens of r, 0 on demonstrations"},
        {"demonstration_p", "mean over tokens of p on demonstrations, 0 elsewhere"},
        {"demonstrations", "share of responses that are demonstrations"}}},
      {"adaptthink",
       "-min(s A, clip(s, 1 - clip_low, 1 + clip_high) A) per sequence, A = R - R_ref + bonus [opened with "
       "the end of "
       "thinking]; the first token's behaviour log-prob is log opening_p",
       {"A null reward adds nothing."},
       {{"ratio", "mean over sequences of s"},
        {"clip_low", "share of sequences with A < 0 and s < 1 - clip_low"},
        {"clip_high", "share of sequences with A > 0 and s > 1 + clip_high"},
        {"opened", "share of sequences that opened with the end of thinking"}}},
      {"brain",
       "-sum over a group of sg(alpha - b) l; alpha = softmax(l_ref + R / tau - l_old), b = softmax(l - "
       "l_old), l sums of "
       "log-probs",
       {"Mean over groups. The value is the surrogate's; the gradient is that of -sum sg(alpha) log b."},
       {{"weight", "mean over sequences of |alpha - b|"}}},
      {"oreal",
       "A > 0: -A w+ logp over all tokens of such responses; A < 0: -negative_weight A w- exp(logp - "
       "sg(logp)) over all tokens "
       "of those; w+ = max(2p - 1, 0), w- = max(1 - 2p, 0), p = sigmoid(running mean of the token scores), 1 "
       "without scores; A = R "
       "- mean of the others",
       {"Both signs count all their tokens of the step; the KL (k3, 0.01) is divided by all tokens.",
        "With token_scores the scores are those of a head on the policy's hidden states that learns beside "
        "it "
        "(critic); the paper also sets keep_one_each and critic.warmup 10."},
       {{"weight", "mean over tokens of w+ or w-"}}},
      {"simko",
       kClip + " where, at tokens whose entropy is above the quantile of their response, A > 0: r becomes (1 "
               "- alpha) r + alpha "
               "/ K times the sum over the K likeliest of sg(r) exp(lp_k - sg lp_k); A < 0 and the sampled "
               "token is the likeliest: A "
               "becomes penalty A",
       {"Simplified: the behaviour policy's top K cancels. Entropy is detached."},
       {{"ratio", "mean over tokens of r"},
        {"gated", "share of tokens above the quantile"},
        {"punished", "share of tokens whose A was raised"}}},
      {"coderl",
       "-q_t A logp per token of a sampled program, A = R - R of the greedy program, q_t = the critic's "
       "softmax "
       "probability of the outcome that it had; -ce_coef logp per token of a record's program; each a mean "
       "over "
       "its own tokens; plus critic.coef times the cross entropy of the critic's scores with the outcome",
       {"The critic is a score head on the policy's own hidden states that learns beside it (critic.trunk "
        "says "
        "whether its loss trains these too). The authors train a smaller model of its own beforehand, with a "
        "hidden layer of 128, and keep it.",
        "Every token's scores learn the outcome; the authors' critic learns the largest over a program's "
        "tokens "
        "(critic.pool \"max\"), and q_t is the softmax of a token's own scores in both.",
        "Programs are sampled anew each step; the authors' were sampled once, and cross entropy and policy "
        "gradient take turns over micro-batches. They train on a record's programs as passed ones; here "
        "their "
        "outcome is what the tests say."},
       {{"outcome_probability", "mean over tokens of q_t"},
        {"outcome_accuracy", "share of tokens at which the outcome that the program had is the likeliest"}}},
  };
  return f;
}

}  // namespace temper::objective
