"""Goldens of room eval's later statistics from scipy, exact rationals and plain Monte Carlo, written to
tests/eval/golden/evaluation.json.

  pip install scipy==1.17.1
  python scripts/oracles/evaluation.py
"""

import json
from fractions import Fraction
from itertools import permutations
from math import comb
from pathlib import Path

import numpy as np
from scipy import integrate, optimize, special, stats

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "eval" / "golden"


def bivariate(x, y, rho):
    """The definition: the integral over X of phi(t) P(Y <= y | X = t)."""
    if rho == 1:
        return float(special.ndtr(min(x, y)))
    if rho == -1:
        return float(max(0.0, special.ndtr(x) - special.ndtr(-y)))
    root = np.sqrt((1 - rho) * (1 + rho))

    def inner(t):
        return np.exp(-t * t / 2) / np.sqrt(2 * np.pi) * special.ndtr((y - rho * t) / root)

    # The step of the inner function is at t = y / rho, as wide as root.
    cuts = sorted({-40.0, x, *[c for w in (-30, -8, -2, 0, 2, 8, 30) for c in [(y / rho if rho else 0) + w * root] if -40 < c < x]})
    return float(sum(integrate.quad(inner, a, b, epsabs=1e-16, epsrel=1e-13, limit=400)[0] for a, b in zip(cuts, cuts[1:]) if b > a))


def cells(first, second, rho, nodes=48):
    """P(both), by Plackett's integral over the correlation's angle; arrays."""
    h, k = special.ndtri(first), special.ndtri(second)
    u, w = np.polynomial.legendre.leggauss(nodes)
    end = np.arcsin(rho)
    both = first * second
    for ui, wi in zip((u + 1) / 2, w / 2):
        s = np.sin(end * ui)
        both = both + wi * end / (2 * np.pi) * np.exp((s * h * k - (h * h + k * k) / 2) / (1 - s * s))
    return both


def paired(table, draws=4_000_000, seed=0):
    """The paper's model by draws from its prior, weighed by the multinomial likelihood (arXiv 2503.01747, section 3.4)."""
    s, t, u, v = table
    random = np.random.default_rng(seed)
    differences, logs = [], []
    for _ in range(draws // 500_000):
        first, second = random.uniform(size=500_000), random.uniform(size=500_000)
        rho = 2 * random.beta(4, 2, size=500_000) - 1
        both = cells(first, second, rho)
        parts = [both, first - both, second - both, 1 - first - second + both]
        with np.errstate(divide="ignore", invalid="ignore"):
            log = sum(special.xlogy(n, np.maximum(p, 0)) for n, p in zip(table, parts))
        differences.append(first - second)
        logs.append(log)
    d, log = np.concatenate(differences), np.concatenate(logs)
    w = np.exp(log - log.max())
    order = np.argsort(d)
    cumulated = np.cumsum(w[order]) / w.sum()
    low, high = (float(d[order][np.searchsorted(cumulated, q)]) for q in (0.025, 0.975))
    size = float(w.sum() ** 2 / (w * w).sum())
    return float((w * (d > 0)).sum() / w.sum()), low, high, size


def first_pass(n, right, wrong, k):
    """P(the first that passes among the first k is right), P(it is wrong): by listing the orders."""
    kinds = "R" * right + "W" * wrong + "." * (n - right - wrong)
    got = {"R": 0, "W": 0}
    orders = set(permutations(kinds))
    for order in orders:  # distinct orders are equally likely
        for kind in order[:k]:
            if kind != ".":
                got[kind] += 1
                break
    return float(Fraction(got["R"], len(orders))), float(Fraction(got["W"], len(orders)))


def pass_at_k(n, c, k):
    return float(1 - Fraction(comb(n - c, k), comb(n, k)))


def law_case(n, correct):
    ks = sorted({int(np.floor(x + 0.5)) for x in np.exp(np.linspace(0, np.log(n), 40))})
    c = np.array([np.mean([pass_at_k(n, x, k) for x in correct]) for k in ks])
    (a, b), _ = optimize.curve_fit(lambda k, a, b: np.exp(a * k**b), np.array(ks, float), c, p0=[-2.0, -0.5], xtol=1e-14, ftol=1e-14, maxfev=100000)
    return {"n": n, "correct": correct, "k": ks, "coverage": c.tolist(), "a": float(a), "b": float(b), "at_1e4": float(np.exp(a * 1e4**b))}


def main():
    random = np.random.default_rng(1)
    points = [(x, y, r) for x in (-3.0, -0.4, 0.0, 1.3, 5.0) for y in (-2.0, 0.0, 0.4, 1.3) for r in (-1.0, -0.999, -0.95, -0.5, 0.0, 0.3, 0.9, 0.93, 0.99, 0.99999, 1.0)]
    out = {"bivariate": [[x, y, r, bivariate(x, y, r)] for x, y, r in points]}
    out["quantile"] = [[p, float(special.ndtri(p))] for p in (1e-300, 1e-20, 1e-5, 0.02, 0.024, 0.025, 0.3, 0.5, 0.7, 0.975, 0.99999)]

    out["paired"] = []
    for table in ([10, 5, 2, 3], [0, 0, 0, 5], [1, 0, 0, 0], [20, 8, 1, 11], [3.2, 1.3, 2.3, 3.2], [60, 20, 12, 58], [12, 0, 0, 12]):
        p, low, high, size = paired(table)
        assert size > 2000, (table, size)
        out["paired"].append({"table": table, "p": p, "low": low, "high": high, "size": size})
    out["unpaired"] = []
    for a, b, c, d in ([12, 8, 15, 5], [0, 3, 2, 1], [700, 300, 650, 350]):
        f, g = stats.beta(1 + a, 1 + b), stats.beta(1 + c, 1 + d)
        out["unpaired"].append([a, b, c, d, float(integrate.quad(lambda x: f.pdf(x) * g.cdf(x), 0, 1, epsabs=1e-12, limit=500)[0])])

    out["first_pass"] = [[n, r, w, k, *first_pass(n, r, w, k)] for n, r, w in ((1, 1, 0), (4, 1, 1), (6, 2, 1), (7, 0, 2), (7, 3, 4), (5, 0, 0)) for k in range(1, n + 1)]

    out["law"] = []
    for n, alpha, beta, prompts in ((100, 0.3, 3.0, 60), (1000, 0.15, 2.0, 40), (16, 0.5, 0.5, 30)):
        rates = random.beta(alpha, beta, size=prompts)
        out["law"].append(law_case(n, [int(c) for c in random.binomial(n, rates)]))
    out["gamma"] = [[s, *[float(q) for q in stats.gamma(s).ppf([0.1, 0.5, 0.9])]] for s in (1.0, 1.5, 40.0)]
    GOLDEN.mkdir(parents=True, exist_ok=True)
    with open(GOLDEN / "evaluation.json", "w") as f:
        json.dump(out, f)
    print({k: len(v) for k, v in out.items()}, [round(x["size"]) for x in out["paired"]])


if __name__ == "__main__":
    main()
