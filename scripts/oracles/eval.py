"""Goldens of room eval from scipy and exact rationals, written to tests/eval/golden/metrics.json.

  pip install scipy==1.17.1
  python scripts/oracles/eval.py
"""

import json
from fractions import Fraction
from itertools import combinations
from math import ceil, comb
from pathlib import Path

from scipy import special, stats

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "eval" / "golden"


def pass_at_k(n, c, k):
    return float(1 - Fraction(comb(n - c, k), comb(n, k)))


def at_least(n, c, k, m):
    return float(sum(Fraction(comb(c, j) * comb(n - c, k - j), comb(n, k)) for j in range(m, min(c, k) + 1) if k - j <= n - c))


def g_pass(n, c, k, tau):  # tau: a Fraction
    return at_least(n, c, k, max(1, ceil(tau * k)))


def mg_pass(n, c, k):
    return 2 / k * sum(at_least(n, c, k, i) for i in range(ceil(k / 2) + 1, k + 1))


def brute(n, c, k, m):
    """By listing the draws: the formulas' own check."""
    draws = list(combinations(range(n), k))
    return sum(sum(i < c for i in d) >= m for d in draws) / len(draws)


def main():
    for n, c, k in [(6, 2, 3), (7, 4, 4), (5, 0, 2), (5, 5, 5)]:
        assert abs(pass_at_k(n, c, k) - brute(n, c, k, 1)) < 1e-12
        for m in range(1, k + 1):
            assert abs(at_least(n, c, k, m) - brute(n, c, k, m)) < 1e-12
    sizes = [(n, c, k) for n in (1, 2, 5, 8, 16, 64, 200, 1000) for c in sorted({0, 1, n // 3, n // 2, n - 1, n}) for k in sorted({1, 2, 4, 8, n // 2, n})
             if 1 <= k <= n and 0 <= c <= n]
    taus = ["1/4", "1/2", "3/4", "7/10", "1"]
    out = {
        "pass": [[n, c, k, pass_at_k(n, c, k)] for n, c, k in sizes],
        "g_pass": [[n, c, k, float(Fraction(t)), g_pass(n, c, k, Fraction(t))] for n, c, k in sizes if n <= 200 for t in taus],
        "mg_pass": [[n, c, k, mg_pass(n, c, k)] for n, c, k in sizes if n <= 200],
        "beta": [[c, w, level, *[float(x) for x in stats.beta.interval(level, 1 + c, 1 + w)]]
                 for c, w in [(0, 0), (0, 1), (1, 0), (5, 5), (0, 100), (100, 0), (37, 163), (1319, 0), (500, 819), (1, 99999), (250000, 750000), (2.5, 7.25)]
                 for level in (0.5, 0.95, 0.99)],
        "incomplete_beta": [[a, b, x, float(special.betainc(a, b, x))] for a in (0.5, 1, 2.5, 30, 1000) for b in (0.5, 1, 7, 400)
                            for x in (1e-6, 0.01, 0.3, 0.5, 0.72, 0.99, 0.999999)],
        "t": [],
    }
    for values in ([1, 2], [0.5, -1.25, 3, 8], [0.1 * i * (-1) ** i for i in range(30)], [3, 3, 3]):
        m = sum(values) / len(values)
        sem = stats.sem(values)
        low, high = (m, m) if sem == 0 else stats.t.interval(0.95, len(values) - 1, loc=m, scale=sem)
        out["t"].append([values, float(low), float(high)])
    GOLDEN.mkdir(parents=True, exist_ok=True)
    with open(GOLDEN / "metrics.json", "w") as f:
        json.dump(out, f)
    print({k: len(v) for k, v in out.items()})


if __name__ == "__main__":
    main()
