"""Goldens of tests/objective/golden: TRL's RewardTrainer and GKDTrainer, and float64 formulas for the rest.

  python scripts/oracles/reward_objectives.py tests/objective/golden
"""

import json
import os
import random
import sys
from collections import defaultdict
from types import SimpleNamespace

sys.path.pop(0)  # this folder has files named like packages (tokenizers.py)

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402
from trl import RewardTrainer  # noqa: E402
from trl.experimental.gkd import GKDTrainer  # noqa: E402

torch.set_default_dtype(torch.float64)


def rounded(x):
    return [rounded(y) for y in x] if isinstance(x, list) else float(f"{x:.12g}")


def evaluate(loss, leaf):
    loss.backward()
    return rounded(loss.item()), rounded(leaf.grad.tolist())


def trl_bt(scores, margin=None, center=None):
    """scores [P, 2]: chosen, rejected."""
    leaf = torch.tensor(scores, requires_grad=True)
    t = RewardTrainer.__new__(RewardTrainer)
    t.model = SimpleNamespace(training=True)
    t.args = SimpleNamespace(center_rewards_coefficient=center)
    same = lambda x: x  # noqa: E731
    t.accelerator = SimpleNamespace(gather=same, gather_for_metrics=same)
    t._metrics, t._total_train_tokens, t._tp_size = {"train": defaultdict(list)}, 0, 1
    inputs = {"attention_mask": torch.ones(1)}
    if margin is not None:
        inputs["margin"] = torch.tensor(margin)
    loss = t.compute_loss(lambda **_: SimpleNamespace(logits=leaf.T.reshape(-1, 1)), inputs)
    return evaluate(loss, leaf)


def write(folder, name, cases):
    with open(os.path.join(folder, name), "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
    print(name, len(cases), "cases")


def reward_cases(rng):
    cases = []
    for i in range(24):
        n = rng.randint(2, 6)
        scores = [[round(rng.gauss(0, 1.5), 3) for _ in range(2)] for _ in range(n)]
        strength = [float(rng.randint(1, 3)) for _ in range(n)]
        pairs = [{"chosen": {"score": w}, "rejected": {"score": l}} for w, l in scores]
        center = rng.choice([None, 0.01, 0.3])
        settings = {} if center is None else {"center": center}
        if i % 3 == 0:
            margin = strength if i % 6 == 0 else None
            for p, m in zip(pairs, margin or []):
                p["margin"] = m
            name, value = "bt", trl_bt(scores, margin, center)
        else:
            for p, m in zip(pairs, strength):
                p["strength"] = m
            if i % 3 == 1:
                name, value = "margin_bt", trl_bt(scores, strength, center)
            else:
                leaf = torch.tensor(scores, requires_grad=True)
                loss = -(torch.tensor(strength) * F.logsigmoid(leaf[:, 0] - leaf[:, 1])).mean()
                if center is not None:
                    loss = loss + center * ((leaf.sum(1)) ** 2).mean()
                name, value = "scaled_bt", evaluate(loss, leaf)
        grad = [x for pair in value[1] for x in pair]
        cases.append({"name": name, "set": settings, "input": {"pairs": pairs}, "loss": value[0], "grad": {"score": grad}})
    for _ in range(8):
        rows = [{"score": round(rng.gauss(0, 1), 3), "group": g, "label": rng.random() < 0.5} for g in range(3) for _ in range(6)]
        leaf = torch.tensor([r["score"] for r in rows], requires_grad=True)
        losses = []
        for g in range(3):
            right = [i for i, r in enumerate(rows) if r["group"] == g and r["label"]]
            wrong = [i for i, r in enumerate(rows) if r["group"] == g and not r["label"]]
            if right and wrong:
                total = sum(F.logsigmoid(leaf[i] - leaf[j]) for i in right for j in wrong)
                losses.append(-total / (len(right) * len(wrong)))
        value = evaluate(sum(losses) / len(losses), leaf)
        cases.append({"name": "listwise", "set": {}, "input": {"sequences": rows}, "loss": value[0], "grad": {"score": value[1]}})
    for _ in range(8):
        rows = [{"score": [round(rng.gauss(2, 1), 3) for _ in range(4)],
                 "target": [None if rng.random() < 0.3 else float(rng.randint(0, 4)) for _ in range(4)]} for _ in range(5)]  # fmt: skip
        leaf = torch.tensor([r["score"] for r in rows], requires_grad=True)
        target = torch.tensor([[-100.0 if x is None else x for x in r["target"]] for r in rows])  # NeMo-Aligner's mask value
        mask = target != -100.0
        value = evaluate(((leaf - target)[mask] ** 2).sum() / mask.sum(), leaf)
        cases.append({"name": "regression", "set": {}, "input": {"sequences": rows}, "loss": value[0], "grad": {"score": value[1]}})
    for _ in range(8):
        lengths = [rng.randint(1, 5) for _ in range(4)]
        rows = [{"score": [round(rng.gauss(0, 2), 3) for _ in range(n)],
                 "label": [rng.choice([0, 1, None]) if i else 1 for i in range(n)]} for n in lengths]  # fmt: skip
        flat = [(x, y) for r in rows for x, y in zip(r["score"], r["label"])]
        leaf = torch.tensor([x for x, _ in flat], requires_grad=True)
        keep = torch.tensor([y is not None for _, y in flat])
        label = torch.tensor([float(y or 0) for _, y in flat])
        value = evaluate(F.binary_cross_entropy_with_logits(leaf[keep], label[keep]), leaf)
        grad, at = [], 0
        for n in lengths:
            grad.append(value[1][at : at + n])
            at += n
        cases.append({"name": "process", "set": {}, "input": {"sequences": rows}, "loss": value[0], "grad": {"score": grad}})
    return cases


def distill_cases(rng):
    cases = []

    def add(name, settings, student, teacher, loss, target=None):
        rows = [{"student": student, "teacher": teacher}]
        if target is not None:
            rows[0]["target"] = target
        leaf = torch.tensor(student, requires_grad=True)
        value = evaluate(loss(leaf, torch.tensor(teacher)), leaf)
        cases.append({"name": name, "set": settings, "input": {"sequences": rows}, "loss": value[0], "grad": {"student": [value[1]]}})

    def gkd(beta, temperature):
        count = lambda s: s.shape[0]  # noqa: E731
        return lambda s, t: GKDTrainer.generalized_jsd_loss(
            s[None], t[None], beta=beta, temperature=temperature, num_items_in_batch=count(s)
        )

    log = lambda p: [[rounded(x) for x in torch.tensor(p).log().tolist()]]  # noqa: E731
    for beta in (0.0, 0.1, 0.5, 1.0):
        name = {0.0: "forward_kl", 1.0: "reverse_kl"}.get(beta, "gjsd")
        settings = {} if name != "gjsd" else {"beta": beta}
        add(name, settings, log([0.1, 0.9]), log([0.9, 0.1]), gkd(beta, 1.0))
    for i in range(16):
        rows, v = rng.randint(1, 4), rng.randint(2, 6)
        draw = lambda: [[round(rng.gauss(0, 2), 3) for _ in range(v)] for _ in range(rows)]  # noqa: E731
        beta, temperature = round(rng.choice([0.0, 1.0, rng.uniform(0.05, 0.95)]), 2), round(rng.uniform(0.5, 3), 2)
        if i % 4:
            add("gjsd", {"beta": beta, "temperature": temperature}, draw(), draw(), gkd(beta, temperature))
            continue
        # BabyLlama's DistillationTrainer: alpha CE + (1 - alpha) T^2 KL.
        target = [rng.randrange(v) for _ in range(rows)]

        def babyllama(s, t, alpha=0.5, T=2.0):
            kl = F.kl_div(F.log_softmax(s / T, -1), F.softmax(t / T, -1), reduction="batchmean")
            return alpha * F.cross_entropy(s, torch.tensor(target)) + (1 - alpha) * T**2 * kl

        add("kd", {}, draw(), draw(), babyllama, target)
    for c in cases[:4]:
        print(c["name"], c["set"], c["loss"])
    return cases


def main():
    rng = random.Random(6)
    write(sys.argv[1], "reward.json", reward_cases(rng))
    write(sys.argv[1], "distill.json", distill_cases(rng))


if __name__ == "__main__":
    main()
