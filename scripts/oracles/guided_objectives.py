"""Goldens of tests/objective for objectives that read more than log-probs and rewards: transliterations with autograd.

  python scripts/oracles/guided_objectives.py tests/objective/golden
"""

import math
import random

from objectives import advantages, autograd, case, main, padded, random_rewards, random_rows, rounded  # before torch, see there

import torch


def guided_cases():
    rng, entropies = random.Random(7), random.Random(8)
    cases = []

    def add(name, settings, rows, value, extra, tables=(), grads=None, **beside):
        c = case(name, settings, rows, value, **beside)
        for i, s in enumerate(c["input"]["sequences"]):
            s.update({k: v[i] for k, v in extra.items()})
        for key, values in tables:
            for s, v in zip(c["input"]["sequences"], values):
                s[key] = v
        if grads is not None:
            c["grad"] = {"logp": c["grad"], **grads}
        cases.append(c)

    for _ in range(8):
        rows = random_rows(rng, ("logp", "logp_old", "logp_ref"), empty=False)
        n = len(rows["logp"])
        reward, group = random_rewards(rng, n)
        center, both = advantages(reward, group, "none"), {"reward": reward, "group": group}
        mask = padded(rows["logp"])[1]

        demo = [int(rng.random() < 0.4) for _ in range(n)]
        shaping, longest = round(rng.uniform(0.05, 0.3), 2), 8

        def luffy(lp, old, ref, m):
            shown = torch.tensor(demo)[:, None] == 1
            p = lp.exp()
            value = torch.where(shown, p / (p + shaping), torch.exp(lp - old)) * center[:, None]
            return -(value * m).sum() / (n * longest)

        # The bonus: .001 times the mean entropy of all tokens, as verl had it when LUFFY was forked from it.
        entropy = [[round(abs(entropies.gauss(0.5, 0.5)), 3) for _ in r] for r in rows["logp"]]
        loss, gradient = autograd(rows, luffy)
        given = padded(entropy)[0].requires_grad_()
        bonus = -0.001 * (given * mask).sum() / mask.sum()
        bonus.backward()
        with_bonus = (rounded(loss + bonus.item()), gradient)
        grads = {"entropy": [[rounded(x) for x in g[: len(r)]] for g, r in zip(given.grad.tolist(), entropy)]}
        add("luffy", {"shaping": shaping, "max_length": longest}, rows, with_bonus, {**both, "demonstration": demo}, [("entropy", entropy)], grads)

        opening = [int(rng.random() < 0.5) for _ in range(n)]
        base = [round(rng.random(), 2) for _ in range(n)]
        bonus = round(rng.uniform(0.01, 0.3), 2)

        def adaptthink(lp, old, ref, m):
            old = old.clone()
            old[:, 0] = math.log(0.5)
            s = torch.exp(((lp - old) * m).sum(1) / m.sum(1))
            a = torch.tensor(reward) - torch.tensor(base) + bonus * torch.tensor(opening)
            return -torch.min(s * a, s.clamp(0.8, 1.2) * a).mean()

        add("adaptthink", {"bonus": bonus}, rows, autograd(rows, adaptthink), {**both, "opening": opening, "reference_reward": base})

        tau = round(rng.uniform(0.3, 2), 2)

        def brain(lp, old, ref, m):
            l = (lp * m).sum(1)
            lo, lr, r = (old * m).sum(1), (ref * m).sum(1), torch.tensor(reward)
            total = 0.0
            for g in set(group):
                k = torch.tensor(group) == g
                alpha = torch.softmax((lr + r / tau - lo)[k], 0)
                log_b = torch.log_softmax((l - lo)[k], 0)
                total = total - (alpha.detach() * log_b).sum()
            return total / len(set(group))

        # Temper's value is the surrogate's, so only its gradient is the formula's.
        gradient = autograd(rows, brain)[1]

        def brain_surrogate(lp, old, ref, m):
            l = (lp * m).sum(1)
            lo, lr, r = (old * m).sum(1), (ref * m).sum(1), torch.tensor(reward)
            total = 0.0
            for g in set(group):
                k = torch.tensor(group) == g
                w = torch.softmax((lr + r / tau - lo)[k], 0) - torch.softmax((l - lo)[k], 0)
                total = total - (w.detach() * l[k]).sum()
            return total / len(set(group))

        add("brain", {"tau": tau}, rows, (autograd(rows, brain_surrogate)[0], gradient), both)

        scores = [[round(rng.gauss(0, 2), 2) for _ in r] for r in rows["logp"]]
        loo = torch.tensor([reward[i] - sum(reward[j] for j in range(n) if group[j] == group[i] and j != i) / (group.count(group[i]) - 1) for i in range(n)])
        scored = rng.random() < 0.7

        def oreal(lp, old, ref, m):
            s = padded(scores)[0]
            p = torch.sigmoid(torch.cumsum(s, 1) / torch.arange(1, s.shape[1] + 1))
            wp, wn = ((2 * p - 1).clamp(min=0), (1 - 2 * p).clamp(min=0)) if scored else (torch.ones_like(p),) * 2
            a = loo[:, None]
            pos, neg = (a > 0) * m, (a < 0) * m
            k3 = torch.exp(ref - lp) - (ref - lp) - 1
            loss = (-lp * a * wp * pos).sum() / pos.sum().clamp(min=1)
            loss = loss + 0.5 * (-a * wn * torch.exp(lp - lp.detach()) * neg).sum() / neg.sum().clamp(min=1)
            return loss + 0.01 * (k3 * m).sum() / m.sum()

        add("oreal", {"token_scores": scored}, rows, autograd(rows, oreal), both, [("token_score", scores)])

        z = advantages(reward, group, "group")
        entropy = [[round(abs(rng.gauss(0.5, 0.5)), 3) for _ in r] for r in rows["logp"]]
        token = [[rng.randrange(4) for _ in r] for r in rows["logp"]]
        top = [[sorted((round(-abs(rng.gauss(1, 1)) - 0.01, 3) for _ in range(3)), reverse=True) for _ in r] for r in rows["logp"]]
        top_token = [[rng.sample(range(4), 3) for _ in r] for r in rows["logp"]]
        width = mask.shape[1]
        tops = torch.zeros(n, width, 3)
        for i, r in enumerate(top):
            tops[i, : len(r)] = torch.tensor(r)
        tops.requires_grad_()

        def simko(lp, old, ref, m):
            r, a = torch.exp(lp - old), z[:, None].expand_as(lp).clone()
            gate = torch.zeros_like(m, dtype=torch.bool)
            best = torch.zeros_like(gate)
            for i, e in enumerate(entropy):
                tau = torch.quantile(torch.tensor(e), 0.8)
                for t in range(len(e)):
                    gate[i, t] = e[t] > tau
                    best[i, t] = token[i][t] == top_token[i][t][0]
            mixed = 0.99 * r + 0.01 / 3 * (r.detach()[..., None] * torch.exp(tops - tops.detach())).sum(-1)
            r = torch.where(gate & (a > 0), mixed, r)
            a = torch.where(gate & (a < 0) & best, 1.1 * a, a)
            return -(torch.min(r * a, r.clamp(0.8, 1.2) * a) * m).sum() / m.sum()

        value = autograd(rows, simko)
        grad_top = [[[rounded(x) for x in t] for t in g[: len(r)]] for g, r in zip(tops.grad.tolist(), top)]
        tables = [("entropy", entropy), ("token", token), ("top_logp", top), ("top_token", top_token)]
        add("simko", {}, rows, value, both, tables, {"top_logp": grad_top})
    return cases


if __name__ == "__main__":
    main({"guided": guided_cases})
