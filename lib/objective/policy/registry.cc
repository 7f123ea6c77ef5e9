#include "objective/extend.h"
#include "objective/policy/kinds.h"

namespace temper::objective {

const Registry<PolicyAlgorithm>& policy_registry() {
  static const Registry<PolicyAlgorithm> registry = [] {
    Registry<PolicyAlgorithm> r("algorithm");
    r.add({"grpo", "PPO clip on group z-scores, mean of the sequences' means",
           "Shao et al., arXiv 2402.03300", grpo});
    r.add({"dapo", "GRPO with clip-higher, dynamic sampling, token mean and a soft overlong penalty",
           "Yu et al., arXiv 2503.14476", dapo});
    r.add({"dr_grpo", "GRPO without the divisions by standard deviation and length",
           "Liu et al., arXiv 2503.20783", dr_grpo});
    r.add({"gspo", "PPO clip on the geometric mean of a response's ratios", "Zheng et al., arXiv 2507.18071",
           gspo});
    r.add({"gspo_token",
           "GSPO whose value is the sequence's and whose gradient and advantage are the token's",
           "Zheng et al., arXiv 2507.18071", gspo_token});
    r.add({"luspo", "GSPO times the length of the response", "TRL 1.16 (LUSPO)", luspo});
    r.add({"gmpo", "geometric mean of ratios that are clipped one by one in log space",
           "Zhao et al., arXiv 2507.20673", gmpo});
    r.add({"cispo", "REINFORCE with a clipped, detached importance weight: no token loses its gradient",
           "MiniMax-M1, arXiv 2506.13585", cispo});
    r.add({"topr", "tapered off-policy REINFORCE: full weight on successes, truncated ratio on failures",
           "Le Roux et al., arXiv 2503.14286", topr});
    r.add({"gvpo", "regresses log-ratios on rewards within a group", "Zhang et al., arXiv 2504.19599", gvpo});
    r.add({"copg", "contrastive policy gradient: pairs of scored responses, on or off policy",
           "Flet-Berliac et al., arXiv 2406.19185", copg});
    r.add({"sapo", "a soft gate in place of the clip", "arXiv 2511.20347, TRL 1.16", sapo});
    r.add({"vespo", "REINFORCE with a smooth weight of the sequence's ratio", "TRL 1.16 (VESPO)", vespo});
    r.add({"gpg", "REINFORCE on group-centred rewards, no clip and no KL", "Chu et al., arXiv 2504.02546",
           gpg});
    r.add({"dro", "REINFORCE with a quadratic penalty on the log-ratio",
           "Richemond et al., arXiv 2405.19107; Tinker", dro});
    r.add({"kimi", "DRO on whole sequences", "Kimi k1.5, arXiv 2501.12599", kimi});
    r.add({"rloo", "REINFORCE leave-one-out: clip on the sequence's ratio, KL in the reward",
           "Ahmadian et al., arXiv 2402.14740; TRL 1.16", rloo});
    r.add({"loop", "PPO clip, token by token, on leave-one-out advantages (LOOP)",
           "K. Chen et al., Reinforcement Learning for Long-Horizon Interactive LLM Agents, arXiv 2502.01600",
           loop});
    r.add({"reinforce_pp", "PPO clip on rewards whitened over the step", "Hu, arXiv 2501.03262; verl",
           reinforce_pp});
    r.add({"reinforce_pp_baseline", "the same on group-centred rewards", "Hu, arXiv 2501.03262; verl",
           reinforce_pp_baseline});
    r.add({"remax", "PPO clip on the reward less that of the greedy response",
           "Li et al., arXiv 2310.10505; verl", remax});
    r.add({"opo", "PPO clip with the length-weighted optimal baseline", "Hao et al., arXiv 2505.23585; verl",
           opo});
    r.add({"pass_at_k", "PPO clip where only the best of a group has an advantage",
           "Tang et al., arXiv 2503.19595; verl", pass_at_k});
    r.add({"gdpo", "GRPO on rewards that are normalised one function at a time", "TRL 1.16, verl (GDPO)",
           gdpo});
    r.add({"mrt", "GRPO with a bonus for the progress of going on thinking over ending there",
           "Qu et al., arXiv 2503.07572", mrt});
    r.add({"ppo", "PPO clip on generalised advantages from a value head that learns beside the policy",
           "Schulman et al., arXiv 1707.06347 and 1506.02438; TRL 1.16", ppo});
    r.add({"awr", "advantage-weighted regression: clones responses by the exponential of their advantage",
           "Peng et al., arXiv 1910.00177; Korbak et al., arXiv 2302.08582", awr});
    r.add({"luffy", "on-policy responses and demonstrations in one group", "Yan et al., arXiv 2504.14945",
           luffy});
    r.add({"adaptthink", "learns when to answer without thinking", "Zhang et al., arXiv 2505.13417",
           adaptthink});
    r.add({"brain", "amortised posterior by self-normalised weights within a group",
           "Pandey et al., arXiv 2402.02479", brain});
    r.add({"oreal", "clones right answers and pushes off wrong ones, each over its own tokens",
           "Lyu et al., arXiv 2502.06781", oreal});
    r.add({"simko", "PPO clip that spreads gains over likely alternatives at uncertain tokens",
           "Peng et al., arXiv 2510.14807", simko});
    r.add({"coderl",
           "programs by their tests, each token weighed by a critic of outcomes, beside the records' own",
           "Le et al., arXiv 2207.01780", coderl});
    extend(r);
    return r;
  }();
  return registry;
}

}  // namespace temper::objective
