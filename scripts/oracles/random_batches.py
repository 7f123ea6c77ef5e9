"""Every objective on random ragged batches: value and gradient of temper-inspect against the oracles' own.

  python scripts/oracles/random_batches.py build/bin/temper-inspect [--batches 200] [--table scripts/oracles/random_batches.md]

The other oracles of this folder draw their batches from random.Random(seed) and write cases {"name", "set", "input", "loss",
"grad"}; here they draw again and again, from other seeds, until every row of `temper-inspect list objective` has enough batches.
What an error is: |ours - theirs| / max(1, |theirs|), for the value and for every number of the gradient. Above 1e-6 is a failure.
"""

import argparse
import contextlib
import importlib
import json
import os
import random
import subprocess
import sys
import tempfile
from unittest import mock

HERE = os.path.dirname(os.path.abspath(__file__))


def load(name):
    sys.path.insert(0, HERE)  # each of them takes it away again
    module = importlib.import_module(name)
    while HERE in sys.path:
        sys.path.remove(HERE)
    return module


objectives = load("objectives")
guided = load("guided_objectives")
credit = load("credit_objectives")
lists = load("list_objectives")
preference = load("preference_objectives")
reward = load("reward_objectives")
supervised = load("supervised_objectives")

import torch  # noqa: E402
import torch.nn.functional as F  # noqa: E402

LIMIT = 1e-6
WRITERS = [
    lambda: objectives.main(objectives.FILES),
    lambda: objectives.main({"guided": guided.guided_cases}),
    lambda: objectives.main({"coderl": credit.coderl_cases}),
    preference.main,
    lists.main,
    reward.main,
    supervised.main,
]
TRL = {
    "GRPOTrainer": "grpo dapo dr_grpo gspo gspo_token luspo sapo vespo",
    "GRPOTrainer, formulas of its options": "cispo",
    "GMPOTrainer, the paper's formula": "gmpo",
    "RLOOTrainer": "rloo",
    "GRPOTrainer on advantages of verl's and TRL's forms": "loop reinforce_pp reinforce_pp_baseline remax opo pass_at_k gdpo",
    "DPOTrainer": "dpo robust hinge ipo exo_pair discopop sigmoid_norm nca_pair bco_pair sppo_hard apo_zero apo_down aot aot_unpaired mpo",
    "CPOTrainer": "cpo simpo",
    "ORPOTrainer": "orpo",
    "KTOTrainer": "kto apo_zero_unpaired",
    "SFTTrainer": "nll dft",
    "RewardTrainer": "bt margin_bt",
    "GKDTrainer": "gjsd forward_kl reverse_kl",
}
AGAINST = {name: "TRL " + trainer for trainer, names in TRL.items() for name in names.split()}


def drawn_again(turn):
    """All cases of the other oracles, drawn from seeds that no golden has."""
    drawn = random.Random
    cases = []
    with tempfile.TemporaryDirectory() as folder, mock.patch.object(sys, "argv", ["", folder]):
        with mock.patch("random.Random", lambda seed: drawn(1000 * (turn + 1) + seed)):
            with open(os.devnull, "w") as nowhere, contextlib.redirect_stdout(nowhere):
                for write in WRITERS:
                    write()
            cases += more_cases()
        for file in sorted(os.listdir(folder)):
            if file != "advantages.json":
                with open(os.path.join(folder, file)) as f:
                    cases += json.load(f)
            else:
                with open(os.path.join(folder, file)) as f:
                    cases += estimator_cases(json.load(f), random.Random(turn))
    for c in [c for c in cases if c["name"] == "gjsd" and c["set"].get("beta") in (0.0, 1.0)]:
        settings = {k: v for k, v in c["set"].items() if k != "beta"}
        cases.append({**c, "name": "reverse_kl" if c["set"]["beta"] else "forward_kl", "set": settings})
    return cases


def estimator_cases(drawn, rng):
    """The presets that are a PPO clip on an advantage of their own: TRL's loss on the oracle's advantages."""
    cases = []
    for d in drawn:
        base = [[-abs(rng.gauss(1.0, 0.8)) - 0.02 for _ in range(n)] for n in d["length"]]
        rows = {k: [[round(x + rng.gauss(0, 0.6), 3) for x in row] for row in base] for k in ("logp", "logp_old")}
        for name, advantage in d["expected"].items():
            loss_type = "grpo" if name == "gdpo" else "dapo"
            value = objectives.grpo_loss(rows, torch.tensor(advantage), loss_type=loss_type)
            beside = {"reward_weights": d["weights"]} if name == "gdpo" else {}
            c = objectives.case("loop" if name == "rloo" else name, {}, rows, value, d["reward"], d["group"], **beside)
            for i, s in enumerate(c["input"]["sequences"]):
                if name == "remax":
                    s["greedy"] = d["greedy"][i]
                if name == "gdpo":
                    s["rewards"] = d["parts"][i]
            cases.append(c)
    return cases


def more_cases():
    """Rows that the goldens hold without randomness."""
    rng = random.Random(11)
    cases = []
    for _ in range(10):
        rows = objectives.random_rows(rng, ("logp", "logp_old"))
        r, group = objectives.random_rewards(rng, len(rows["logp"]))
        low, high = round(rng.uniform(0.02, 0.4), 3), round(rng.uniform(0.02, 0.5), 3)
        a = objectives.advantages(r, group, "group")
        value = objectives.grpo_loss(rows, a, level="sequence", epsilon=low, epsilon_high=high)
        cases.append(objectives.case("gspo_token", {"clip_low": low, "clip_high": high}, rows, value, r, group))

        pairs, beta = preference.random_pairs(rng), round(rng.uniform(0.05, 1.0), 2)
        also = [{"name": "bco_pair", "weight": 0.2, "beta": beta}]
        value = preference.dpo(pairs, ["sigmoid", "bco_pair", "sft"], [0.8, 0.2, 1.0], beta=beta)
        cases.append(preference.case("mpo", {"beta": beta, "also": also}, pairs, value))

        label = [rng.random() < 0.5 for _ in pairs]
        for p, good in zip(pairs, label):
            p["label"] = good

        def bco(total, ref):
            x, good = beta * (total - ref), torch.tensor(label)
            side = lambda keep: x[keep].mean() if keep.any() else torch.zeros(())  # noqa: E731
            d = ((side(good) + side(~good)) / 2).detach()
            return torch.where(good, -F.logsigmoid(x - d), -F.logsigmoid(d - x)).mean()

        logp, mask = preference.padded([p["logp"] for p in pairs])
        logp.requires_grad_()
        loss = bco((logp * mask).sum(1), preference.padded([p["logp_ref"] for p in pairs])[0].sum(1))
        loss.backward()
        value = loss.item(), [g[m.bool()].tolist() for g, m in zip(logp.grad, mask)]
        cases.append(preference.case("bco", {"beta": beta}, pairs, value, ("logp", "logp_ref", "label"), pairs=False))
        cases += [awr_case(rng), ppo_case(rng), sampled_kd_case(rng), minillm_case(rng)]
    return cases


def awr_case(rng):
    rows = objectives.random_rows(rng, ("logp",))
    r, group = objectives.random_rewards(rng, len(rows["logp"]))
    a, beta, cap = objectives.advantages(r, group, "none"), round(rng.uniform(0.2, 2), 2), round(rng.uniform(1, 4), 2)
    value = objectives.autograd(rows, lambda lp, old, ref, m: (-torch.exp(a / beta).clamp(max=cap)[:, None] * lp * m).sum() / m.sum())
    return objectives.case("awr", {"beta": beta, "weight_max": cap}, rows, value, r, group)


def ppo_case(rng):
    """TRL's and verl's PPO: KL in each token's reward, GAE, advantages whitened over tokens, both clips."""
    rows = objectives.random_rows(rng, ("logp", "logp_old", "logp_ref"), empty=False)
    while sum(len(row) for row in rows["logp"]) < 2:  # one token has no deviation to be whitened by
        rows = objectives.random_rows(rng, ("logp", "logp_old", "logp_ref"), empty=False)
    n, lam, clip, coef, kl = len(rows["logp"]), 0.95, 0.2, 0.1, 0.05
    rows["value_old"] = [[round(rng.gauss(0, 0.5), 6) for _ in row] for row in rows["logp"]]  # never exactly on a clip bound
    rows["value"] = [[round(v + rng.gauss(0, 0.2), 6) for v in row] for row in rows["value_old"]]
    r, group = objectives.random_rewards(rng, n)
    a, target = [], []
    for old, ref, v, end in zip(rows["logp_old"], rows["logp_ref"], rows["value_old"], r):
        token = [-kl * (o - f) for o, f in zip(old, ref)]
        token[-1] += end
        row, later = [], 0.0
        for t in reversed(range(len(v))):
            later = token[t] + (v[t + 1] if t + 1 < len(v) else 0.0) - v[t] + lam * later
            row.insert(0, later)
        a.append(row)
        target.append([x + y for x, y in zip(row, v)])
    x = torch.tensor([z for row in a for z in row])
    x = (x - x.mean()) * torch.rsqrt(x.var() + 1e-8)
    leaf = {k: torch.tensor([z for row in rows[k] for z in row], requires_grad=k in ("logp", "value")) for k in rows}
    ratio, v, before = torch.exp(leaf["logp"] - leaf["logp_old"]), leaf["value"], leaf["value_old"]
    goal = torch.tensor([z for row in target for z in row])
    policy = -torch.min(ratio * x, ratio.clamp(1 - clip, 1 + clip) * x).mean()
    critic = 0.5 * torch.max((v - goal) ** 2, (torch.clamp(v, before - clip, before + clip) - goal) ** 2).mean()
    loss = policy + coef * critic
    loss.backward()
    lengths = [len(row) for row in rows["logp"]]
    grad = {k: [list(z) for z in torch.split(leaf[k].grad, lengths)] for k in ("logp", "value")}
    grad = {k: [[float(z) for z in row] for row in v] for k, v in grad.items()}
    c = objectives.case("ppo", {}, rows, (loss.item(), None), r, group)
    return {**c, "grad": grad}


def sampled_kd_case(rng):
    n, v = rng.randint(1, 5), rng.randint(2, 6)
    student = [[round(rng.gauss(0, 2), 3) for _ in range(v)] for _ in range(n)]
    counts = [[rng.randint(0, 4) for _ in range(v - 1)] + [1] for _ in range(n)]
    share = [[c / sum(row) for c in row] for row in counts]
    leaf = torch.tensor(student, requires_grad=True)
    loss = -(torch.tensor(share) * F.log_softmax(leaf, -1)).sum(-1).mean()
    loss.backward()
    given = {"sequences": [{"student": student, "teacher": share}]}
    return {"name": "sampled_kd", "set": {}, "input": given, "loss": loss.item(), "grad": {"student": [leaf.grad.tolist()]}}


def minillm_case(rng):
    """The policy-gradient part: each token's advantage is the mean of r over the tokens after it."""
    rows = objectives.random_rows(rng, ("logp", "logp_teacher"))
    rows["logp"][0] = rows["logp"][0] or [-1.0]
    rows["logp_teacher"][0] = rows["logp_teacher"][0] or [-0.5]
    a = []
    for lp, teacher in zip(rows["logp"], rows["logp_teacher"]):
        later = [y - x for x, y in zip(lp, teacher)]
        a.append([sum(later[t + 1 :]) / (len(lp) - t - 1) if t + 1 < len(lp) else 0.0 for t in range(len(lp))])
    value = objectives.autograd({"logp": rows["logp"]}, lambda lp, old, ref, m: -(objectives.padded(a)[0] * lp * m).sum() / m.sum())
    return objectives.case("minillm", {}, rows, value)


def tied(c):
    """aot sorts; where two of its numbers are equal, either may have the other's gradient, so such a batch decides nothing."""
    if not c["name"].startswith("aot"):
        return False
    total = lambda p, side, key: sum(p[side][key])  # noqa: E731
    pairs = c["input"]["pairs"]
    if c["name"] == "aot":
        sides = [[total(p, "chosen", k) - total(p, "rejected", k) for p in pairs] for k in ("logp", "logp_ref")]
    else:
        sides = [[total(p, s, "logp") - total(p, s, "logp_ref") for p in pairs] for s in ("chosen", "rejected")]
    return any(b - a < 1e-9 for side in map(sorted, sides) for a, b in zip(side, side[1:]))


def flat(x):
    if isinstance(x, dict):
        return [z for key in sorted(x) for z in flat(x[key])]
    return [z for y in x for z in flat(y)] if isinstance(x, list) else [x]


def error(ours, theirs):
    if len(ours) != len(theirs):
        return float("inf")
    return max((abs(a - b) / max(1.0, abs(b)) for a, b in zip(ours, theirs)), default=0.0)


def ours(program, name, cases):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        for c in cases:
            file.write(json.dumps({**c["input"], "set": c["set"]}) + "\n")
        file.flush()
        done = subprocess.run([program, "objective", name, "--input", file.name], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{name}: {done.stderr.strip()}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("program")
    parser.add_argument("--batches", type=int, default=200)
    parser.add_argument("--table")
    options = parser.parse_args()
    listed = json.loads(subprocess.run([options.program, "list", "objective"], capture_output=True, text=True, check=True).stdout)
    cases, seen, empty_turns, turn = {e["name"]: [] for e in listed}, set(), 0, 0
    while empty_turns < 2 and min(len(c) for c in cases.values()) < options.batches:
        before = sum(len(c) for c in cases.values())
        for c in drawn_again(turn):
            key = json.dumps([c["name"], c["set"], c["input"]])
            if key in seen or c["name"] not in cases or len(cases[c["name"]]) >= options.batches or tied(c):
                continue
            seen.add(key)
            cases[c["name"]].append(c)
        turn += 1
        empty_turns = empty_turns + 1 if sum(len(c) for c in cases.values()) == before else 0
        least = min(cases, key=lambda n: len(cases[n]))
        print(f"drawn {turn} times: at least {len(cases[least])} batches ({least})", file=sys.stderr, flush=True)

    lines = [
        "| family | objective | against | batches | worst error, value | worst error, gradient |",
        "|---|---|---|---|---|---|",
    ]
    failed = []
    for e in listed:
        name, worst, worst_gradient = e["name"], 0.0, 0.0
        for c, o in zip(cases[name], ours(options.program, f"{e['family']}/{name}", cases[name]) if cases[name] else []):
            worst = max(worst, error([o["loss"]], [c["loss"]]))
            theirs = c["grad"] if isinstance(c["grad"], dict) else {"logp": c["grad"]}
            worst_gradient = max(worst_gradient, error(flat(o["grad"]), flat(theirs)))
        against = AGAINST.get(name, "the authors' form in float64, autograd")
        lines.append(f"| {e['family']} | {name} | {against} | {len(cases[name])} | {worst:.1e} | {worst_gradient:.1e} |")
        if not (worst <= LIMIT and worst_gradient <= LIMIT and len(cases[name]) >= options.batches):
            failed.append(name)
    table = "\n".join(lines) + "\n"
    print(table)
    if options.table:
        with open(options.table, "w") as f:
            f.write(
                "# Every objective on random batches\n\nMade by `scripts/oracles/random_batches.py`: ragged batches (lengths 1 to 6, empty\n"
                "responses where the form defines them, log-ratios off policy, several groups, random settings), float64 on both\n"
                "sides. Errors are |ours - theirs| / max(1, |theirs|), the worst over all batches and numbers.\n\n" + table
            )
    if failed:
        sys.exit("failed or short of batches: " + ", ".join(failed))


if __name__ == "__main__":
    main()
