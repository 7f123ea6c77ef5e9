"""Goldens of tests/objective/golden/lists.json: BRIO, SAMI and OFS-DPO in float64, gradients by autograd.

  python scripts/oracles/list_objectives.py tests/objective/golden

BRIO's ranking loss is RankingLoss of github.com/yixinL7/BRIO without the gold term; SAMI's is the cross-entropies of
github.com/janphilippfranken/sami; OFS-DPO is a transliteration of formulas/preference.md.
"""

import json
import os
import random
import sys

sys.path.pop(0)  # this folder has files named like packages (tokenizers.py)

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

torch.set_default_dtype(torch.float64)


def brio_ranking(score, margin):
    """score [units, candidates], best first."""
    total = 0
    for i in range(1, score.size(1)):
        better = score[:, :-i].contiguous().view(-1)
        worse = score[:, i:].contiguous().view(-1)
        total = total + torch.nn.MarginRankingLoss(margin * i)(better, worse, torch.ones_like(better))
    return total


def sami_loss(logprobs):
    """logprobs [prompts, responses] of one unit."""
    labels = torch.arange(logprobs.size(0))
    return 0.5 * (F.cross_entropy(logprobs, labels) + F.cross_entropy(logprobs.t(), labels))


def rows_of(rng, count, keys=("logp",)):
    rows = []
    for _ in range(count):
        n = rng.randint(1, 6)
        rows.append({key: [round(-abs(rng.gauss(1.0, 0.8)) - 0.05, 3) for _ in range(n)] for key in keys})
    return rows


def leaves(rows, key):
    return [torch.tensor(row[key], requires_grad=True) for row in rows]


def grads(tensors):
    return [[float(f"{x:.12g}") for x in t.grad] for t in tensors]


def brio_case(rng, settings, units, candidates):
    rows = rows_of(rng, units * candidates)
    logp = leaves(rows, "logp")
    power, margin = settings.get("length_power", 2.0), settings.get("margin", 0.001)
    score = torch.stack([t.sum() / len(t) ** power for t in logp]).view(units, candidates)
    best = logp[::candidates]
    nll = -sum(t.sum() for t in best) / sum(len(t) for t in best)
    loss = settings.get("weight", 10.0) * brio_ranking(score, margin) + settings.get("sft_weight", 0.1) * nll
    loss.backward()
    for i, row in enumerate(rows):
        row["group"] = i // candidates
    return {"name": "brio", "set": settings, "input": {"sequences": rows}, "loss": loss.item(), "grad": {"logp": grads(logp)}}


def sami_case(rng, units, side):
    rows = rows_of(rng, units * side * side)
    logp = leaves(rows, "logp")
    mean = torch.stack([t.mean() for t in logp]).view(units, side, side)
    loss = sum(sami_loss(m) for m in mean) / units
    loss.backward()
    for i, row in enumerate(rows):
        row["group"] = i // (side * side)
    return {"name": "sami", "set": {}, "input": {"sequences": rows}, "loss": loss.item(), "grad": {"logp": grads(logp)}}


def ofs_case(rng, settings, pairs):
    rows = rows_of(rng, 2 * pairs, ("logp", "logp_ref", "logp_other"))
    fast, slow = leaves(rows, "logp"), leaves(rows, "logp_other")
    beta, alpha = settings.get("beta", 0.1), settings.get("alpha", 0.1)
    loss = 0
    for w in range(0, 2 * pairs, 2):
        h_fast, h_slow = (beta * (m[w].sum() - m[w + 1].sum()) for m in (fast, slow))
        h_ref = beta * (sum(rows[w]["logp_ref"]) - sum(rows[w + 1]["logp_ref"]))
        loss_fast = -F.logsigmoid(h_fast - h_ref) + alpha * -F.logsigmoid(h_fast - h_slow.detach())
        loss_slow = -F.logsigmoid(h_slow - h_ref) - alpha * -F.logsigmoid(h_fast.detach() - h_slow)
        loss = loss + (loss_fast + loss_slow) / pairs
    loss.backward()
    return {"name": "ofs_dpo", "set": settings, "input": {"pairs": [{"chosen": rows[i], "rejected": rows[i + 1]} for i in range(0, 2 * pairs, 2)]},
            "loss": loss.item(), "grad": {"logp": grads(fast), "logp_other": grads(slow)}}


def main():
    rng = random.Random(5)
    cases = [brio_case(rng, {}, 2, 4), sami_case(rng, 2, 2), ofs_case(rng, {}, 3)]
    for _ in range(8):
        settings = {"margin": round(rng.uniform(0, 0.3), 3), "length_power": round(rng.uniform(0.5, 2), 2)}
        cases.append(brio_case(rng, settings, rng.randint(1, 3), rng.randint(2, 5)))
        cases.append(sami_case(rng, rng.randint(1, 3), rng.randint(2, 3)))
        cases.append(ofs_case(rng, {"beta": round(rng.uniform(0.05, 1), 2), "alpha": round(rng.uniform(0, 1), 2)}, rng.randint(1, 4)))
    with open(os.path.join(sys.argv[1], "lists.json"), "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
    print(len(cases), "cases", [c["loss"] for c in cases[:3]])


if __name__ == "__main__":
    main()
