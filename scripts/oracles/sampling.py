"""Which tokens transformers' logits warpers leave, for tests/rollout/golden/sampling.json.

Run with the oracle environment: python scripts/oracles/sampling.py
"""
import json
import os

import torch
from transformers.generation import logits_process as lp

torch.manual_seed(7)
OUT = os.path.join(os.path.dirname(__file__), "../../tests/rollout/golden/sampling.json")
VOCAB = 200


def warp(scores, o):
    """Temper's order, each step by transformers' own class."""
    ids = torch.zeros((1, 0), dtype=torch.long)
    if "temperature" in o:
        scores = lp.TemperatureLogitsWarper(o["temperature"])(ids, scores)
    if "top_k" in o:
        scores = lp.TopKLogitsWarper(o["top_k"])(ids, scores)
    if "top_p" in o:
        scores = lp.TopPLogitsWarper(o["top_p"])(ids, scores)
    if "min_p" in o:
        scores = lp.MinPLogitsWarper(o["min_p"])(ids, scores)
    if "typical_p" in o:
        scores = lp.TypicalLogitsWarper(o["typical_p"])(ids, scores)
    if "epsilon_cutoff" in o:
        scores = lp.EpsilonLogitsWarper(o["epsilon_cutoff"])(ids, scores)
    if "eta_cutoff" in o:
        scores = lp.EtaLogitsWarper(o["eta_cutoff"])(ids, scores)
    return scores


OPTIONS = [
    {"top_k": 1}, {"top_k": 7}, {"top_k": 150}, {"top_k": 500},
    {"top_p": 0.05}, {"top_p": 0.5}, {"top_p": 0.9}, {"top_p": 0.999},
    {"min_p": 0.02}, {"min_p": 0.3}, {"min_p": 1.0},
    {"typical_p": 0.2}, {"typical_p": 0.9},
    {"epsilon_cutoff": 0.003}, {"epsilon_cutoff": 0.9},
    {"eta_cutoff": 0.003}, {"eta_cutoff": 0.05},
    {"temperature": 0.6, "top_k": 40, "top_p": 0.9},
    {"temperature": 1.7, "top_p": 0.8, "min_p": 0.05},
    {"temperature": 0.9, "top_k": 50, "typical_p": 0.7, "epsilon_cutoff": 0.01},
    {"temperature": 1.2, "top_k": 100, "top_p": 0.95, "min_p": 0.01, "typical_p": 0.9, "epsilon_cutoff": 0.002,
     "eta_cutoff": 0.004},
]

cases = []
for scale in (0.5, 2.0, 5.0):
    for options in OPTIONS:
        logits = torch.randn(1, VOCAB) * scale
        logits = (logits * 1000).round() / 1000  # short in the file; distinct enough to have no ties at a border
        out = warp(logits.clone(), options)
        logp = torch.log_softmax(out.double(), -1)[0]
        kept = torch.isfinite(out[0]).nonzero().flatten().tolist()
        cases.append({"logits": [round(x, 3) for x in logits[0].tolist()], "options": options, "kept": kept,
                      "logp": [round(logp[i].item(), 6) for i in kept]})

# Penalties: ids seen in prompt and output.
ids = torch.tensor([[3, 5, 5, 8, 13, 13, 13]])
logits = torch.randn(1, 20)
penalised = lp.RepetitionPenaltyLogitsProcessor(1.3)(ids, logits.clone())
data = {"truncation": cases,
        "repetition": {"penalty": 1.3, "seen": ids[0].tolist(), "logits": logits[0].tolist(),
                       "logp": torch.log_softmax(penalised.double(), -1)[0].tolist()}}
with open(OUT, "w") as f:
    f.write(json.dumps(data, separators=(",", ":")))
print(len(cases), "cases,", os.path.getsize(OUT), "bytes")
