#!/usr/bin/env python3
"""The loss of held-out examples beside transformers, whose models take labels and give the mean over those that are not -100.

  python scripts/oracles/eval_loss.py --golden tests/train/golden/losses.json       # torch 2.11.0, transformers 5.23.0
      Random examples of a tiny model of tests/model/golden, some of their tokens targets: the loss of each and of all, by the model in fp64.

  python scripts/oracles/eval_loss.py FOLDER FILE.jsonl [--eval build/bin/temper-eval] [--adapter DIR]
      temper-eval --loss on texts, or prompts and completions, beside transformers in fp32; fails when loss or tokens differ.
"""
import argparse
import json
import random
import subprocess
import sys
from pathlib import Path

sys.path.pop(0)  # this folder has files named like packages (tokenizers.py)

import torch  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer  # noqa: E402

SOURCE = Path(__file__).resolve().parents[2]
TOLERANCE = 2e-5


def loss_of(model, ids, target):
    """Mean loss and number of the targets that something stands before, which transformers shifts to."""
    labels = torch.tensor([[i if t else -100 for i, t in zip(ids, target)]])
    count = sum(target[1:])
    if count == 0:
        return None, 0
    with torch.no_grad():
        return model(torch.tensor([ids]), labels=labels).loss.item(), count


def mean(losses):
    return sum(loss * n for loss, n in losses if n) / sum(n for _, n in losses)


def golden(path):
    folder = SOURCE / "tests" / "model" / "golden" / "llama3"
    model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float64).eval()
    rng, rows = random.Random(1), []
    for length in (2, 3, 9, 17, 40, 64, 5, 31):
        ids = [rng.randrange(8, model.config.vocab_size) for _ in range(length)]
        prompt = rng.randrange(length)
        target = [i >= prompt for i in range(length)]
        if length == 40:  # turns
            target = [i // 8 % 2 == 1 for i in range(length)]
        if length == 3:  # nothing but a first token, which nothing predicts
            target = [True, False, False]
        rows.append({"ids": ids, "target": target})
    losses = [loss_of(model, r["ids"], r["target"]) for r in rows]
    for row, (loss, count) in zip(rows, losses):
        row.update(loss=loss, tokens=count)
    text = ",\n".join(json.dumps(row) for row in rows)
    Path(path).write_text(f'{{"loss": {mean(losses)!r}, "examples": [\n{text}]}}\n')


def compare(args):
    tokenizer = AutoTokenizer.from_pretrained(args.folder)
    model = AutoModelForCausalLM.from_pretrained(args.folder, dtype=torch.float32)
    if args.adapter:
        from peft import PeftModel

        model = PeftModel.from_pretrained(model, args.adapter)
    model.eval()
    losses = []
    for line in open(args.file, encoding="utf-8"):
        record = json.loads(line)
        prompt, answer = (record["prompt"], record["completion"]) if "prompt" in record else ("", record["text"])
        before = tokenizer(prompt).input_ids if prompt else []
        ids = tokenizer(prompt + answer).input_ids
        if before != ids[: len(before)]:  # a token reaches over the border: each on its own
            ids = before + tokenizer(answer, add_special_tokens=False).input_ids
        if ids[-1] != tokenizer.eos_token_id:
            ids.append(tokenizer.eos_token_id)
        losses.append(loss_of(model, ids, [i >= len(before) for i in range(len(ids))]))
    command = [args.eval, "--model", args.folder, "--loss", f"it={args.file}", "--dtype", "f32", "--quiet"]
    done = subprocess.run(command + (["--adapter", args.adapter] if args.adapter else []), capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(done.stderr)
    ours = json.loads(done.stdout)["figures"]["loss/it"]
    theirs, tokens = mean(losses), sum(n for _, n in losses)
    print(f"loss: temper {ours['value']:.7f}, transformers {theirs:.7f}; tokens: {ours['tokens']} and {tokens}")
    sys.exit(0 if ours["tokens"] == tokens and abs(ours["value"] - theirs) < TOLERANCE else 1)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folder", nargs="?")
    p.add_argument("file", nargs="?")
    p.add_argument("--golden")
    p.add_argument("--adapter")
    p.add_argument("--eval", default="build/bin/temper-eval")
    args = p.parse_args()
    if args.golden:
        golden(args.golden)
    elif args.file:
        compare(args)
    else:
        p.error("expected a folder and a file, or --golden")


if __name__ == "__main__":
    main()
