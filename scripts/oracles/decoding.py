"""Decoding that is not plain sampling, for tests/rollout/golden/decoding.json: mirostat's choices, beam search as
transformers' generate does it, contrastive search after its paper.

Run with the oracle environment: python scripts/oracles/decoding.py
"""
import json
import math
import os
import random

import numpy as np
import torch
from transformers import AutoModelForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "../../tests/rollout/golden/decoding.json")
MODEL = os.path.join(HERE, "../../tests/model/golden/llama3")


def mirostat_cases():
    """The authors' loop (github.com/basusourya/mirostat) in fp64; the draw is by inverse CDF over ascending ids."""
    rng = np.random.default_rng(5)
    cases = []
    for vocab, scale, tau, lr, temperature in [(300, 2.5, 3.0, 1.0, 1.0), (300, 1.0, 5.0, 0.3, 1.0), (40, 2.0, 2.0, 1.0, 0.7),
                                               (300, 4.0, 1.0, 0.5, 1.3), (3, 1.0, 1.0, 1.0, 1.0)]:
        mu, steps = 2 * tau, []
        for _ in range(25):
            logits = np.round(rng.normal(size=vocab) * scale, 3)
            uniform = round(float(rng.random()), 6)
            x = logits / temperature
            p = np.exp(x - x.max())
            p /= p.sum()
            order = np.argsort(-p, kind="stable")
            top = p[order]
            num = den = 0.0
            for i in range(min(100, vocab - 1)):
                t = math.log((i + 2) / (i + 1))
                num += t * math.log(top[i] / top[i + 1])
                den += t * t
            s = num / den
            e = s - 1
            k = min(vocab, round((e * 2**mu / (1 - vocab**-e)) ** (1 / s)) + 1)
            kept = np.sort(order[:k])
            q = p[kept] / p[kept].sum()
            at = int(np.searchsorted(np.cumsum(q), uniform, side="right"))
            margin = float(np.min(np.abs(np.cumsum(q)[:-1] - uniform))) if k > 1 else 1.0
            assert margin > 1e-6, "a draw too near a border for fp32"
            token = int(kept[at])
            surprise = -math.log2(p[token])
            mu -= lr * (surprise - tau)
            steps.append({"logits": logits.tolist(), "uniform": uniform, "k": k, "id": token, "logp": math.log(q[at]),
                          "logp_full": math.log(p[token]), "mu": mu})
        cases.append({"tau": tau, "lr": lr, "temperature": temperature, "steps": steps})
    return cases


def prompts():
    rows = random.Random(3)
    return [[rows.randrange(10, 120) for _ in range(n)] for n in (1, 4, 9, 30, 70)]


def beam_cases(model):
    cases = []
    for prompt in prompts():
        for options in [{"beams": 1}, {"beams": 2}, {"beams": 4}, {"beams": 4, "length_penalty": 0.0}, {"beams": 3, "length_penalty": 2.0},
                        {"beams": 4, "early_stopping": "true"}, {"beams": 5, "early_stopping": "never", "length_penalty": 0.5},
                        {"beams": 4, "early_stopping": "never", "length_penalty": -1.0}, {"beams": 4, "ends": [2, 7, 30, 31, 32, 33]},
                        {"beams": 3, "ends": [2, 7, 30, 31, 32, 33], "min_new_tokens": 5, "early_stopping": "true"}]:
            ends = options.get("ends", [2, 7])
            stopping = {"true": True, "false": False, "never": "never"}[options.get("early_stopping", "false")]
            beams = options["beams"]
            if beams == 1:  # transformers takes greedy search for one beam
                kwargs = {}
            else:
                kwargs = {"num_return_sequences": beams, "length_penalty": options.get("length_penalty", 1.0),
                          "early_stopping": stopping}
            out = model.generate(torch.tensor([prompt]), attention_mask=torch.ones(1, len(prompt), dtype=torch.long),
                                 max_new_tokens=12, min_new_tokens=options.get("min_new_tokens", 0) or None, num_beams=beams,
                                 do_sample=False, eos_token_id=ends, pad_token_id=0, return_dict_in_generate=True,
                                 output_scores=True, **kwargs)
            found = []
            for i, row in enumerate(out.sequences.tolist()):
                ids = row[len(prompt):]
                for j, token in enumerate(ids):
                    if token in ends:
                        ids = ids[:j + 1]
                        break
                found.append({"ids": ids, "score": out.sequences_scores[i].item() if beams > 1 else None})
            cases.append({"prompt": prompt, "options": {k: v for k, v in options.items() if k not in ("ends", "min_new_tokens")},
                          "ends": ends, "min_new_tokens": options.get("min_new_tokens", 0), "found": found})
    return cases


def contrastive_cases(model):
    """arXiv 2202.06417, equation 5, the whole text anew for every candidate."""
    cases = []
    for prompt in prompts():
        for top_k, alpha in [(4, 0.6), (1, 0.6), (8, 0.0), (10, 0.9), (5, 1.0)]:
            ids, ends = list(prompt), [2, 7]
            for _ in range(20):
                with torch.no_grad():
                    out = model(torch.tensor([ids]), output_hidden_states=True)
                    p = torch.softmax(out.logits[0, -1], -1)
                    top = torch.topk(p, top_k)
                    scores = []
                    for probability, v in zip(top.values.tolist(), top.indices.tolist()):
                        h = model(torch.tensor([ids + [v]]), output_hidden_states=True).hidden_states[-1][0].double()
                        cosine = torch.nn.functional.cosine_similarity(h[-1:], h[:-1], dim=-1)
                        scores.append((1 - alpha) * probability - alpha * cosine.max().item())
                order = sorted(scores, reverse=True)
                assert len(order) == 1 or order[0] - order[1] > 1e-6, "too near for fp32"
                ids.append(top.indices.tolist()[scores.index(order[0])])
                if ids[-1] in ends:
                    break
            cases.append({"prompt": prompt, "top_k": top_k, "alpha": alpha, "ids": ids[len(prompt):]})
    return cases


def main():
    torch.set_num_threads(1)
    model = AutoModelForCausalLM.from_pretrained(MODEL, dtype=torch.float32).eval()
    data = {"mirostat": mirostat_cases(), "beam": beam_cases(model), "contrastive": contrastive_cases(model)}
    with open(OUT, "w") as f:
        f.write(json.dumps(data, separators=(",", ":")))
    print({k: len(v) for k, v in data.items()}, os.path.getsize(OUT), "bytes")


if __name__ == "__main__":
    main()
