"""Goldens of tests/objective/golden/supervised.json: TRL's SFT losses, and float64 formulas for the rest.

Losses of records with rewards follow the objectives of tomekkorbak/pretraining-with-human-feedback, where a token's
score is minus the reward of its record.

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


def evaluate_columns(sequences, names, loss):
    """Like evaluate, for a loss of several arrays a sequence: {name: [tensor of each sequence]}."""
    columns = {n: [torch.tensor(s[n], requires_grad=True) for s in sequences] for n in names}
    value = loss(columns)
    value.backward()
    grad = {n: [[rounded(x) for x in t.grad.tolist()] for t in ts] for n, ts in columns.items()}
    return rounded(value.item()), grad


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


def smoothed(epsilon):
    """torch's cross entropy with label_smoothing, whose mean over the vocabulary is given here as a number."""

    def loss(columns):
        lp, mean = torch.cat(columns["logp"]), torch.cat(columns["mean_logp"])
        return (-(1 - epsilon) * lp - epsilon * mean).mean()

    return loss


def check_smoothing():
    """smoothed() against torch on whole rows of logits."""
    logits, target = torch.randn(7, 11), torch.randint(0, 11, (7,))
    logp = logits.log_softmax(-1)
    columns = {"logp": [logp.gather(1, target[:, None])[:, 0]], "mean_logp": [logp.mean(-1)]}
    expected = torch.nn.functional.cross_entropy(logits, target, label_smoothing=0.1)
    assert abs(smoothed(0.1)(columns) - expected) < 1e-12


def unlikelihood(rewards, threshold, alpha):
    def loss(tensors):
        log_likelihoods = torch.cat(tensors)
        scores = torch.cat([torch.full((len(t),), -r) for t, r in zip(tensors, rewards)])
        aligned = (scores <= -threshold).double()
        unlikelihoods = torch.clamp(1 - log_likelihoods.exp(), min=1e-20).log()
        return (-(aligned * log_likelihoods) - alpha * (1 - aligned) * unlikelihoods).mean()

    return loss


def rwr(rewards, beta, weight_max, subtract_max):
    """AWR without a value head and with alpha 1."""

    def loss(tensors):
        shift = max(rewards) if subtract_max else 0
        reward = torch.cat([torch.full((len(t),), r - shift) for t, r in zip(tensors, rewards)])
        weights = torch.clamp(torch.exp(reward / beta), min=0, max=weight_max)
        return (-torch.cat(tensors) * weights).mean()

    return loss


def phf_awr(rewards, alpha, beta, weight_max):
    def loss(columns):
        value = torch.cat(columns["value"])
        reward = torch.cat([torch.full((len(t),), r) for t, r in zip(columns["logp"], rewards)])
        advantage = reward - value.detach()
        weights = torch.clamp(torch.exp(advantage / beta), min=0, max=weight_max)
        weighted = (-torch.cat(columns["logp"]) * weights).mean()
        return alpha * weighted + (1 - alpha) * torch.nn.functional.mse_loss(reward, value)

    return loss


def mml(groups, beta, mml_weight, mle_weight, mle_norm):
    """get_mixed_mle_mml_loss of microsoft/TraceCodegen, whose second term is without beta here."""

    def loss(tensors):
        each = []
        for g in sorted(set(groups)):
            log_probs = torch.stack([t.sum() for t, h in zip(tensors, groups) if h == g])
            marginal = -torch.logsumexp(beta * log_probs, dim=0) / beta
            norm = 1 / len(log_probs) if mle_norm else 1
            each.append(mml_weight * marginal - mle_weight * norm * log_probs.sum())
        return torch.stack(each).mean()

    return loss


def emo(columns):
    """DRSY/EMO, its distance given as the expected cosine of token embeddings; emo.py checks the whole."""
    lp, cosine = torch.cat(columns["logp"]), torch.cat(columns["cosine"])
    distance = 1 - (cosine - lp.exp().detach())
    return (((-lp / (distance + 1e-10)).detach() * distance - lp) * 0.5).mean()


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
    check_smoothing()
    for _ in range(20):
        rows = [[round(-abs(rng.gauss(1, 1)) - 0.01, 3) for _ in range(rng.randint(1, 5))] for _ in range(rng.randint(1, 4))]
        sequences = [{"logp": r, "mean_logp": [round(-3 - abs(rng.gauss(0, 1)), 3) for _ in r]} for r in rows]
        epsilon = round(rng.uniform(0.01, 0.5), 3)
        value, grad = evaluate_columns(sequences, ["logp", "mean_logp"], smoothed(epsilon))
        case = {"name": "nll", "set": {"label_smoothing": epsilon}, "input": {"sequences": sequences}, "loss": value}
        cases.append({**case, "grad": grad})
        rewards = [round(rng.gauss(0, 1), 2) for _ in rows]

        def with_rewards(name, settings, loss):
            value, grad = evaluate(rows, loss)
            given = {"sequences": [{"logp": r, "reward": x} for r, x in zip(rows, rewards)]}
            cases.append({"name": name, "set": settings, "input": given, "loss": value, "grad": grad})

        threshold, alpha = rng.choice([rewards[0], round(rng.gauss(0, 1), 2)]), rng.choice([0.5, 1, 10])
        with_rewards("unlikelihood", {"threshold": threshold, "alpha": alpha}, unlikelihood(rewards, threshold, alpha))
        beta, most, subtract = rng.choice([0.1, 1, 10]), rng.choice([2.5, 1000]), rng.random() < 0.5
        settings = {"beta": beta, "weight_max": most, "subtract_max": subtract}
        with_rewards("rwr", settings, rwr(rewards, beta, most, subtract))

        settings = {"alpha": rng.choice([0.1, 0.5, 1]), "beta": beta, "weight_max": most}
        given = [{"logp": r, "value": [round(rng.gauss(0, 1), 2) for _ in r], "reward": x} for r, x in zip(rows, rewards)]
        value, grad = evaluate_columns(given, ["logp", "value"], phf_awr(rewards, **settings))
        case = {"name": "phf_awr", "set": settings, "input": {"sequences": given}, "loss": value}
        cases.append({**case, "grad": grad})

        given = [{"logp": r, "cosine": [round(rng.uniform(-0.3, 0.9), 3) for _ in r]} for r in rows]
        value, grad = evaluate_columns(given, ["logp", "cosine"], emo)
        cases.append({"name": "emo", "set": {}, "input": {"sequences": given}, "loss": value, "grad": grad})

        groups = [rng.randint(0, 2) for _ in rows]
        settings = {"beta": rng.choice([0.1, 0.5, 1]), "mml_weight": rng.choice([0.5, 1])}
        settings.update({"mle_weight": rng.choice([0, 0.3]), "mle_norm": rng.random() < 0.5})
        value, grad = evaluate(rows, mml(groups, **settings))
        given = {"sequences": [{"logp": r, "group": g} for r, g in zip(rows, groups)]}
        cases.append({"name": "mml", "set": settings, "input": given, "loss": value, "grad": grad})
    with open(os.path.join(sys.argv[1], "supervised.json"), "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
    print(len(cases), "cases", cases[0]["loss"], cases[1]["loss"])


if __name__ == "__main__":
    main()
