"""Goldens of tests/objective/golden/preference.json: TRL's DPO, KTO, CPO and ORPO trainers on given log-probs.

  python scripts/oracles/preference_objectives.py tests/objective/golden

As in objectives.py the trainers are made without their constructor and their models hand out the given numbers; all in
float64. Only the alpha divergence, which TRL computes in float32, and
DPO with label smoothing, which TRL's sigmoid loss does not have, are transliterations.
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
from trl import DPOTrainer, KTOTrainer  # noqa: E402
from trl.experimental.cpo import CPOTrainer  # noqa: E402
from trl.experimental.orpo import ORPOTrainer  # noqa: E402

torch.set_default_dtype(torch.float64)

ACCELERATOR = SimpleNamespace(
    device="cpu", gather=lambda x: x, gather_for_metrics=lambda x: x, unwrap_model=lambda x: x
)


def rounded(x):
    return float(f"{x:.12g}")


def padded(rows):
    width = max(1, max(len(r) for r in rows))
    out, mask = torch.zeros(len(rows), width), torch.zeros(len(rows), width, dtype=torch.long)
    for i, r in enumerate(rows):
        out[i, : len(r)] = torch.tensor(r, dtype=torch.float64)
        mask[i, : len(r)] = 1
    return out, mask


class FakeModel(torch.nn.Module):
    """Stands for policy or reference: hands out log-probs and what TRL logs beside them."""

    is_gradient_checkpointing = False

    def __init__(self, log_probs, log_sum_sq=None):
        super().__init__()
        self.log_probs, self.log_sum_sq = log_probs, log_sum_sq

    def forward(self, **_):
        zeros = torch.zeros_like(self.log_probs)
        return SimpleNamespace(
            log_probs=self.log_probs,
            log_sum_sq_probs=self.log_sum_sq,
            entropy=zeros.detach(),
            mean_logits=zeros.detach(),
            is_top1=zeros.detach().bool(),
        )


def blank(trainer, policy, ref):
    t = trainer.__new__(trainer)
    t.model, t.ref_model, t.accelerator = policy, ref, ACCELERATOR
    t.aux_loss_enabled = t.precompute_ref_logps = False
    t._metrics, t._total_train_tokens, t._tp_size = {"train": defaultdict(list)}, 0, 1
    return t


def dpo(pairs, losses, weights=None, beta=0.1, smoothing=0.0, divergence="reverse_kl", ld=None, wpo=False):
    """Rows of `pairs`: chosen and rejected in turn. Returns loss and gradient rows in that order."""
    order = list(range(0, len(pairs), 2)) + list(range(1, len(pairs), 2))  # TRL: chosen first, then rejected
    logp, mask = padded([pairs[i]["logp"] for i in order])
    logp.requires_grad_()
    squares = padded([pairs[i]["log_sum_squares"] for i in order])[0] if wpo else None
    policy = FakeModel(logp, squares)
    t = blank(DPOTrainer, policy, FakeModel(padded([pairs[i]["logp_ref"] for i in order])[0]))
    t.loss_types, t.loss_weights = losses, weights or [1.0] * len(losses)
    t.beta, t.label_smoothing, t.ld_alpha, t.use_weighting = beta, smoothing, ld, wpo
    t.f_divergence_type, t.f_alpha_divergence_coef = divergence, 0.5
    t.args = SimpleNamespace(discopop_tau=0.05, gradient_checkpointing_kwargs=None)
    prompt = torch.zeros(len(pairs), 1, dtype=torch.long)
    full = torch.cat([prompt, mask], 1)
    inputs = {"input_ids": torch.zeros_like(full), "attention_mask": torch.ones_like(full), "completion_mask": full}
    loss = t._compute_loss(policy, inputs, False)
    loss.backward()
    grad = [None] * len(pairs)
    for row, i in enumerate(order):
        grad[i] = [rounded(x) for x in logp.grad[row][mask[row].bool()].tolist()]
    return rounded(loss.item()), grad


def kto(rows, loss_type, beta, weights):
    logp, mask = padded([r["logp"] for r in rows])
    logp.requires_grad_()
    policy, ref = FakeModel(logp), FakeModel(padded([r["logp_ref"] for r in rows])[0])
    t = blank(KTOTrainer, policy, ref)
    t.loss_type, t.beta, (t.desirable_weight, t.undesirable_weight) = loss_type, beta, weights
    t.calculate_KL = loss_type == "kto"
    t.args = SimpleNamespace(gradient_checkpointing_kwargs=None)
    mismatch = torch.tensor([r["mismatch"] for r in rows])
    t._compute_kl_logps = lambda model, batch: mismatch if model is policy else torch.zeros_like(mismatch)
    full = torch.cat([torch.zeros(len(rows), 1, dtype=torch.long), mask], 1)
    inputs = {
        "input_ids": torch.zeros_like(full), "attention_mask": torch.ones_like(full), "completion_mask": full,
        "label": torch.tensor([r["label"] for r in rows]),
    }  # fmt: skip
    loss = t._compute_loss(policy, inputs, False)
    loss.backward()
    return rounded(loss.item()), [[rounded(x) for x in g[m.bool()].tolist()] for g, m in zip(logp.grad, mask)]


def formula(pairs, f):
    """f(chosen sum, rejected sum, chosen ref, rejected ref, |w|, |l|, token-mean NLL of the chosen) -> scalar."""
    logp, mask = padded([p["logp"] for p in pairs])
    ref = padded([p["logp_ref"] for p in pairs])[0].sum(1)
    logp.requires_grad_()
    total, length = (logp * mask).sum(1), mask.sum(1)
    nll = -(logp * mask)[0::2].sum() / mask[0::2].sum()
    loss = f(total[0::2], total[1::2], ref[0::2], ref[1::2], length[0::2], length[1::2], nll)
    loss.backward()
    return rounded(loss.item()), [[rounded(x) for x in g[m.bool()].tolist()] for g, m in zip(logp.grad, mask)]


def cpo(pairs, loss_type, beta, smoothing, gamma=0.5, nll_weight=0.0):
    t = CPOTrainer.__new__(CPOTrainer)
    t.accelerator, t.alpha, t.beta, t.label_smoothing = ACCELERATOR, 0.0, beta, smoothing
    t.loss_type, t.simpo_gamma = loss_type, gamma

    def f(w, l, rw, rl, nw, nl, nll):
        if loss_type == "simpo":
            w, l = w / nw, l / nl
        return t.cpo_loss(w, l)[0].mean() + nll_weight * nll

    return formula(pairs, f)


def orpo(pairs, beta, nll_weight=1.0):
    t = ORPOTrainer.__new__(ORPOTrainer)
    t.accelerator, t.beta = ACCELERATOR, beta

    def f(w, l, rw, rl, nw, nl, nll):
        to_float, torch.Tensor.float = torch.Tensor.float, lambda self: self  # TRL goes to float32 here
        try:
            losses = t.odds_ratio_loss(w / nw, l / nl)[0]
        finally:
            torch.Tensor.float = to_float
        return nll_weight * nll - losses.mean()

    return formula(pairs, f)


def random_pairs(rng, spread=0.5):
    rows = []
    for _ in range(2 * rng.choice([2, 3, 4])):
        n = rng.randint(1, 6)
        base = [-abs(rng.gauss(1.0, 0.8)) - 0.05 for _ in range(n)]
        noisy = lambda: [round(x + rng.gauss(0, spread), 3) for x in base]  # noqa: E731
        rows.append({"logp": [min(x, -0.001) for x in noisy()], "logp_ref": noisy()})
        rows[-1]["log_sum_squares"] = [round(-abs(rng.gauss(0.5, 0.5)), 3) for _ in range(n)]
    return rows


def split(total, length):
    """Tokens whose sum is `total`."""
    part = round(total / length, 6)
    return [part] * (length - 1) + [round(total - part * (length - 1), 6)]


def golden_pairs():
    logp_w, logp_l, ref_w, ref_l = [-10, -20, -7.5], [-12, -18, -9], [-11, -19.5, -9], [-10.5, -19, -8.2]
    rows = []
    for i, (nw, nl) in enumerate(zip([5, 8, 3], [6, 4, 7])):
        rows.append({"logp": split(logp_w[i], nw), "logp_ref": split(ref_w[i], nw), "log_sum_squares": [-0.5] * nw})
        rows.append({"logp": split(logp_l[i], nl), "logp_ref": split(ref_l[i], nl), "log_sum_squares": [-0.4] * nl})
    return rows


def case(name, settings, rows, value, keys=("logp", "logp_ref"), pairs=True):
    chosen = [{k: r[k] for k in keys} for r in rows]
    if pairs:
        given = {"pairs": [{"chosen": chosen[i], "rejected": chosen[i + 1]} for i in range(0, len(rows), 2)]}
    else:
        given = {"sequences": chosen}
    return {"name": name, "set": settings, "input": given, "loss": value[0], "grad": value[1]}


TRL_LOSSES = {  # our name: (TRL's, takes a divergence, default smoothing)
    "dpo": ("sigmoid", True, 0.0), "robust": ("robust", True, 0.1), "hinge": ("hinge", True, 0.0),
    "ipo": ("ipo", True, 0.0), "exo_pair": ("exo_pair", True, 1e-3), "discopop": ("discopop", True, 0.0),
    "sigmoid_norm": ("sigmoid_norm", True, 0.0), "nca_pair": ("nca_pair", False, 0.0),
    "bco_pair": ("bco_pair", False, 0.0), "sppo_hard": ("sppo_hard", False, 0.0), "aot": ("aot", False, 0.0),
    "aot_unpaired": ("aot_unpaired", False, 0.0), "apo_zero": ("apo_zero", False, 0.0),
    "apo_down": ("apo_down", False, 0.0),
}  # fmt: skip
DIVERGENCES = {"reverse_kl": "reverse_kl", "forward_kl": "forward_kl", "js": "js_divergence"}
WPO_KEYS = ("logp", "logp_ref", "log_sum_squares")


def main():
    cases = []
    rows = golden_pairs()
    for name, (theirs, _, smoothing) in TRL_LOSSES.items():
        cases.append(case(name, {}, rows, dpo(rows, [theirs], smoothing=smoothing)))
    for ours, theirs in list(DIVERGENCES.items())[1:]:
        cases.append(case("dpo", {"divergence": ours}, rows, dpo(rows, ["sigmoid"], divergence=theirs)))
    alpha = lambda x, a: (torch.exp((a - 1) * x) - 1) / (a - 1)  # noqa: E731
    f = lambda a: lambda w, l, rw, rl, nw, nl, nll: -F.logsigmoid(0.1 * (alpha(w - rw, a) - alpha(l - rl, a))).mean()  # noqa: E731
    cases.append(case("dpo", {"divergence": "alpha"}, rows, formula(rows, f(0.5))))
    cases.append(case("simpo", {}, rows, cpo(rows, "simpo", 2.0, 0.0)))
    cases.append(case("cpo", {"sft_weight": 0.0}, rows, cpo(rows, "sigmoid", 0.1, 0.0)))
    cases.append(case("orpo", {"sft_weight": 0.0}, rows, orpo(rows, 0.1, 0.0)))
    mpo = dpo(rows, ["sigmoid", "bco_pair", "sft"], [0.8, 0.2, 1.0])
    cases.append(case("mpo", {}, rows, mpo))

    rng = random.Random(4)
    for i in range(60):
        name = list(TRL_LOSSES)[i % len(TRL_LOSSES)]
        theirs, diverges, smoothing = TRL_LOSSES[name]
        rows, beta = random_pairs(rng), round(rng.uniform(0.05, 1.0), 2)
        settings, o = {"beta": beta}, {"beta": beta}
        if name in ("robust", "exo_pair", "aot", "aot_unpaired"):
            smoothing = settings["label_smoothing"] = round(rng.uniform(0.01, 0.4), 2)
        if diverges:
            ours = rng.choice(list(DIVERGENCES))
            settings["divergence"], o["divergence"] = ours, DIVERGENCES[ours]
        if rng.random() < 0.3:
            settings["ld_alpha"] = o["ld"] = round(rng.uniform(0, 1), 2)
        # TRL refuses wpo with aot, and fails in backward with hinge (it multiplies relu's output in place).
        if name not in ("aot", "aot_unpaired", "hinge") and rng.random() < 0.3:
            settings["wpo"] = o["wpo"] = True
        elif rng.random() < 0.3:
            settings["sft_weight"] = weight = round(rng.uniform(0.1, 1), 2)
            value = dpo(rows, [theirs, "sft"], [1.0, weight], smoothing=smoothing, **o)
            cases.append(case(name, settings, rows, value))
            continue
        cases.append(case(name, settings, rows, dpo(rows, [theirs], smoothing=smoothing, **o), WPO_KEYS))
    for i in range(16):
        rows, beta, e = random_pairs(rng), round(rng.uniform(0.1, 2.0), 2), round(rng.uniform(0, 0.4), 2)
        if i % 4 == 0:
            g = round(rng.uniform(0, 1), 2)
            cases.append(case("simpo", {"beta": beta, "gamma": g, "label_smoothing": e}, rows, cpo(rows, "simpo", beta, e, g)))
        elif i % 4 == 1:
            cases.append(case("cpo", {"beta": beta, "label_smoothing": e}, rows, cpo(rows, "sigmoid", beta, e, nll_weight=1.0)))
        elif i % 4 == 2:
            cases.append(case("orpo", {"lambda": beta}, rows, orpo(rows, beta)))
        else:
            cdpo = lambda w, l, rw, rl, nw, nl, nll: (  # noqa: E731
                -(1 - e) * F.logsigmoid(beta * (w - rw - l + rl)) - e * F.logsigmoid(-beta * (w - rw - l + rl))
            ).mean()
            cases.append(case("dpo", {"beta": beta, "label_smoothing": e}, rows, formula(rows, cdpo)))
            a = round(rng.uniform(-1, 2), 2)
            s = {"divergence": "alpha", "divergence_alpha": a}
            cases.append(case("dpo", s, rows, formula(rows, f(a))))
    for i in range(16):
        rows = random_pairs(rng)
        for r in rows:
            r["label"], r["mismatch"] = rng.random() < 0.5, round(rng.gauss(0.5 if i % 3 else -0.5, 1), 3)
        beta, weights = round(rng.uniform(0.05, 1.0), 2), (round(rng.uniform(0.5, 2), 2), round(rng.uniform(0.5, 2), 2))
        s = {"beta": beta, "desirable_weight": weights[0], "undesirable_weight": weights[1]}
        name = "kto" if i % 2 else "apo_zero_unpaired"
        keys = ("logp", "logp_ref", "label", "mismatch")
        cases.append(case(name, s, rows, kto(rows, name, beta, weights), keys, pairs=False))
    with open(os.path.join(sys.argv[1], "preference.json"), "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
    print(len(cases), "cases")
    for c in cases[:22]:
        print(c["name"], c["set"], c["loss"])


if __name__ == "__main__":
    main()
