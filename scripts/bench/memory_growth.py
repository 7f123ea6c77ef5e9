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
import statistics
import subprocess
import tempfile
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]


def texts(count, seed):
    rng = random.Random(seed)
    words = [line.split() for line in open(ROOT / "data/arithmetic/train.jsonl")]
    for _ in range(count):
        length = int(5 * 140 ** rng.random())  # as many short ones as long ones
        out = []
        while len(out) < length:
            out += rng.choice(words)
        yield {"text": " ".join(out[:length])}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--steps", type=int, default=1000)
    p.add_argument("--threads", type=int, default=2)
    p.add_argument("--conf", action="append")
    args = p.parse_args()
    for conf in args.conf or [""]:
        with tempfile.TemporaryDirectory() as work:
            work = Path(work)
            (work / "train.jsonl").write_text("".join(json.dumps(t) + "\n" for t in texts(4000, 1)))
            (work / "config.json").write_text(json.dumps({
                "task": "sft", "threads": args.threads,
                "model": {"init": {"family": "llama", "vocab": 1000, "hidden": 512, "intermediate": 1408, "layers": 6, "heads": 8,
                                   "kv_heads": 4, "max_positions": 2048}},
                "data": {"train": ["train.jsonl"], "max_tokens": 700},
                "optimizer": {"name": "adamw", "lr": 1e-4},
                "train": {"steps": args.steps, "batch_size": 4, "micro_batch_tokens": 1024},
                "eval": {"every": 0}, "checkpoint": {"every": 0}, "run": "run"}))  # fmt: skip
            env = {k: v for k, v in os.environ.items() if k != "MALLOC_CONF"}
            if conf:
                env["MALLOC_CONF"] = conf
            done = subprocess.run([Path(os.environ.get("TEMPER_BIN", ROOT / "build/bin")) / "temper-train", work / "config.json", "--quiet"], env=env, cwd=work)
            if done.returncode != 0:
                raise SystemExit(done.returncode)
            rows = [r for r in map(json.loads, open(work / "run/metrics.jsonl")) if r["split"] == "train"]
        peaks = [rows[i - 1]["time"]["memory_gb"] for i in range(100, len(rows) + 1, 100)]
        seconds = [r["time"]["seconds"] for r in rows[10:]]
        tokens = statistics.median(r["time"]["tokens_per_s"] for r in rows[10:])
        print(f"{conf or 'as the programs set it'}: {sum(seconds):.1f} s, {tokens:.0f} tokens/s, peak GB every 100 steps: "
              + " ".join(f"{p:.3f}" for p in peaks), flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
