"""Golden tests/reward/golden/transforms.json: transforms of rewards in float64, by scipy's own functions where it has them
(zscore, percentileofscore, log_expit, expit), else by the papers' formulas.

Each case: "transforms" as in a config, "values" of a batch (null: could not tell), "reference": rewards of the reference
model's answers to each value's prompt, "others": what other rewards said, "columns" of each value's record, "expected".

  pip install numpy scipy
  python scripts/oracles/reward_transforms.py
"""

import json
from pathlib import Path

import numpy as np
from scipy import special, stats

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "reward" / "golden" / "transforms.json"


def known(values):
    return np.array([v for v in values if v is not None], dtype=np.float64)


def on_known(values, results):
    """The results in the places of the values that are there."""
    results = iter(results)
    return [None if v is None else float(next(results)) for v in values]


def clip(o, case):
    low, high = o.get("low", -np.inf), o.get("high", np.inf)
    case["values"] = on_known(case["values"], np.clip(known(case["values"]), low, high))
    case["reference"] = [list(np.clip(r, low, high)) for r in case["reference"]]


def scale(o, case):
    f, b = o.get("factor", 1.0), o.get("offset", 0.0)
    case["values"] = on_known(case["values"], f * known(case["values"]) + b)
    case["reference"] = [list(f * np.array(r) + b) for r in case["reference"]]


def exp(o, case):  # InfAlign: sign(t) exp(t c)
    t = o.get("t", 10.0)
    case["values"] = on_known(case["values"], np.sign(t) * np.exp(t * known(case["values"])))
    case["reference"] = [list(np.sign(t) * np.exp(t * np.array(r))) for r in case["reference"]]


def z_score(o, case):
    values, eps = known(case["values"]), o.get("eps", 1e-6)
    spread = np.std(values, ddof=1 if o.get("std") == "sample" else 0)
    if eps == 0:
        out = stats.zscore(values, ddof=1 if o.get("std") == "sample" else 0)
    else:
        out = (values - values.mean()) / (spread + eps)
    case["values"] = on_known(case["values"], out)


def quantile(o, case):
    values = known(case["values"])
    case["values"] = on_known(case["values"], [stats.percentileofscore(values, v, kind="mean") / 100 for v in values])


def references(o, case, default_samples):
    kind = o.get("reference", "samples")
    if kind == "samples":
        return [r[:o.get("samples", default_samples)] for r in case["reference"]]
    return [np.atleast_1d(c[o.get("column", "reference_scores")]) for c in case["columns"]]


def log_sigmoid(o, case):  # LSC: log sigma(r - r_ref)
    out = []
    if o.get("reference") == "constant":
        bases = [np.array([o.get("constant", 0.0)])] * len(case["values"])
    else:
        bases = references(o, case, 8)
    for value, base in zip(case["values"], bases):
        if value is None or len(base) == 0:
            out.append(None)
            continue
        r_ref = np.mean(base) + o.get("deviations", 1.0364) * np.std(base)
        out.append(float(special.log_expit(value - r_ref)))
    case["values"] = out


def calibrate(o, case):  # InfAlign: the empirical distribution function of the reference rewards
    out = []
    for value, base in zip(case["values"], references(o, case, 16)):
        if value is None or len(base) == 0:
            out.append(None)
        else:
            out.append(float(stats.ecdf(base).cdf.evaluate(value)))
    case["values"] = out


def shape(o, case):  # Qwen2.5-Math: sigma(alpha r_m) + (r_v - 1)
    out = []
    for value, verdict in zip(case["values"], case["others"][o["verifier"]]):
        if value is None or verdict is None:
            out.append(None)
            continue
        right = verdict > o.get("correct_above", 0.5)
        out.append(float(special.expit(o.get("alpha", 0.5) * value) + (1.0 if right else 0.0) - 1.0))
    case["values"] = out


def uncertainty(o, case):  # r exp(-scale |r - r'|)
    out = []
    for value, other in zip(case["values"], case["others"][o["second"]]):
        out.append(None if value is None or other is None else float(value * np.exp(-o.get("scale", 1.0) * abs(value - other))))
    case["values"] = out


KINDS = {f.__name__: f for f in [clip, scale, exp, z_score, quantile, log_sigmoid, calibrate, shape, uncertainty]}


def main():
    rng = np.random.default_rng(1)

    def numbers(n, spread=2.0):
        return [round(float(x), 3) for x in rng.normal(0, spread, n)]

    def batch(n=9, samples=20):
        values = numbers(n)
        values[2] = None
        values[5] = values[1]  # equal ones
        verdicts = [float(x) for x in rng.integers(0, 2, n)]
        verdicts[7] = None
        reference = [numbers(int(k)) for k in rng.integers(1, samples, n)]
        reference[4] = []  # none of them had a score
        reference[1][0] = values[1]  # as good
        return {"values": values, "reference": reference,
                "others": {"math": verdicts, "second": [None if i == 3 else x for i, x in enumerate(numbers(n))]},
                "columns": [{"reference_scores": numbers(5), "r": round(float(rng.normal()), 3)} for _ in range(n)]}

    chains = [
        [{"kind": "clip", "low": -1.0, "high": 0.75}], [{"kind": "clip", "low": 0.5}], [{"kind": "clip", "high": -0.5}],
        [{"kind": "scale", "factor": -2.5, "offset": 0.125}], [{"kind": "exp", "t": 1.5}], [{"kind": "exp", "t": -0.5}],
        [{"kind": "z_score"}], [{"kind": "z_score", "std": "sample", "eps": 0.25}], [{"kind": "z_score", "eps": 0.0}],
        [{"kind": "z_score", "std": "sample", "eps": 0.0}], [{"kind": "quantile"}],
        [{"kind": "log_sigmoid"}], [{"kind": "log_sigmoid", "samples": 3, "deviations": 0.5}],
        [{"kind": "log_sigmoid", "reference": "constant", "constant": 1.25}],
        [{"kind": "log_sigmoid", "reference": "column"}], [{"kind": "log_sigmoid", "reference": "column", "column": "r"}],
        [{"kind": "calibrate"}], [{"kind": "calibrate", "samples": 4}], [{"kind": "calibrate", "reference": "column"}],
        [{"kind": "calibrate"}, {"kind": "exp", "t": 10.0}], [{"kind": "calibrate"}, {"kind": "exp", "t": -10.0}],
        [{"kind": "scale", "factor": -1.0}, {"kind": "clip", "low": -1.5}, {"kind": "calibrate"}],
        [{"kind": "scale", "factor": 0.5}, {"kind": "log_sigmoid"}, {"kind": "z_score"}],
        [{"kind": "shape", "verifier": "math"}], [{"kind": "shape", "verifier": "math", "alpha": 2.0}],
        [{"kind": "shape", "verifier": "second", "correct_above": -0.5}],
        [{"kind": "shape", "verifier": "math"}, {"kind": "quantile"}, {"kind": "scale", "factor": 2.0, "offset": -1.0}],
        [{"kind": "uncertainty", "second": "second"}], [{"kind": "uncertainty", "second": "second", "scale": 0.25}],
        [{"kind": "quantile"}, {"kind": "uncertainty", "second": "second"}],
    ]
    cases = []
    for chain in chains:
        given = batch()
        working = json.loads(json.dumps(given))
        for options in chain:
            KINDS[options["kind"]](options, working)
        names = {o.get("verifier", o.get("second", "")) for o in chain}
        given["others"] = {k: v for k, v in given["others"].items() if k in names}
        if not any(o["kind"] in ("calibrate", "log_sigmoid") and o.get("reference", "samples") == "samples" for o in chain):
            given["reference"] = []
        if not any(o.get("reference") == "column" for o in chain):
            given["columns"] = []
        cases.append({"transforms": chain, **given, "expected": working["values"]})
    GOLDEN.write_text("[\n" + ",\n".join(json.dumps(c) for c in cases) + "\n]\n")


if __name__ == "__main__":
    main()
