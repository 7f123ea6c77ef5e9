#!/usr/bin/env python3
"""Trains the quickstart's supervised task three times at equal steps - every weight, LoRA and LISA - and draws training loss and
held-out accuracy as one small SVG.

  scripts/bench/lisa_curve.py --out configs/sft/lisa.svg [--work FOLDER]
  scripts/bench/lisa_curve.py --out FILE.svg --model models/smollm2 --gsm8k GSM8K/train.jsonl [--steps 40] [--threads 2]

The second form: a trained model on GSM8K's questions and solutions, held-out loss instead of accuracy, each with a learning
rate of its own (full 1e-4, LISA 3e-4, LoRA 1e-3: the best of those tried, README.md), LISA with 4 of the blocks, drawn anew
every 10 updates, its state dropped.

The first: from random weights, one thread each, the learning rate of the quickstart for all three. LoRA on random frozen weights, its
embedding and head frozen too, is far from what it is for; it stands here as a mark.
"""
import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path

from curve import COLOURS, Drawing, smooth

ROOT = Path(__file__).resolve().parents[2]
RUNS = {
    "full": ["adapter.kind=full"],
    "LISA, 2 of 6 blocks": [],
    "LoRA, rank 16": ['adapter={"kind": "lora", "rank": 16, "alpha": 32}'],
}
MODEL_RUNS = {
    "full": ["adapter.kind=full", "optimizer.lr=1e-4"],
    "LISA, 4 blocks": ['adapter={"kind": "lisa", "blocks": 4, "every": 10, "state": "drop"}', "optimizer.lr=3e-4"],
    "LoRA, rank 16": ['adapter={"kind": "lora", "rank": 16, "alpha": 32}', "optimizer.lr=1e-3"],
}


def gsm8k_config(args, work):
    """A config for the model on GSM8K, whose last 64 questions are held out."""
    lines = [json.loads(line) for line in open(args.gsm8k)]
    chats = [{"messages": [{"role": "user", "content": r["question"]}, {"role": "assistant", "content": r["answer"]}]} for r in lines]
    for name, part in (("train", chats[:-64]), ("eval", chats[-64:])):
        (work / f"{name}.jsonl").write_text("".join(json.dumps(c) + "\n" for c in part))
    config = {
        "task": "sft", "threads": args.threads, "model": {"path": str(args.model.resolve())},
        "data": {"train": ["train.jsonl"], "eval": ["eval.jsonl"], "max_tokens": 320},
        "optimizer": {"name": "adamw"}, "schedule": {"name": "cosine", "warmup": 0.1},
        "train": {"steps": args.steps, "batch_size": 8, "micro_batch_tokens": 1024},
        "eval": {"every": args.steps // 4}, "checkpoint": {"every": 0}, "run": "unset",
    }  # fmt: skip
    (work / "config.json").write_text(json.dumps(config))
    return work / "config.json"


def train(name, sets, folder, config=None, threads=1):
    config = config or ROOT / "configs/sft" / ("lisa.json" if name.startswith("LISA") else "quickstart.json")
    binary = Path(os.environ.get("TEMPER_BIN", ROOT / "build/bin")) / "temper-train"
    command = [binary, config, "--run", folder, "--quiet", "--set", f"threads={threads}"]
    if config.parent == ROOT / "configs/sft":
        command += ["--set", "eval.every=30"]
    for one in sets:
        command += ["--set", one]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": str(threads)})
    rows = [json.loads(line) for line in open(folder / "metrics.jsonl")]
    return {split: [row for row in rows if row["split"] == split] for split in ("train", "eval")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path)
    parser.add_argument("--model", type=Path)
    parser.add_argument("--gsm8k", type=Path)
    parser.add_argument("--steps", type=int, default=40)
    parser.add_argument("--threads", type=int, default=1)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = args.work or Path(temporary)
        work.mkdir(parents=True, exist_ok=True)
        config = gsm8k_config(args, work) if args.model else None
        kinds = MODEL_RUNS if args.model else RUNS
        runs = {name: train(name, sets, work / str(i), config, args.threads) for i, (name, sets) in enumerate(kinds.items())}
    for name, rows in runs.items():
        last, evals = rows["train"][-1], rows["eval"]
        held_out = [f"loss {r['loss']:.4f}@{r['step']}" if args.model else f"accuracy {100 * r['accuracy']:.1f}%@{r['step']}" for r in evals]
        seconds = sorted(r["time"]["seconds"] for r in rows["train"])[len(rows["train"]) // 2]
        print(f"{name:<20} loss {smooth([r['loss'] for r in rows['train']])[-1]:.3f}  held-out {' '.join(held_out)}  peak "
              f"{last['time']['memory_gb']:.2f} GB  {seconds:.1f} s a step")
    steps = max(row["step"] for rows in runs.values() for row in rows["train"])
    highest = max(row["loss"] for rows in runs.values() for row in rows["train"])
    title = f"GSM8K, {args.model.name}" if args.model else "Quickstart, supervised, from random weights"
    levels = [(q / 4, f"{highest * q / 4:.1f}", "" if args.model else f"{25 * q} %") for q in range(5)]
    drawing = Drawing(title, steps, levels, legend=40)
    for i, (name, rows) in enumerate(runs.items()):
        losses = smooth([row["loss"] for row in rows["train"]])
        drawing.line([row["step"] for row in rows["train"]], [loss / highest for loss in losses], COLOURS[i], 1)
        for row in rows["eval"]:
            drawing.dot(row["step"], row["loss"] / highest if args.model else row["accuracy"], COLOURS[i], 3 * (i - 1))
        drawing.name(name, COLOURS[i])
    dots = ("dots: held-out loss",) if args.model else ("dots: held-out accuracy", "at temperature 1, right")
    drawing.write(args.out, ("lines: training loss,", "left axis", *dots))


if __name__ == "__main__":
    main()
