"""Goldens of multiple choice by log-prob: transformers in float64 on a tiny model of tests/model/golden, a token a byte, by the rules of
EleutherAI's language model evaluation harness (lm_eval/api/task.py, process_results of multiple_choice): context + " " + choice, the
log-probs of what is behind the context; acc, acc_norm (per character), acc_bytes, and acc_mutual_info with "Answer:" as the context of
the unconditional ones. Written to tests/eval/golden/choices.json.

  python scripts/oracles/choices.py       # torch 2.11.0, transformers 5.23.0
"""

import json
import sys
from pathlib import Path

sys.path.pop(0)  # this folder has files named like packages

import numpy as np  # noqa: E402
import torch  # noqa: E402
from transformers import AutoModelForCausalLM  # noqa: E402

SOURCE = Path(__file__).resolve().parents[2]


def ids(text):
    return [8 + b % 112 for b in text.encode()]


def log_likelihood(model, context, continuation):
    """As the harness encodes a pair: spaces at the context's end go to the continuation."""
    spaces = len(context) - len(context.rstrip())
    if spaces:
        continuation, context = context[-spaces:] + continuation, context[:-spaces]
    whole, first = ids(context + continuation), len(ids(context))
    with torch.no_grad():
        logp = model(torch.tensor([whole])).logits[0].log_softmax(-1)
    return sum(logp[t - 1, whole[t]].item() for t in range(first, len(whole))), len(whole) - first


def lettered(question, choices):
    return question.strip() + "\n" + "".join(f"{chr(65 + i)}. {c}\n" for i, c in enumerate(choices)) + "Answer:"


def main():
    model = AutoModelForCausalLM.from_pretrained(SOURCE / "tests" / "model" / "golden" / "llama3", dtype=torch.float64).eval()
    records = [
        {"prompt": "The capital of France is", "choices": ["Paris", "London town", "Rome"], "answer": 0},
        {"prompt": "listed", "question": "What is two and two?", "choices": ["four", "five", "twenty-two"], "answer": "A"},
        {"prompt": "ends in a space: ", "choices": ["yes", "yes indeed"], "answer": 1},
        {"prompt": "beyond ASCII", "choices": ["\u00e9\u00e8\u00ea", "eee", "\u4e2d\u6587"], "answer": 2},
        {"prompt": "same words", "choices": ["same", "same"], "answer": 0},
    ]
    rows = []
    for r in records:
        choices = r["choices"]
        text = f"Question: {r['question']}\nAnswer:" if "question" in r else r["prompt"]
        # The harness has a delimiter of one space; white space at the prompt's end takes its place here.
        delimiter = "" if text != text.rstrip() else " "
        logp, tokens = zip(*[log_likelihood(model, text, delimiter + c) for c in choices])
        prior = [log_likelihood(model, "Answer:", " " + c)[0] for c in choices]
        letter = [log_likelihood(model, lettered(r.get("question", r["prompt"]), choices), f" {chr(65 + i)}")[0] for i in range(len(choices))]
        lls = np.array(logp)
        picked = {
            "acc": lls,
            "acc_norm": lls / np.array([float(len(c)) for c in choices]),
            "acc_bytes": lls / np.array([float(len(c.encode())) for c in choices]),
            "acc_tokens": lls / np.array(tokens, float),
            "acc_mutual_info": lls - np.array(prior),
            "acc_letters": np.array(letter),
        }
        rows.append({"record": r, "logp": logp, "tokens": tokens, "prior": prior, "letter": letter,
                     "picked": {name: int(np.argmax(value)) for name, value in picked.items()}})
    text = ",\n".join(json.dumps(row) for row in rows)
    (SOURCE / "tests" / "eval" / "golden" / "choices.json").write_text(f"[\n{text}\n]\n")
    print([row["picked"] for row in rows])


if __name__ == "__main__":
    main()
