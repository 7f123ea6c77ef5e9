"""Goldens of tests/objective for what gives tokens their credit, in float64.

  python scripts/oracles/credit_objectives.py tests/objective/golden

entropy.json: a bonus for entropy, by TRL's GRPOTrainer, whose bonus is a mean over tokens whatever the loss is, and in verl's form,
which reduces it as the loss.
process.json: rewards of steps, by the sentences of DeepSeekMath's 4.1.3 and of "On Designing Effective RL Reward at Training Time for
LLM Reasoning", one token after the other, with GRPO's clip and with PPO's critic.
turns.json: GiGPO's equations 3, 6, 7 and 8. Beside the authors' code (verl-agent, gigpo/core_gigpo.py): their deviation has 1e-6 beside it, a
sequence alone in its group keeps its reward as advantage where it has 0 here, and by default the mean over a group counts a sequence
once for each of its turns. A turn alone in its state has 0 in both.
coderl.json: CodeRL's losses, as trainer_rl.py and modeling_t5.py of salesforce/CodeRL write them, with the reference programs' cross
entropy; the critic's both as the cross entropy of every token and as theirs, of the largest scores of a program.
"""

import random

from objectives import advantages, case, grpo_loss, main, padded, ragged, random_rewards, random_rows, rounded  # before torch, see there

import torch

REDUCTIONS = {
    "grpo": lambda x, m, longest: ((x * m).sum(1) / m.sum(1)).mean(),
    "dapo": lambda x, m, longest: (x * m).sum() / m.sum(),
    "dr_grpo": lambda x, m, longest: (x * m).sum() / (len(x) * longest),
}


def entropy_cases():
    rng, cases = random.Random(21), []
    for i in range(18):
        name = ["grpo", "dapo", "dr_grpo"][i % 3]
        rows = random_rows(rng, ("logp", "logp_old"), empty=False)
        rows["entropy"] = [[round(abs(rng.gauss(0.7, 0.5)), 3) for _ in r] for r in rows["logp"]]
        reward, group = random_rewards(rng, len(rows["logp"]))
        coef, longest = round(rng.uniform(0.001, 0.5), 3), 8
        a = advantages(reward, group, "none" if name == "dr_grpo" else "group")
        o = {"loss_type": name, "max_length": longest, "epsilon_high": 0.28 if name == "dapo" else 0.2}
        settings = {"entropy_coef": coef}
        if i % 2:
            settings["entropy_reduction"] = "token_mean"
            loss, logp_grad, entropy_grad = grpo_loss(rows, a, entropy_coef=coef, **o)
        else:
            loss, logp_grad = grpo_loss(rows, a, **o)
            entropy, mask = padded(rows["entropy"])
            bonus = REDUCTIONS[name](entropy.requires_grad_(), mask, longest)
            (-coef * bonus).backward()
            loss, entropy_grad = rounded(loss - coef * bonus.item()), ragged(entropy.grad, mask)
        value = (loss, {"logp": logp_grad, "entropy": entropy_grad})
        cases.append(case(name, settings, rows, value, reward, group, max_length=longest))
    return cases


def spread(values):
    return (torch.tensor(values).std().item() if len(values) > 1 else 0.0) if len(set(values)) > 1 else 0.0


def zscores(values, groups, eps=1e-4):
    out = []
    for v, g in zip(values, groups):
        mine = [x for x, h in zip(values, groups) if h == g]
        s = spread(mine)
        out.append((v - sum(mine) / len(mine)) / (s + eps) if s > 0 else 0.0)
    return out


def centred(values, groups):
    means = {g: sum(x for x, h in zip(values, groups) if h == g) / groups.count(g) for g in groups}
    return [v - means[g] for v, g in zip(values, groups)]


def clip_loss(lp, old, a, low=0.2, high=0.2):
    r = torch.exp(lp - old)
    return -torch.min(r * a, r.clamp(1 - low, 1 + high) * a)


def refined(scores, refine, threshold):
    for how in refine:
        if how == "clip":
            scores = [min(x - threshold, 0.0) for x in scores]
        else:
            scores = [x - y for x, y in zip(scores, scores[1:] + [0.0])]
    return scores


def process_cases():
    rng, cases = random.Random(22), []
    for i in range(24):
        rows = random_rows(rng, ("logp", "logp_old"), empty=False)
        n = len(rows["logp"])
        reward, group = random_rewards(rng, n)
        lengths = [len(r) for r in rows["logp"]]
        easy = [rng.random() < 0.6 for _ in range(n)]
        known = [rng.random() < 0.9 for _ in range(n)]
        ends = [sorted(rng.randrange(m) for _ in range(rng.randint(1, 4))) for m in lengths]
        scores = [[round(rng.random(), 2) for _ in e] for e in ends]
        refine = rng.choice([[], ["clip"], ["delta"], ["clip", "delta"], ["delta", "clip"]])
        o = {"reward": "prm", "refine": refine, "threshold": 0.6, "weight": round(rng.uniform(0.1, 2), 2),
             "outcome_weight": rng.choice([0.0, 1.0, 0.5])}
        estimator = ["process_zscore", "return_to_go", "gae"][i % 3]
        r = [refined(q, refine, 0.6) if k else [] for q, k in zip(scores, known)]
        outcome = [o["outcome_weight"] * e for e in easy]
        advantage = [[0.0] * m for m in lengths]
        if estimator == "process_zscore":
            flat = [(x, group[s]) for s in range(n) for x in r[s]]
            normalised = iter(zscores([x for x, _ in flat], [g for _, g in flat]))
            of_response = zscores(reward, group)
            for s in range(n):
                mine = [next(normalised) for _ in r[s]]
                for t in range(lengths[s]):
                    later = sum(x for x, e in zip(mine, ends[s]) if e >= t)
                    advantage[s][t] = o["weight"] * later + outcome[s] * of_response[s]
        else:
            rewards = [[0.0] * m for m in lengths]
            for s in range(n):
                for x, e in zip(r[s], ends[s]):
                    rewards[s][e] += o["weight"] * x
                rewards[s][-1] += outcome[s] * reward[s]
        logp, mask = padded(rows["logp"])
        old = padded(rows["logp_old"])[0]
        logp.requires_grad_()
        settings = {"advantage": estimator, "process": o}
        if estimator == "gae":
            settings |= {"kl_coef": 0, "critic": {"whiten": False, "gamma": 0.9, "lambda": 0.8}}
            values = [[round(rng.gauss(0, 1), 2) for _ in range(m)] for m in lengths]
            rows["value"] = values
            target = [list(v) for v in values]
            for s in range(n):
                carried = 0.0
                for t in reversed(range(lengths[s])) if known[s] else ():
                    after = values[s][t + 1] if t + 1 < lengths[s] else 0.0
                    carried = rewards[s][t] + 0.9 * after - values[s][t] + 0.9 * 0.8 * carried
                    advantage[s][t] = carried
                    target[s][t] = carried + values[s][t]
            value = padded(values)[0].requires_grad_()
            loss = (clip_loss(logp, old, padded(advantage)[0]) * mask).sum() / mask.sum()
            loss = loss + 0.1 * (0.5 * (value - padded(target)[0]) ** 2 * mask).sum() / mask.sum()
            loss.backward()
            grads = {"logp": ragged(logp.grad, mask), "value": ragged(value.grad, mask)}
        else:
            if estimator == "return_to_go":
                for s in range(n):
                    for t in range(lengths[s]) if known[s] else ():
                        advantage[s][t] = sum(rewards[s][t:])
            loss = ((clip_loss(logp, old, padded(advantage)[0]) * mask).sum(1) / mask.sum(1)).mean()
            loss.backward()
            grads = {"logp": ragged(logp.grad, mask)}
        name = "ppo" if estimator == "gae" else "grpo"
        c = case(name, settings, rows, (rounded(loss.item()), grads), reward, group)
        for s, row in enumerate(c["input"]["sequences"]):
            row["steps"] = [[e, x] for e, x in zip(ends[s], scores[s])] if known[s] else None
            row["easy"] = easy[s]
        cases.append(c)
    return cases


def turn_cases():
    rng, cases = random.Random(23), []
    for i in range(16):
        rows = random_rows(rng, ("logp", "logp_old"), empty=False)
        n = len(rows["logp"])
        reward, group = random_rewards(rng, n)
        omega, gamma = round(rng.uniform(0.1, 2), 2), round(rng.uniform(0.5, 1), 2)
        normalise = ["std", "none"][i % 2]
        turns, flat = [], []
        for s, row in enumerate(rows["logp"]):
            begin, mine = rng.randint(0, 1), []
            while begin < len(row):
                end = rng.randint(begin + 1, len(row))
                mine.append({"state": rng.choice("ab"), "reward": rng.choice([0, 1, 0.5]), "begin": begin, "end": end})
                begin = end + rng.randint(0, 1)
            turns.append(mine)
            for t in range(len(mine)):
                value = sum(gamma ** (k - t) * mine[k]["reward"] for k in range(t, len(mine)))
                flat.append((value, (group[s], mine[t]["state"])))
        keys = [k for _, k in flat]
        among = iter((zscores if normalise == "std" else centred)([v for v, _ in flat], keys))
        advantage = []
        for s, a in enumerate(zscores(reward, group)):
            advantage.append([a] * len(rows["logp"][s]))
            for turn in turns[s]:
                more = omega * next(among)
                for t in range(turn["begin"], turn["end"]):
                    advantage[s][t] += more
        logp, mask = padded(rows["logp"])
        loss = ((clip_loss(logp.requires_grad_(), padded(rows["logp_old"])[0], padded(advantage)[0]) * mask).sum(1) / mask.sum(1)).mean()
        loss.backward()
        settings = {"turn_advantage": {"omega": omega, "gamma": gamma, "normalise": normalise}}
        c = case("grpo", settings, rows, (rounded(loss.item()), ragged(logp.grad, mask)), reward, group)
        for row, mine in zip(c["input"]["sequences"], turns):
            row["turns"] = mine
        cases.append(c)
    return cases


def coderl_cases():
    rng, cases = random.Random(24), []
    levels = [-1, -0.6, -0.3, 1]
    for i in range(12):
        rows = random_rows(rng, ("logp",), empty=False)
        n = len(rows["logp"])
        _, group = random_rewards(rng, n)
        outcome = [rng.choice([0, 1, 2, 3, 3, None]) for _ in range(n)]
        reward = [float("nan") if k is None else levels[k] for k in outcome]
        greedy = {g: rng.choice(levels) for g in group}
        shown = [s % 2 for s in range(n)]
        scores = [[[round(rng.gauss(0, 1), 5) for _ in range(4)] for _ in row] for row in rows["logp"]]
        coef, ce, pool = round(rng.uniform(0.1, 1), 2), round(rng.uniform(0.2, 2), 2), ["token", "max"][i % 2]
        logp, mask = padded(rows["logp"])
        logp.requires_grad_()
        score = [torch.tensor(x, requires_grad=True) for x in scores]
        sampled = reference = critic = 0.0
        for s in range(n):
            m = len(rows["logp"][s])
            if shown[s]:
                reference = reference - logp[s, :m].sum()
            elif outcome[s] is not None:
                rewards = torch.softmax(score[s].detach(), -1)[:, outcome[s]] * (reward[s] - greedy[group[s]])
                sampled = sampled - (logp[s, :m] * rewards).sum()
            if outcome[s] is not None:
                states = score[s] if pool == "token" else score[s].max(0)[0][None]
                critic = critic + torch.nn.functional.cross_entropy(states, torch.full((len(states),), outcome[s]), reduction="sum")
        tokens = [len(r) for r in rows["logp"]]
        of_critic = sum(t if pool == "token" else 1 for t, k in zip(tokens, outcome) if k is not None)
        loss = sampled / max(1, sum(t for t, d in zip(tokens, shown) if not d))
        loss = loss + ce * reference / sum(t for t, d in zip(tokens, shown) if d) + coef * critic / max(1, of_critic)
        loss.backward()
        zeros = lambda x: (torch.zeros_like(x) if x.grad is None else x.grad).tolist()  # noqa: E731
        grads = {"logp": ragged(torch.zeros_like(logp) if logp.grad is None else logp.grad, mask),
                 "outcome_score": [[[rounded(v) for v in t] for t in zeros(x)] for x in score]}  # fmt: skip
        settings = {"ce_coef": ce, "critic": {"coef": coef, "pool": pool}}
        c = case("coderl", settings, rows, (rounded(loss.item()), grads), reward, group)
        for s, row in enumerate(c["input"]["sequences"]):
            row |= {"demonstration": shown[s], "outcome": outcome[s], "outcome_score": scores[s], "greedy": greedy[group[s]]}
        cases.append(c)
    return cases


FILES = {"entropy": entropy_cases, "process": process_cases, "turns": turn_cases, "coderl": coderl_cases}

if __name__ == "__main__":
    main(FILES)
