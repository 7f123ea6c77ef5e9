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

sys.path.pop(0)  # this folder has files named like packages (tokenizers.py)

import torch  # noqa: E402
from trl import GRPOTrainer, RLOOTrainer  # noqa: E402
from trl.experimental.gmpo import GMPOTrainer  # noqa: E402
from trl.trainer.utils import nanstd  # noqa: E402

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


def grpo_loss(rows, advantage, entropy_coef=0.0, **o):
    """GRPOTrainer._compute_loss on given log-probs. Returns the loss and d loss / d logp, and d loss / d entropy with a bonus."""
    logp, mask = padded(rows["logp"])
    logp.requires_grad_()
    entropy = padded(rows["entropy"])[0].requires_grad_() if entropy_coef else torch.zeros_like(logp).detach()
    options = {
        "loss_type": "grpo", "epsilon": 0.2, "epsilon_high": None, "delta": None, "beta": 0.0, "max_length": 1,
        "level": "token", "kl_weight": False, "sapo_pos": 1.0, "sapo_neg": 1.05, "correction": None,
        "vespo": (2.0, 3.0, 3.0, 2.0), "trainer": GRPOTrainer, **o,
    }  # fmt: skip
    trainer = options["trainer"]
    t = trainer.__new__(trainer)
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
    t.aux_loss_enabled = t.use_adaptive_entropy = False
    t.entropy_coef, t._entropy_bonus_enabled = entropy_coef, entropy_coef != 0
    t.accelerator.sync_gradients = False  # what it logs of the coefficient
    t.use_vllm = t.vllm_importance_sampling_correction = options["correction"] is not None
    t.args = SimpleNamespace(
        delta=options["delta"],
        use_bias_correction_kl=options["kl_weight"],
        steps_per_generation=1,
        sapo_temperature_pos=options["sapo_pos"],
        sapo_temperature_neg=options["sapo_neg"],
        **dict(zip(("vespo_k_pos", "vespo_lambda_pos", "vespo_k_neg", "vespo_lambda_neg"), options["vespo"])),
    )
    t._get_per_token_logps_and_entropies = lambda *a, **k: (logp, entropy, None)
    inputs = {
        "prompt_ids": torch.zeros(len(logp), 1, dtype=torch.long),
        "prompt_mask": torch.ones(len(logp), 1, dtype=torch.long),
        "completion_ids": torch.zeros(logp.shape, dtype=torch.long),
        "completion_mask": mask,
        "advantages": advantage,
        "old_per_token_logps": padded(rows["logp_old"])[0],
        "num_items_in_batch": mask.sum(),
        "old_logps": (padded(rows["logp_old"])[0] * mask).sum(1),
    }
    if "logp_ref" in rows:
        inputs["ref_per_token_logps"] = padded(rows["logp_ref"])[0]
    if options["correction"] is not None:
        inputs["importance_sampling_ratio"] = correction(rows, mask, *options["correction"])
    loss = t._compute_loss(None, inputs)
    loss.backward()
    if entropy_coef:
        return rounded(loss.item()), ragged(logp.grad, mask), ragged(entropy.grad, mask)
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


def autograd(rows, formula):
    """Loss and gradient of a formula of (lp, lp_old, lp_ref, mask), each [B, T]."""
    logp, mask = padded(rows["logp"])
    logp.requires_grad_()
    others = [padded(rows[k])[0] if k in rows else None for k in ("logp_old", "logp_ref")]
    loss = formula(logp, *others, mask)
    loss.backward()
    return rounded(loss.item()), ragged(logp.grad, mask)


def group_mean(x, group):
    group = torch.tensor(group)
    out = torch.zeros_like(x)
    for g in group.unique():
        rows = group == g
        out = torch.where(rows, x[rows].mean(), out)
    return out


def gmpo_formula(a, low, high, clip, length_norm):
    def formula(lp, old, _, m):
        d = (lp - old) * m
        s = torch.where(a >= 0, 1.0, -1.0)
        bound = torch.where(a >= 0, high, low)
        if clip == "token":  # the sign trick of the authors' code: min over s * d
            d = s[:, None] * torch.min(s[:, None] * d, bound[:, None].expand_as(d)) * m
        total = d.sum(1)
        if clip == "sequence":
            total = s * torch.min(s * total, bound)
        return (-a * torch.exp(total / m.sum(1) if length_norm else total)).mean()

    return formula


def cispo_formula(a, low, high, mask_range):
    def formula(lp, old, _, m):
        r = torch.exp(lp - old).detach()
        w = r.clamp(low, high)
        if mask_range is not None:
            drop = ((a[:, None] > 0) & (r > 1 + mask_range[1])) | ((a[:, None] < 0) & (r < 1 - mask_range[0]))
            w = w * ~drop
        return (-w * a[:, None] * lp * m).sum() / m.sum()

    return formula


def topr_formula(x, level, positive=(1.0, 1.0), negative=(0.0, 1.0), length_norm=False):
    def formula(lp, old, _, m):
        d = ((lp - old) * m).detach()
        log_rho = {"token": d, "sequence": d.sum(1, keepdim=True), "sequence_mean": d.sum(1, keepdim=True) / m.sum(1, keepdim=True)}
        rho = torch.exp(log_rho[level])
        w = torch.where(x[:, None] >= 0, rho.clamp(*positive), rho.clamp(*negative))
        loss = -(w * x[:, None] * lp * m).sum(1)
        return (loss / m.sum(1) if length_norm else loss).mean()

    return formula


def gvpo_formula(reward, group, beta, against):
    reward = torch.tensor(reward)

    def formula(lp, old, ref, m):
        l = beta * ((lp - (ref if against == "ref" else old)) * m).sum(1)
        e = (l - group_mean(l, group)) - (reward - group_mean(reward, group))  # gradient through the mean
        total = 0.0
        for g in set(group):
            rows = torch.tensor(group) == g
            total = total + (0.5 * e[rows] ** 2).sum() / (rows.sum() - 1)
        return total / len(set(group))

    return formula


def copg_formula(reward, group, beta, against):
    def formula(lp, old, ref, m):
        l = ((lp - (ref if against == "ref" else old)) * m).sum(1)
        total = 0.0
        for g in set(group):
            rows = [i for i in range(len(group)) if group[i] == g]
            for i in rows:
                for j in rows:
                    if i < j:
                        bi, bj = reward[i] - beta / 2 * l[i], reward[j] - beta / 2 * l[j]
                        total = total - ((bi - bj) * l[i] + (bj - bi) * l[j]) / (len(rows) - 1)
        return total / len(set(group))

    return formula


def policy_cases():
    cases = []
    z = advantages(GOLDEN_REWARD, GOLDEN_GROUP, "group")
    c = advantages(GOLDEN_REWARD, GOLDEN_GROUP, "none")
    rng = random.Random(2)

    def draw(arrays=("logp", "logp_old"), empty=True):
        rows = random_rows(rng, arrays, empty=empty)
        return (rows, *random_rewards(rng, len(rows["logp"])))

    def add(name, settings, rows, value, reward, group):
        cases.append(case(name, settings, rows, value, reward, group))

    def golden(name, settings, value):
        add(name, settings, GOLDEN, value, GOLDEN_REWARD, GOLDEN_GROUP)

    # TRL's classes.
    two = {"clip_low": 0.2, "clip_high": 0.2}
    golden("gspo", two, grpo_loss(GOLDEN, z, level="sequence"))
    golden("gspo", {}, grpo_loss(GOLDEN, z, level="sequence", epsilon=3e-4, epsilon_high=4e-4))
    golden("gspo_token", {}, grpo_loss(GOLDEN, z, level="sequence", epsilon=3e-4, epsilon_high=4e-4))
    golden("luspo", {}, grpo_loss(GOLDEN, z, loss_type="luspo", level="sequence"))
    golden("sapo", {}, grpo_loss(GOLDEN, z, loss_type="sapo"))
    golden("vespo", {}, grpo_loss(GOLDEN, z, loss_type="vespo"))
    golden("cispo", {}, grpo_loss(GOLDEN, z, loss_type="cispo", epsilon_high=5.0))
    golden("gmpo", {}, grpo_loss(GOLDEN, z, trainer=GMPOTrainer, epsilon=0.4))
    for i in range(30):
        rows, reward, group = draw()
        a = advantages(reward, group, "group")
        low, high = round(rng.uniform(0.02, 0.4), 3), round(rng.uniform(0.02, 0.5), 3)
        o, clip = {"epsilon": low, "epsilon_high": high}, {"clip_low": low, "clip_high": high}
        if i % 5 == 0:
            add("gspo", clip, rows, grpo_loss(rows, a, level="sequence", **o), reward, group)
            add("luspo", clip, rows, grpo_loss(rows, a, level="sequence", loss_type="luspo", **o), reward, group)
        elif i % 5 == 1:
            pos, neg = round(rng.uniform(0.5, 2), 2), round(rng.uniform(0.5, 2), 2)
            value = grpo_loss(rows, a, loss_type="sapo", sapo_pos=pos, sapo_neg=neg)
            add("sapo", {"tau_positive": pos, "tau_negative": neg}, rows, value, reward, group)
        elif i % 5 == 2:
            k = [round(rng.uniform(0.5, 4), 2) for _ in range(4)]
            names = ("k_positive", "lambda_positive", "k_negative", "lambda_negative")
            add("vespo", dict(zip(names, k)), rows, grpo_loss(rows, a, loss_type="vespo", vespo=k), reward, group)
        elif i % 5 == 3:
            top = round(rng.uniform(1, 3), 2)
            value = grpo_loss(rows, a, loss_type="cispo", epsilon_high=top)
            add("cispo", {"weight_max": top}, rows, value, reward, group)
        else:
            rows, reward, group = draw(("logp", "logp_old", "logp_ref"), empty=False)
            a = advantages(reward, group, "group")
            value = grpo_loss(rows, a, trainer=GMPOTrainer, beta=0.1, **o)
            add("gmpo", {"log_clip_low": low, "log_clip_high": high, "kl_coef": 0.1}, rows, value, reward, group)
    for _ in range(6):
        rows, reward, group = draw(("logp", "logp_old", "logp_ref"), empty=False)
        k1 = [sum(x - y for x, y in zip(p, q)) for p, q in zip(rows["logp_old"], rows["logp_ref"])]
        r = torch.tensor(reward) - 0.05 * torch.tensor(k1)
        a = torch.tensor([r[i] - torch.stack([r[j] for j in range(len(r)) if group[j] == group[i] and j != i]).mean() for i in range(len(r))])
        add("rloo", {}, rows, grpo_loss(rows, a, trainer=RLOOTrainer), reward, group)

    # Transliterations of the papers' formulas, with autograd.
    center = {"advantage": "group_center"}
    for low, clip, norm in ((0.4, "token", True), (0.35, "token", True), (0.4, "none", True), (0.4, "sequence", True), (0.4, "token", False)):
        f = gmpo_formula(c, torch.tensor(low), torch.tensor(low), clip, norm)
        s = {**center, "log_clip_low": low, "log_clip_high": low, "clip": clip, "length_norm": norm}
        golden("gmpo", s, autograd(GOLDEN, f))
    golden("cispo", center, autograd(GOLDEN, cispo_formula(c, 0, 5, None)))
    golden("cispo", {**center, "unified_mask": True}, autograd(GOLDEN, cispo_formula(c, 0, 5, (0.2, 0.2))))
    for level in ("sequence", "sequence_mean", "token"):
        golden("topr", {**center, "split_on": "advantage", "ratio_level": level}, autograd(GOLDEN, topr_formula(c, level)))
    golden("topr", {}, autograd(GOLDEN, topr_formula(torch.tensor(GOLDEN_REWARD) - 0.5, "sequence")))
    golden("topr", {"baseline": 0}, autograd(GOLDEN, topr_formula(torch.tensor(GOLDEN_REWARD), "sequence")))
    golden("gvpo", {}, autograd(GOLDEN, gvpo_formula(GOLDEN_REWARD, GOLDEN_GROUP, 0.1, "old")))
    golden("copg", {}, autograd(GOLDEN, copg_formula(GOLDEN_REWARD, GOLDEN_GROUP, 0.1, "ref")))
    for i in range(30):
        rows, reward, group = draw(("logp", "logp_old", "logp_ref"), empty=False)
        a = advantages(reward, group, "none")
        r = torch.tensor(reward)
        if i % 5 == 0:
            low, high = round(rng.uniform(0.1, 0.6), 2), round(rng.uniform(0.1, 0.6), 2)
            clip, norm = rng.choice(["token", "sequence", "none"]), rng.random() < 0.5
            f = gmpo_formula(a, torch.tensor(low), torch.tensor(high), clip, norm)
            s = {**center, "log_clip_low": low, "log_clip_high": high, "clip": clip, "length_norm": norm}
            add("gmpo", s, rows, autograd(rows, f), reward, group)
        elif i % 5 == 1:
            b = [round(rng.uniform(0, 0.9), 2), round(rng.uniform(1, 2), 2), round(rng.uniform(0.1, 0.5), 2), round(rng.uniform(0.1, 0.5), 2)]
            s = {**center, "weight_min": b[0], "weight_max": b[1], "unified_mask": True, "clip_low": b[2], "clip_high": b[3]}
            add("cispo", s, rows, autograd(rows, cispo_formula(a, b[0], b[1], (b[2], b[3]))), reward, group)
        elif i % 5 == 2:
            level, norm, base = rng.choice(["sequence", "sequence_mean", "token"]), rng.random() < 0.5, round(rng.uniform(-0.5, 0.5), 2)
            bounds = [round(rng.uniform(0.2, 1), 2), round(rng.uniform(1, 2), 2), round(rng.uniform(0, 0.3), 2), round(rng.uniform(0.8, 1.5), 2)]
            s = dict(zip(("positive_min", "positive_max", "negative_min", "negative_max"), bounds))
            f = topr_formula(r - base, level, bounds[:2], bounds[2:], norm)
            add("topr", {**s, "baseline": base, "ratio_level": level, "length_norm": norm}, rows, autograd(rows, f), reward, group)
        elif i % 5 == 3:
            beta, against = round(rng.uniform(0.05, 1), 2), rng.choice(["old", "ref"])
            s = {"beta": beta, "against": against}
            add("gvpo", s, rows, autograd(rows, gvpo_formula(reward, group, beta, against)), reward, group)
            add("copg", s, rows, autograd(rows, copg_formula(reward, group, beta, against)), reward, group)
        else:
            beta = round(rng.uniform(0.05, 1), 2)
            add("gpg", {}, rows, autograd(rows, lambda lp, old, ref, m: (-a[:, None] * lp * m).sum() / m.sum()), reward, group)
            f = lambda lp, old, ref, m: ((-(lp * a[:, None] - beta / 2 * (lp - old) ** 2) * m).sum(1) / m.sum(1)).mean()  # noqa: E731
            add("dro", {"beta": beta}, rows, autograd(rows, f), reward, group)
            f = lambda lp, old, ref, m: -((lp * m).sum(1) * a - beta / 2 * ((lp - old) * m).sum(1) ** 2).mean()  # noqa: E731
            add("kimi", {"beta": beta}, rows, autograd(rows, f), reward, group)
    return cases


# ---- advantages: the forms of verl's core_algos and of TRL, one response after the other ----


def verl_whiten(per_response, lengths):
    mask = torch.zeros(len(lengths), max(lengths))
    for i, n in enumerate(lengths):
        mask[i, :n] = 1
    x = torch.tensor(per_response)[:, None] * mask
    mean = (x * mask).sum() / mask.sum()
    variance = (((x - mean) ** 2) * mask).sum() / mask.sum() * mask.sum() / (mask.sum() - 1)
    return [((x - mean) * torch.rsqrt(variance + 1e-8))[i, 0].item() for i in range(len(lengths))]


def advantage_cases():
    rng = random.Random(3)
    cases = []
    for _ in range(12):
        n = rng.choice([4, 6, 8])
        reward, group = random_rewards(rng, n)
        lengths = [rng.randint(1, 6) for _ in range(n)]
        members = [[j for j in range(n) if group[j] == group[i]] for i in range(n)]
        mean = [sum(reward[j] for j in m) / len(m) for m in members]
        greedy = [round(rng.gauss(0, 1), 2) for _ in range(n)]
        parts = [[round(rng.gauss(0, 1), 2), float(rng.random() < 0.5)] for _ in range(n)]
        weights = [1.0, 0.5]
        expected = {
            "reinforce_pp": verl_whiten(reward, lengths),
            "reinforce_pp_baseline": verl_whiten([r - m for r, m in zip(reward, mean)], lengths),
            "remax": [r - g for r, g in zip(reward, greedy)],
            "opo": [reward[i] - sum(lengths[j] * reward[j] for j in m) / sum(lengths[j] for j in m) for i, m in enumerate(members)],
            "rloo": [reward[i] - (sum(reward[j] for j in m) - reward[i]) / (len(m) - 1) for i, m in enumerate(members)],
        }
        passk = []
        for i, m in enumerate(members):
            top = sorted((reward[j] for j in m), reverse=True)
            passk.append(top[0] - top[1] if reward[i] == top[0] else 0.0)
        expected["pass_at_k"] = passk
        # GRPOTrainer, multi_objective_aggregation="normalize_then_sum".
        size = len(members[0])
        grouped = torch.tensor(parts).view(-1, size, 2)
        reward_k = (grouped - torch.nanmean(grouped, dim=1, keepdim=True)) / (nanstd(grouped, dim=1, keepdim=True) + 1e-4)
        rewards = (reward_k.view(-1, 2) * torch.tensor(weights)).nansum(dim=1)
        expected["gdpo"] = ((rewards - torch.nanmean(rewards)) / (nanstd(rewards) + 1e-4)).tolist()
        cases.append(
            {"reward": reward, "group": group, "length": lengths, "greedy": greedy, "parts": parts, "weights": weights,
             "expected": {k: [rounded(x) for x in v] for k, v in expected.items()}}
        )  # fmt: skip
    return cases


FILES = {"ppo_clip": ppo_clip_cases, "policy": policy_cases, "advantages": advantage_cases}


def main(files):
    folder = sys.argv[1]
    for name, make in files.items():
        if len(sys.argv) > 2 and name not in sys.argv[2:]:
            continue
        cases = make()
        with open(os.path.join(folder, name + ".json"), "w") as f:
            f.write("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")
        print(name, len(cases), "cases")


if __name__ == "__main__":
    main(FILES)
