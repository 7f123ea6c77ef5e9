#!/usr/bin/env python3
"""Time and memory of one distillation step, Temper beside TRL's GKDTrainer on the same machine in the same sitting.

Student and teacher have the shape of SmolLM2-135M with random weights (made on first use); 8 question-and-answer pairs of GSM8K a
step, stored completions (lmbda 0), beta 0.5, full training, AdamW. Prints a table; times are medians over steps without the first,
memory is the process's largest resident set.

  scripts/bench/distill.py                     both dtypes, Temper and TRL
  scripts/bench/distill.py --rows bf16 --no-peer
"""
import argparse
import json
import re
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import CACHE, HERE, ROOT, measure


def run_temper(args, dtype, folder):
    run, path = folder / f"temper-{dtype}", folder / f"temper-{dtype}.json"
    path.write_text(json.dumps({
        "task": "distill", "model": {"path": str(args.model), "dtype": dtype}, "teachers": [{"path": str(args.model)}],
        "data": {"train": [str(folder / "data.jsonl")], "order": "sequential", "max_tokens": 1024},
        "algorithm": {"name": "gjsd", "beta": 0.5}, "optimizer": {"name": "adamw", "lr": 1e-5, "clip_norm": 1.0},
        "schedule": {"name": "constant"}, "checkpoint": {"every": 0}, "run": str(run),
        "train": {"steps": args.steps, "batch_size": args.batch, "micro_batch_tokens": args.micro_batch_tokens}}))
    sets = [word for s in args.set for word in ("--set", s)]
    _, peak = measure([args.temper, path, *sets], args.lock)
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [r["time"]["seconds"] for r in rows]
    return {"seconds": statistics.median(steps[1:]), "peak": peak, "all": steps}


def run_trl(args, dtype, folder):
    output, peak = measure([args.peer_python, HERE / "peers/trl_gkd.py", folder, args.model, args.model, dtype, args.steps, args.batch], args.lock)
    lines = [json.loads(line) for line in output.splitlines() if re.match(r'\{"', line)]
    steps = [line["seconds"] for line in lines if "seconds" in line]
    return {"seconds": statistics.median(steps[1:]), "peak": peak, "all": steps}


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rows", nargs="+", default=["bf16", "f32"], choices=["bf16", "f32"])
    p.add_argument("--no-peer", action="store_true", help="Temper alone")
    p.add_argument("--temper", type=Path, default=ROOT / "build/bin/temper-train")
    p.add_argument("--peer-python", type=Path, default=CACHE / "oracle-venv/bin/python")
    p.add_argument("--model", type=Path, default=CACHE / "bench/m135")
    p.add_argument("--gsm8k", type=Path, default=ROOT.parent / "shared/data/gsm8k/train.jsonl")
    p.add_argument("--steps", type=int, default=4)
    p.add_argument("--batch", type=int, default=8)
    p.add_argument("--micro-batch-tokens", type=int, default=4096)
    p.add_argument("--set", action="append", default=[], help="further --set of temper-train")
    p.add_argument("--lock", type=Path, help="file to lock (flock) while a process is measured")
    args = p.parse_args()
    if not (args.model / "model.safetensors").exists():
        args.model.mkdir(parents=True, exist_ok=True)
        subprocess.run([args.peer_python, HERE / "peers/make_model.py", args.gsm8k, args.model], check=True)
    with tempfile.TemporaryDirectory(prefix="temper-bench-") as name:
        folder = Path(name)
        with open(args.gsm8k) as lines, open(folder / "data.jsonl", "w") as out:
            for _, line in zip(range(64), lines):
                row = json.loads(line)
                out.write(json.dumps({"prompt": row["question"] + "\n", "completion": row["answer"]}) + "\n")
        print(f"{'dtype':6}{'Temper':>10}{'TRL':>10}{'ratio':>8}{'Temper':>11}{'TRL':>10}")
        for dtype in args.rows:
            ours = run_temper(args, dtype, folder)
            print(f"{dtype:6}{ours['seconds']:8.2f} s", end="")
            if args.no_peer:
                print(f"{ours['peak'] / 1e9:8.2f} GB  steps {[round(s, 2) for s in ours['all']]}")
                continue
            theirs = run_trl(args, dtype, folder)
            print(f"{theirs['seconds']:8.2f} s{theirs['seconds'] / ours['seconds']:7.2f}x"
                  f"{ours['peak'] / 1e9:8.2f} GB{theirs['peak'] / 1e9:7.2f} GB")
            sys.stdout.flush()


if __name__ == "__main__":
    main()
