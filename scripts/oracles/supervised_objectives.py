"""Goldens of tests/objective/golden/supervised.json: TRL's SFT losses, and float64 formulas for the rest.

  python scripts/oracles/supervised_objectives.py tests/objective/golden
"""

import json
import os
import random
import sys
from collections import defaultdict
from types import SimpleNamespace

sys.path.pop(0)  # this folder has files named like packages (tokenizers.py)

import torch  # noqa: E402
from trl import SFTTrainer  # noqa: E402

torch.set_default_dtype(torch.float64)


def rounded(x):
    return float(f"{x:.12g}")


def evaluate(rows, loss):
    tensors = [torch.tensor(r, requires_grad=True) for r in rows]
    value = loss(tensors)
    value.backward()
    return rounded(value.item()), [[rounded(x) for x in t.grad.tolist()] for t in tensors]


def trl(loss_type):
    """SFTTrainer.compute_loss, its model handing out the given log-probs."""

    def loss(tensors):
        lp = torch.cat(tensors)[None]
        ones = torch.ones_like(lp).detach()
        outputs = SimpleNamespace(log_probs=lp, label_mask=ones, entropy=ones, is_top1=ones)
        t = SFTTrainer.__new__(SFTTrainer)
        t.model, t.aux_loss_enabled, t.compute_loss_func, t.label_smoother = SimpleNamespace(training=True), False, None, None
        t.accelerator = SimpleNamespace(parallelism_config=None, gather_for_metrics=lambda x: x, num_processes=1)
        t.args = SimpleNamespace(loss_type=loss_type, average_tokens_across_devices=False)
        t._metrics, t._total_train_tokens, t._tp_size = {"train": defaultdict(list)}, 0, 1
        inputs = {"labels": torch.zeros_like(lp, dtype=torch.long), "attention_mask": ones}
        return t.compute_loss(lambda **_: outputs, inputs)

    return loss


def tokens(f):
    return lambda tensors: torch.cat([f(t) for t in tensors]).mean()


def dco(n):
    def loss(tensors):
        total = sum(-torch.log(1 - (1 - torch.exp(t.sum())) ** n) for t in tensors)
        return total / sum(len(t) for t in tensors)

    return loss


def main():
    rng = random.Random(5)
    cases = []

    def add(name, settings, rows, loss):
        value, grad = evaluate(rows, loss)
        given = {"sequences": [{"logp": r} for r in rows]}
        cases.append({"name": name, "set": settings, "input": given, "loss": value, "grad": grad})

    add("nll", {}, [[-0.5, -1.2]], trl("nll"))
    add("dft", {}, [[-0.5, -1.2]], trl("dft"))
    for _ in range(20):
        rows = [[round(-abs(rng.gauss(1, 1)) - 0.01, 3) for _ in range(rng.randint(1, 5))] for _ in range(rng.randint(1, 4))]
        add("nll", {}, rows, trl("nll"))
        add("dft", {}, rows, trl("dft"))
        tau = round(rng.uniform(0, 2), 2)
        add("comp_sum", {"tau": tau}, rows, tokens(lambda t: (1 - t.exp() ** (tau - 1)) / (tau - 1)))
        n = rng.choice([1, 2, 8, 64])
        add("dco", {"n": n}, rows, dco(n))
    with open(os.path.join(sys.argv[1], "supervised.json"), "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
    print(len(cases), "cases", cases[0]["loss"], cases[1]["loss"])


if __name__ == "__main__":
    main()
