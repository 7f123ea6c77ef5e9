#!/usr/bin/env python3
"""Whether memory grows with the number of batch shapes: supervised training of a 20M-parameter Llama on texts of 5 to 700
tokens, so that no two micro-batches are alike. Prints the peak so far every 100 steps, and how long steps take.

  scripts/bench/memory_growth.py [--steps 1000] [--conf MALLOC_CONF]... [--threads 2]

Each --conf is a run of its own with that setting of jemalloc in the environment ("" is what the programs set themselves).
"""
import argparse
import json
import os
import random
import shutil
import statistics
import tempfile
from pathlib import Path

from measuring import ROOT, measured


def texts(count, seed):
    rng = random.Random(seed)
    words = [line.split() for line in open(ROOT / "data/arithmetic/train.jsonl")]
    for _ in range(count):
        length = int(5 * 140 ** rng.random())  # as many short ones as long ones
        out = []
        while len(out) < length:
            out += rng.choice(words)
        yield {"text": " ".join(out[:length])}


def run(bin, work, steps, threads, conf=""):
    """Of a run of so many steps: its peak so far in GB after each, seconds and tokens a second of each after the tenth."""
    (work / "train.jsonl").write_text("".join(json.dumps(t) + "\n" for t in texts(4000, 1)))
    (work / "config.json").write_text(json.dumps({
        "task": "sft", "threads": threads,
        "model": {"init": {"family": "llama", "vocab": 1000, "hidden": 512, "intermediate": 1408, "layers": 6, "heads": 8,
                           "kv_heads": 4, "max_positions": 2048}},
        "data": {"train": ["train.jsonl"], "max_tokens": 700},
        "optimizer": {"name": "adamw", "lr": 1e-4},
        "train": {"steps": steps, "batch_size": 4, "micro_batch_tokens": 1024},
        "eval": {"every": 0}, "checkpoint": {"every": 0}, "run": "grown"}))  # fmt: skip
    shutil.rmtree(work / "grown", ignore_errors=True)
    measured([bin / "temper-train", work / "config.json", "--quiet"], env={"MALLOC_CONF": conf} if conf else {}, cwd=work)
    times = [r["time"] for r in map(json.loads, open(work / "grown/metrics.jsonl")) if r["split"] == "train"]
    return {"peaks": [t["memory_gb"] for t in times], "seconds": [t["seconds"] for t in times[10:] or times],
            "tokens_per_s": [t["tokens_per_s"] for t in times[10:] or times]}  # fmt: skip


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--steps", type=int, default=1000)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--conf", action="append")
    args = p.parse_args()
    for conf in args.conf or [""]:
        with tempfile.TemporaryDirectory() as work:
            done = run(Path(os.environ.get("TEMPER_BIN", ROOT / "build/bin")).resolve(), Path(work), args.steps, args.threads, conf)
        print(f"{conf or 'as the programs set it'}: {sum(done['seconds']):.1f} s, {statistics.median(done['tokens_per_s']):.0f} tokens/s, "
              "peak GB every 100 steps: " + " ".join(f"{p:.3f}" for p in done["peaks"][99::100]), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
