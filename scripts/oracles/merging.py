"""Golden tests/merge/golden/merging.json: every way of merging in float64, written from the papers' formulas.

  python scripts/oracles/merging.py tests/merge/golden        needs numpy and scipy

Conjugate gradients are scipy's, as in the authors' code of MaTS (r-three/mats); Timber's spectrum is a full SVD, as in
theirs. scripts/oracles/merging_peers.py compares whole folders with mergekit's.
"""

import json
import math
import os
import sys

import numpy as np
from scipy.sparse.linalg import LinearOperator, cg

MASK = (1 << 64) - 1
GOLDEN = 0x9E3779B97F4A7C15


def mix(x):
    x = ((x ^ (x >> 30)) * 0xBF58476D1CE4E5B9) & MASK
    x = ((x ^ (x >> 27)) * 0x94D049BB133111EB) & MASK
    return x ^ (x >> 31)


def draws(seed, purpose, index, count):
    """The first uniform draws of the stream (seed, purpose, 0, index) of lib/base/random.h."""
    value = 0xCBF29CE484222325
    for byte in purpose.encode():
        value = ((value ^ byte) * 0x100000001B3) & MASK
    key = mix((seed + GOLDEN) & MASK)
    key = mix(key ^ mix((value + GOLDEN) & MASK))
    key = mix(key ^ mix((2 * GOLDEN) & MASK))
    key = mix(key ^ mix((index + 3 * GOLDEN) & MASK))
    return np.array([(mix((key + GOLDEN * (n + 1)) & MASK) >> 11) * 2.0**-53 for n in range(count)])


def linear(base, models, weights, o):
    total = sum(weights) if o.get("normalise", True) else 1.0
    return {k: sum(w * m[k] for w, m in zip(weights, models)) / total for k in base}


def slerp(base, models, weights, o):
    t, out = o["t"], {}
    for k in base:
        a, b = models[0][k], models[1][k]
        cosine = (a * b).sum() / np.linalg.norm(a) / np.linalg.norm(b)
        if abs(cosine) > 0.9995:
            out[k] = (1 - t) * a + t * b
            continue
        angle = math.acos(cosine)
        out[k] = (math.sin((1 - t) * angle) * a + math.sin(t * angle) * b) / math.sin(angle)
    return out


def task_arithmetic(base, models, weights, o):
    total = sum(weights) if o.get("normalise", False) else 1.0
    return {k: base[k] + o.get("scale", 1.0) * sum(w * (m[k] - base[k]) for w, m in zip(weights, models)) / total for k in base}


def expo(base, models, weights, o):
    return {k: models[0][k] + o["alpha"] * (models[0][k] - base[k]) for k in base}


def elect(deltas, weights, mean):
    weighted = [w * d for w, d in zip(weights, deltas)]
    sign = np.where(sum(weighted) >= 0, 1.0, -1.0)
    agree = [np.sign(d) == sign for d in deltas]
    top = sum(d * a for d, a in zip(weighted, agree))
    below = sum(w * a for w, a in zip(weights, agree))
    return np.divide(top, below, out=np.zeros_like(top), where=below > 0) if mean else top


def ties(base, models, weights, o):
    deltas = [{k: m[k] - base[k] for k in base} for m in models]
    # Magnitudes are ordered as fp32 differences of fp32 weights are.
    single = [{k: np.abs(m[k].astype(np.float32) - base[k].astype(np.float32)) for k in base} for m in models]
    trimmed = []
    for delta, size in zip(deltas, single):
        def threshold(values):
            kept = int(o["density"] * values.size)
            return np.sort(values)[::-1][kept - 1] if kept else np.inf
        whole = threshold(np.concatenate([v.ravel() for v in size.values()]))
        trimmed.append({k: np.where(size[k] >= (whole if o["trim"] == "model" else threshold(size[k].ravel())), delta[k], 0.0)
                        for k in base})
    return {k: base[k] + o.get("scale", 1.0) * elect([t[k] for t in trimmed], weights, o.get("mean", True)) for k in base}


def dare(base, models, weights, o):
    out = {}
    for k in base:
        deltas = []
        for i, m in enumerate(models):
            keep = draws(o["seed"], "merge.dare." + k, i, base[k].size).reshape(base[k].shape) < o["density"]
            deltas.append((m[k] - base[k]) * keep / o["density"])
        mixed = elect(deltas, weights, True) if o["combine"] == "ties" else sum(w * d for w, d in zip(weights, deltas))
        out[k] = base[k] + o.get("scale", 1.0) * mixed
    return out


def model_stock(base, models, weights, o):
    out, n = {}, len(models)
    for k in base:
        deltas = [m[k] - base[k] for m in models]
        cosines = [(deltas[i] * deltas[j]).sum() / np.linalg.norm(deltas[i]) / np.linalg.norm(deltas[j])
                   for i in range(n) for j in range(i + 1, n)]
        c = max(0.0, float(np.mean(cosines)))
        t = n * c / ((n - 1) * c + 1)
        out[k] = t * sum(m[k] for m in models) / n + (1 - t) * base[k]
    return out


def timber(base, models, weights, o):
    out = {}
    for k in base:
        if base[k].ndim < 2:
            out[k] = models[0][k]
            continue
        u, s, vt = np.linalg.svd(models[0][k] - base[k], full_matrices=False)
        p = s / s.sum()
        kept = math.ceil(math.exp(-sum(x * math.log(x) for x in p if x > 0)))
        s[kept:] *= o["tail"]
        out[k] = base[k] + (u * s) @ vt
    return out


def fisher(base, models, weights, o):
    out = {}
    for k in base:
        f = [w * np.maximum(m["fisher"][k], o["floor"]) for w, m in zip(weights, models)]
        out[k] = sum(x * m[k] for x, m in zip(f, models)) / sum(f)
    return out


def off_diagonal(c, factor):
    return factor * c + (1 - factor) * np.diag(np.diag(c))


def mean_of(models, weights, k):
    return sum(w * m[k] for w, m in zip(weights, models)) / sum(weights)


def regmean(base, models, weights, o):
    out, shares = {}, [w / sum(weights) for w in weights]
    for k in base:
        mean = mean_of(models, weights, k)
        if k not in models[0]["gram"]:
            out[k] = mean
            continue
        c = [w * off_diagonal(m["gram"][k], o["off_diagonal"]) for w, m in zip(shares, models)]
        left, total = sum(m[k] @ x for m, x in zip(models, c)), sum(c)
        ridge = o["ridge"] * np.diag(total).mean()
        out[k] = np.linalg.solve(total + ridge * np.eye(len(total)), (left + ridge * mean).T).T
    return out


def mats(base, models, weights, o):
    out, shares = {}, [w / sum(weights) for w in weights]
    factor = o.get("off_diagonal", 1.0)
    for k in base:
        mean = mean_of(models, weights, k)
        if o["objective"] != "fisher" and k not in models[0]["gram"]:
            out[k] = mean
            continue

        def c(m, w):
            if o["objective"] == "fisher":
                return m["fisher"][k] * w
            wa = w @ off_diagonal(m["gram"][k], factor)
            return off_diagonal(m["gradient_gram"][k], factor) @ wa if o["objective"] == "kfac" else wa

        shape = base[k].shape
        right = sum(w * c(m, m[k]) for w, m in zip(shares, models))
        left = LinearOperator((right.size, right.size), dtype=np.float64,
                              matvec=lambda x: sum(w * c(m, x.reshape(shape)) for w, m in zip(shares, models)).ravel())
        start = {"average": mean, "base": base[k],
                 "task_arithmetic": base[k] + o.get("init_scale", 0.3) * sum(m[k] - base[k] for m in models)}[o.get("init", "average")]
        out[k] = cg(left, right.ravel(), x0=start.ravel(), maxiter=o["iterations"], rtol=o["tolerance"])[0].reshape(shape)
    return out


METHODS = {f.__name__: f for f in (linear, slerp, task_arithmetic, expo, ties, dare, model_stock, timber, fisher, regmean, mats)}
CASES = [
    ("linear", [0, 1, 2], [1, 1, 1], {}),
    ("linear", [0, 1], [3, 1], {}),
    ("linear", [0, 1, 2], [0.5, 0.5, -0.25], {"normalise": False}),
    ("slerp", [0, 1], [1, 1], {"t": 0.3}),
    ("slerp", [1, 1], [1, 1], {"t": 0.5}),
    ("task_arithmetic", [0, 1, 2], [1, 0.5, -0.5], {"scale": 0.8}),
    ("task_arithmetic", [0, 1], [1, 3], {"normalise": True}),
    ("expo", [2], [1], {"alpha": 0.5}),
    ("ties", [0, 1, 2], [1, 1, 1], {"density": 0.3, "trim": "model"}),
    ("ties", [0, 1, 2], [1, 0.5, 2], {"density": 0.5, "trim": "tensor", "scale": 0.7}),
    ("ties", [0, 1], [1, 1], {"density": 0.6, "trim": "tensor", "mean": False}),
    ("dare", [0, 1, 2], [1, 1, 0.5], {"density": 0.4, "combine": "sum", "seed": 3}),
    ("dare", [0, 1, 2], [1, 1, 1], {"density": 0.7, "combine": "ties", "seed": 1, "scale": 0.5}),
    ("model_stock", [0, 1], [1, 1], {}),
    ("model_stock", [0, 1, 2], [1, 1, 1], {}),
    ("timber", [0], [1], {"tail": 0.2}),
    ("timber", [1], [1], {"tail": 0.0}),
    ("fisher", [0, 1, 2], [1, 2, 1], {"floor": 1e-8}),
    ("fisher", [0, 1], [1, 1], {"floor": 0.5}),
    ("regmean", [0, 1, 2], [1, 1, 1], {"off_diagonal": 0.9, "ridge": 0.0}),
    ("regmean", [0, 1], [1, 2], {"off_diagonal": 1.0, "ridge": 0.01}),
    ("mats", [0, 1, 2], [1, 1, 1], {"objective": "gram", "iterations": 4, "tolerance": 1e-5}),
    ("mats", [0, 1], [2, 1], {"objective": "gram", "iterations": 3, "tolerance": 1e-5, "off_diagonal": 0.9}),
    ("mats", [0, 1, 2], [1, 1, 1], {"objective": "fisher", "iterations": 5, "tolerance": 1e-5, "init": "task_arithmetic", "init_scale": 0.4}),
    ("mats", [0, 1], [1, 1], {"objective": "kfac", "iterations": 6, "tolerance": 1e-5, "init": "base"}),
]


def main():
    rng = np.random.default_rng(7)
    shapes = {"a.q_proj.weight": (6, 5), "wide.weight": (4, 9), "norm.weight": (7,)}

    def normal(shape, scale=1.0):
        return (rng.standard_normal(shape) * scale).astype(np.float32).astype(np.float64)

    def second_moment(n):
        x = rng.standard_normal((3 * n, n)) * rng.uniform(0.3, 2.0, n)
        return (x.T @ x / len(x)).astype(np.float32).astype(np.float64)

    base = {k: normal(s) for k, s in shapes.items()}
    common = {k: normal(s, 0.3) for k, s in shapes.items()}
    models = []
    for _ in range(3):
        m = {k: (base[k] + common[k] + normal(s, 0.4)).astype(np.float32).astype(np.float64) for k, s in shapes.items()}
        m["gram"] = {k: second_moment(s[1]) for k, s in shapes.items() if len(s) == 2}
        m["gradient_gram"] = {k: second_moment(s[0]) for k, s in shapes.items() if len(s) == 2}
        m["fisher"] = {k: np.square(normal(s)).astype(np.float32).astype(np.float64) for k, s in shapes.items()}
        models.append(m)

    def plain(tensors):
        return {k: [float(f"{x:.9g}") for x in v.ravel()] for k, v in tensors.items()}

    cases = []
    for method, which, weights, options in CASES:
        merged = METHODS[method](base, [models[i] for i in which], weights, options)
        cases.append({"method": method, "models": which, "weights": weights, "options": options, "expected": plain(merged)})
    out = {"shapes": {k: list(s) for k, s in shapes.items()}, "base": plain(base),
           "models": [{**plain({k: m[k] for k in shapes}), **{s: plain(m[s]) for s in ("gram", "gradient_gram", "fisher")}} for m in models],
           "cases": cases}
    with open(os.path.join(sys.argv[1], "merging.json"), "w") as f:
        f.write("{" + ",\n".join(f"{json.dumps(k)}: " + ("[\n" + ",\n".join(json.dumps(x) for x in v) + "\n]" if isinstance(v, list) else json.dumps(v))
                                 for k, v in out.items()) + "}\n")


if __name__ == "__main__":
    main()
