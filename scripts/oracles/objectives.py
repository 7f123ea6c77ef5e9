"""Goldens of tests/objective: TRL's own trainer code on the tensors of formulas/README.md and on random batches.

  python scripts/oracles/objectives.py tests/objective/golden

The trainers are made without their constructor, and the one method that runs the model is replaced by one that hands
out the given log-probs; everything after it is TRL's. All in float64. A case is what temper-inspect takes and gives:
{"name", "set", "input", "loss", "grad"}.
"""

import json
import os
import random
import sys
from types import SimpleNamespace

import torch
from trl import GRPOTrainer
from trl.trainer.utils import nanstd

torch.set_default_dtype(torch.float64)

GOLDEN = {
    "logp": [[-0.5, -1.2, -0.3], [-2, -0.1], [-0.9], [-0.2, -1.1, -0.6]],
    "logp_old": [[-0.7, -1, -0.9], [-1.3, -0.6], [-0.6], [-0.5, -0.9, -1]],
    "logp_ref": [[-0.6, -1.1, -0.5], [-1.8, -0.3], [-1], [-0.4, -1, -0.8]],
}
GOLDEN_REWARD, GOLDEN_GROUP = [1.0, 0.0, 0.25, 0.75], [0, 0, 1, 1]


def rounded(x):
    return float(f"{x:.12g}")


def ragged(tensor, mask):
    return [[rounded(x) for x in row[m.bool()].tolist()] for row, m in zip(tensor, mask)]


def padded(rows):
    width = max(1, max(len(r) for r in rows))
    out = torch.zeros(len(rows), width)
    mask = torch.zeros(len(rows), width)
    for i, r in enumerate(rows):
        out[i, : len(r)] = torch.tensor(r, dtype=torch.float64)
        mask[i, : len(r)] = 1
    return out, mask


def advantages(reward, group, scale):
    """The lines of GRPOTrainer._generate_and_score_completions, for groups of any size."""
    reward, group = torch.tensor(reward), torch.tensor(group)
    out = torch.zeros_like(reward)
    for g in group.unique():
        rows = group == g
        r = reward[rows]
        a = r - torch.nanmean(r)
        if scale == "group":
            a = a / ((nanstd(r) if len(r) > 1 else torch.zeros(())) + 1e-4)
        elif scale == "batch":
            a = a / (nanstd(reward) + 1e-4)
        out[rows] = a
    return torch.nan_to_num(out, nan=0.0)


def grpo_loss(rows, advantage, **o):
    """GRPOTrainer._compute_loss on given log-probs. Returns the loss and d loss / d logp."""
    logp, mask = padded(rows["logp"])
    logp.requires_grad_()
    options = {
        "loss_type": "grpo", "epsilon": 0.2, "epsilon_high": None, "delta": None, "beta": 0.0, "max_length": 1,
        "level": "token", "kl_weight": False, "sapo_pos": 1.0, "sapo_neg": 1.05, "correction": None,
        "vespo": (2.0, 3.0, 3.0, 2.0), **o,
    }  # fmt: skip
    t = GRPOTrainer.__new__(GRPOTrainer)
    t.model = SimpleNamespace(training=True)
    t._metrics = {"train": __import__("collections").defaultdict(list)}
    t.accelerator = SimpleNamespace(
        num_processes=1, reduce=lambda x, reduction: x, gather=lambda x: x, gather_for_metrics=lambda x: x
    )
    t.current_gradient_accumulation_steps = 1
    t.loss_type = options["loss_type"]
    t.epsilon_low = options["epsilon"]
    t.epsilon_high = options["epsilon"] if options["epsilon_high"] is None else options["epsilon_high"]
    t.beta = options["beta"]
    t.importance_sampling_level = options["level"]
    t.max_completion_length = options["max_length"]
    t.off_policy_mask_threshold = None
    t.top_entropy_quantile = 1.0
    t._entropy_bonus_enabled = t.aux_loss_enabled = t.use_adaptive_entropy = False
    t.use_vllm = t.vllm_importance_sampling_correction = options["correction"] is not None
    t.args = SimpleNamespace(
        delta=options["delta"],
        use_bias_correction_kl=options["kl_weight"],
        steps_per_generation=1,
        sapo_temperature_pos=options["sapo_pos"],
        sapo_temperature_neg=options["sapo_neg"],
        **dict(zip(("vespo_k_pos", "vespo_lambda_pos", "vespo_k_neg", "vespo_lambda_neg"), options["vespo"])),
    )
    t._get_per_token_logps_and_entropies = lambda *a, **k: (logp, torch.zeros_like(logp).detach(), None)
    inputs = {
        "prompt_ids": torch.zeros(len(logp), 1, dtype=torch.long),
        "prompt_mask": torch.ones(len(logp), 1, dtype=torch.long),
        "completion_ids": torch.zeros(logp.shape, dtype=torch.long),
        "completion_mask": mask,
        "advantages": advantage,
        "old_per_token_logps": padded(rows["logp_old"])[0],
        "num_items_in_batch": mask.sum(),
    }
    if "logp_ref" in rows:
        inputs["ref_per_token_logps"] = padded(rows["logp_ref"])[0]
    if options["correction"] is not None:
        inputs["importance_sampling_ratio"] = correction(rows, mask, *options["correction"])
    loss = t._compute_loss(None, inputs)
    loss.backward()
    return rounded(loss.item()), ragged(logp.grad, mask)


def correction(rows, mask, mode, low, high):
    """The lines of GRPOTrainer._generate_and_score_completions that make the importance-sampling ratio."""
    difference = (padded(rows["logp_old"])[0] - padded(rows["logp_rollout"])[0]) * mask
    if mode.startswith("sequence"):
        difference = difference.sum(dim=-1, keepdim=True)
    ratio = torch.exp(difference)
    if mode.endswith("truncate"):
        return torch.clamp(ratio, min=low, max=high)
    return ratio.masked_fill((ratio < low) | (ratio > high), 0.0)


def case(name, settings, rows, loss_and_grad, reward=None, group=None, **extra):
    sequences = []
    for i in range(len(rows["logp"])):
        s = {key: rows[key][i] for key in rows}
        if reward is not None:
            s["reward"], s["group"] = reward[i], group[i]
            if s["reward"] != s["reward"]:
                s["reward"] = None
        sequences.append(s)
    loss, grad = loss_and_grad
    return {"name": name, "set": settings, "input": {"sequences": sequences, **extra}, "loss": loss, "grad": grad}


def random_rows(rng, arrays=("logp", "logp_old", "logp_ref"), spread=0.6, empty=True):
    lengths = [rng.randint(0 if empty and rng.random() < 0.1 else 1, 6) for _ in range(rng.choice([4, 6, 8]))]
    base = [[-abs(rng.gauss(1.0, 0.8)) - 0.02 for _ in range(n)] for n in lengths]
    return {a: [[round(x + rng.gauss(0, spread), 3) for x in row] for row in base] for a in arrays}


def random_rewards(rng, n, nulls=False):
    size = 2 if n % 4 else 4
    group = [i // size for i in range(n)]
    kind = rng.choice(["binary", "real"])
    reward = [float(rng.random() < 0.5) if kind == "binary" else round(rng.gauss(0, 1), 2) for _ in range(n)]
    if nulls and rng.random() < 0.3:
        reward[rng.randrange(n)] = float("nan")
    return reward, group


PRESETS = {
    "grpo": ("grpo", "group", {"epsilon": 0.2}),
    "dapo": ("dapo", "group", {"epsilon": 0.2, "epsilon_high": 0.28}),
    "dr_grpo": ("dr_grpo", "none", {"epsilon": 0.2}),
}


def ppo_clip_cases():
    cases = []
    group_zscore = advantages(GOLDEN_REWARD, GOLDEN_GROUP, "group")

    def golden(name, settings, **o):
        # formulas/policy.md gives every objective the group z-scores.
        settings = {"advantage": "group_zscore", **settings}
        value = grpo_loss(GOLDEN, group_zscore, **o)
        cases.append(case(name, settings, GOLDEN, value, GOLDEN_REWARD, GOLDEN_GROUP, max_length=4))

    for kl in ({}, {"kl_coef": 0.04}):
        beta = {"beta": kl.get("kl_coef", 0.0)}
        golden("grpo", kl, loss_type="grpo", **beta)
        golden("dapo", {"clip_high": 0.2, **kl}, loss_type="dapo", **beta)
        golden("dr_grpo", kl, loss_type="dr_grpo", max_length=4, **beta)
    golden("dapo", {}, loss_type="dapo", epsilon_high=0.28)
    golden("dapo", {"clip_high": 0.2, "ratio_cap": 1.5}, loss_type="dapo", delta=1.5)

    rng = random.Random(1)
    for i in range(60):
        name = ["grpo", "dapo", "dr_grpo"][i % 3]
        loss_type, scale, o = PRESETS[name]
        o, settings = dict(o), {}
        arrays = ["logp", "logp_old"]
        if rng.random() < 0.4:
            o["epsilon"] = settings["clip_low"] = round(rng.uniform(0.05, 0.5), 2)
            o["epsilon_high"] = settings["clip_high"] = round(rng.uniform(0.05, 0.9), 2)
        if rng.random() < 0.5:
            o["beta"] = settings["kl_coef"] = round(rng.uniform(0.01, 0.5), 2)
            arrays.append("logp_ref")
            if rng.random() < 0.3:
                o["kl_weight"] = settings["kl_importance_weight"] = True
        if rng.random() < 0.3:
            o["delta"] = settings["ratio_cap"] = round(rng.uniform(1.0, 2.5), 2)
        if rng.random() < 0.3:
            arrays.append("logp_rollout")
            level, kind = rng.choice(["token", "sequence"]), rng.choice(["truncate", "mask"])
            low, high = round(rng.uniform(0, 0.8), 2), round(rng.uniform(1.1, 3), 2)
            o["correction"] = (f"{level}_{kind}", low, high)
            settings |= {"correction": kind, "correction_level": level, "correction_low": low, "correction_high": high}
        if rng.random() < 0.3:
            scale = rng.choice(["group", "batch", "none"])
            settings["advantage"] = {"group": "group_zscore", "batch": "batch_zscore", "none": "group_center"}[scale]
        rows = random_rows(rng, arrays)
        reward, group = random_rewards(rng, len(rows["logp"]), nulls=True)
        longest = max(1, max(len(r) for r in rows["logp"])) + rng.randint(0, 3)
        value = grpo_loss(rows, advantages(reward, group, scale), loss_type=loss_type, max_length=longest, **o)
        cases.append(case(name, settings, rows, value, reward, group, max_length=longest))
    return cases


FILES = {"ppo_clip": ppo_clip_cases}


def main():
    folder = sys.argv[1]
    for name, make in FILES.items():
        if len(sys.argv) > 2 and name not in sys.argv[2:]:
            continue
        cases = make()
        with open(os.path.join(folder, name + ".json"), "w") as f:
            f.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
        print(name, len(cases), "cases")


if __name__ == "__main__":
    main()
