"""Goldens of MRT (arXiv 2503.07572) in float64: the normalised regret over budgets, as the authors' notebook computes it
(CMU-AIRe/MRT, analysis/code/regret.ipynb: the area under a curve that is cut at a budget, between its points a line, behind the last one flat),
and the progress bonus of groups whose halves go on from a shared beginning or end there.

  pip install numpy
  python scripts/oracles/mrt.py
"""

import json
from pathlib import Path

import numpy as np

TESTS = Path(__file__).resolve().parents[2] / "tests"


def normalised_regret(x, y, cutoff):
    x, y = np.concatenate([[0.0], x]), np.concatenate([[0.0], y])
    inside = x < cutoff
    xs = np.concatenate([x[inside], [cutoff]])
    ys = np.concatenate([y[inside], [np.interp(cutoff, x, y)]])
    return 1 - float(((xs[1:] - xs[:-1]) * (ys[1:] + ys[:-1]) / 2).sum()) / cutoff


def regret_cases(rng):
    cases = []
    for n in (1, 2, 3, 5, 9):
        for _ in range(4):
            budgets = np.sort(rng.choice(np.arange(1, 4000), n, replace=False))
            shares = rng.uniform(0, 1, n).round(3)
            cases.append({"budgets": budgets.tolist(), "shares": shares.tolist(),
                          "regret": [normalised_regret(budgets.astype(float), shares, float(b)) for b in budgets]})
    return cases


def bonus_cases(rng):
    """Steps of groups; of each response its reward (None: null), whether it was told to end, and what follows from them."""
    cases = []
    for alpha in (0.0, 0.3, 1.0, 2.5):
        for nulls in (0.0, 0.25):
            step = []
            for g in range(6):
                n = int(rng.choice([2, 4, 8]))
                rewards = [None if rng.uniform() < nulls else float(rng.choice([0, 1, rng.normal()])) for _ in range(n)]
                if g == 0:
                    rewards = [1.0] * n
                ended = [i % 2 == 0 for i in range(n)]
                at_end = [r for r, e in zip(rewards, ended) if e and r is not None]
                going_on = [r for r, e in zip(rewards, ended) if not e and r is not None]
                progress = alpha * (np.mean(going_on) - np.mean(at_end)) if at_end and going_on else 0.0
                known = [r for r in rewards if r is not None]
                shaped = [None if r is None else r + (0.0 if e else progress) for r, e in zip(rewards, ended)]
                present = [x for x in shaped if x is not None]
                for r, e, x in zip(rewards, ended, shaped):
                    zscore = 0.0
                    if r is not None and len(present) > 1 and max(present) > min(present):
                        zscore = (x - np.mean(present)) / (np.std(present, ddof=1) + 1e-4)
                    below_end = 0.0
                    if r is not None and at_end and len(known) > 1 and max(known) > min(known):
                        below_end = r - np.mean(at_end)
                    step.append({"group": g, "reward": r, "ended": int(e), "bonus": 0.0 if e else float(progress),
                                 "zscore": float(zscore), "ended_baseline": float(below_end)})
            cases.append({"alpha": alpha, "responses": step})
    return cases


def main():
    rng = np.random.default_rng(7)
    for path, data in {"eval/golden/regret.json": regret_cases(rng), "objective/golden/mrt.json": bonus_cases(rng)}.items():
        with open(TESTS / path, "w") as f:
            json.dump(data, f)


if __name__ == "__main__":
    main()
