"""Golden tests/eval/golden/vendi.json: the Vendi score (Friedman and Dieng, arXiv 2210.02410) of groups of token ids in float64, by a
kernel of n-gram counts (n = 1, 2) and eigenvalues from Jacobi rotations, and the share of different texts.

  python scripts/oracles/vendi.py
"""

import json
import math
import random
from collections import Counter
from pathlib import Path

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "eval" / "golden" / "vendi.json"


def features(text):
    return Counter(tuple(text[i : i + n]) for n in (1, 2) for i in range(len(text) - n + 1))


def cosine(a, b):
    if not a or not b:
        return 1.0 if a == b else 0.0
    norm = math.sqrt(math.fsum(v * v for v in a.values()) * math.fsum(v * v for v in b.values()))
    return math.fsum(a[k] * b[k] for k in a if k in b) / norm


def eigenvalues(matrix):
    """Of a symmetric matrix: cyclic Jacobi rotations until nothing is left beside the diagonal."""
    a, n = [row[:] for row in matrix], len(matrix)
    for _ in range(100):
        if math.fsum(a[i][j] ** 2 for i in range(n) for j in range(n) if i != j) < 1e-30:
            break
        for p in range(n):
            for q in range(p + 1, n):
                if abs(a[p][q]) < 1e-300:
                    continue
                angle = 0.5 * math.atan2(2 * a[p][q], a[q][q] - a[p][p])
                c, s = math.cos(angle), math.sin(angle)
                for k in range(n):
                    a[k][p], a[k][q] = c * a[k][p] - s * a[k][q], s * a[k][p] + c * a[k][q]
                for k in range(n):
                    a[p][k], a[q][k] = c * a[p][k] - s * a[q][k], s * a[p][k] + c * a[q][k]
    return [a[i][i] for i in range(n)]


def vendi(texts):
    counts = [features(t) for t in texts]
    kernel = [[cosine(a, b) / len(texts) for b in counts] for a in counts]
    return math.exp(-math.fsum(x * math.log(x) for x in eigenvalues(kernel) if x > 1e-15))


def main():
    rng, cases = random.Random(1), []
    for n in (1, 2, 3, 4, 8, 16):
        for vocabulary in (2, 5, 40):
            texts = [[rng.randrange(vocabulary) for _ in range(rng.choice([0, 1, 2, 5, 12]))] for _ in range(n)]
            if n > 3:
                texts[2] = texts[0]
            cases.append({"texts": texts, "distinct": len(set(map(tuple, texts))) / n, "vendi": float(f"{vendi(texts):.13g}")})
    GOLDEN.write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


if __name__ == "__main__":
    main()
