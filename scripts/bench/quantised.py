#!/usr/bin/env python3
"""Time and memory of LoRA training on quantised bases, Temper alone.

SFT on GSM8K's answers, 8 records a step, LoRA of rank 16 on all linears, compute in bf16, on the shape of
Qwen2.5-0.5B with random weights (made on first use); the base in bf16, int8 and nf4. Prints a table; times are medians
over steps without the first, memory is the process's largest resident set, beside the one that --plan predicts.

  scripts/bench/quantised.py [--threads 1] [--steps 6] [--rows none int8 nf4]
"""
import argparse
import datetime
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent))
from grpo import CACHE, HERE, ROOT, measure  # noqa: E402


def parse_args():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rows", nargs="+", default=["none", "int8", "nf4"], choices=["none", "int8", "nf4"])
    p.add_argument("--temper", type=Path, default=ROOT / "build/bin/temper-train")
    p.add_argument("--peer-python", type=Path, default=CACHE / "oracle-venv/bin/python")
    p.add_argument("--model", type=Path, default=CACHE / "bench/qwen0.5b")
    p.add_argument("--gsm8k", type=Path, default=ROOT.parent / "shared/data/gsm8k/train.jsonl")
    p.add_argument("--steps", type=int, default=6)
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--micro-batch-tokens", type=int, default=1024)
    p.add_argument("--lock", type=Path, help="file to lock (flock) while a process is measured")
    return p.parse_args()


def run(args, row, folder):
    out = folder / f"run-{row}"
    config = {
        "task": "sft",
        "threads": args.threads,
        "model": {"path": str(args.model), "dtype": "bf16", "quantise": row},
        "adapter": {"kind": "lora", "rank": 16, "alpha": 32},
        "data": {"train": [str(folder / "train.jsonl")], "order": "sequential"},
        "optimizer": {"name": "adamw", "lr": 1e-4},
        "schedule": {"name": "constant"},
        "train": {"steps": args.steps, "batch_size": 8, "micro_batch_tokens": args.micro_batch_tokens},
        "checkpoint": {"every": 0},
        "samples_logged": 0,
        "run": str(out),
    }
    path = folder / f"{row}.json"
    path.write_text(json.dumps(config, indent=1))
    plan = json.loads(subprocess.run([args.temper, path, "--plan"], check=True, capture_output=True, text=True).stdout)
    _, peak = measure([args.temper, path], args.lock)
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    times = [r["time"] for r in rows if "seconds" in r.get("time", {})]
    return {
        "seconds": statistics.median(t["seconds"] for t in times[1:]),
        "rate": statistics.median(t["tokens_per_s"] for t in times[1:]),
        "peak": peak,
        "weights": plan["memory"]["weights_bytes"],
        "planned": plan["memory"]["peak_bytes"],
        "all": [t["seconds"] for t in times],
    }


def main():
    args = parse_args()
    if not (args.model / "model.safetensors").exists():
        args.model.mkdir(parents=True, exist_ok=True)
        subprocess.run([args.peer_python, HERE / "make_model.py", args.gsm8k, args.model, "qwen2.5-0.5b"], check=True)
    table = []
    with tempfile.TemporaryDirectory(prefix="temper-bench-") as name:
        folder = Path(name).resolve()
        with open(args.gsm8k) as lines, open(folder / "train.jsonl", "w") as out:
            for _, line in zip(range(8 * args.steps), lines):
                record = json.loads(line)
                out.write(json.dumps({"prompt": record["question"] + "\n", "completion": record["answer"]}) + "\n")
        for row in args.rows:
            r = run(args, row, folder)
            base = "bf16" if row == "none" else row
            print(f"{base}: steps {', '.join(f'{s:.2f}' for s in r['all'])} s", file=sys.stderr, flush=True)
            table.append(f"| {base} | {r['seconds']:.2f} | {r['rate']:.0f} | {r['weights'] / 1e9:.2f} | "
                         f"{r['peak'] / 1e9:.2f} | {r['planned'] / 1e9:.2f} |")
    print(f"{datetime.date.today()}, {args.threads} threads, micro-batches of {args.micro_batch_tokens} tokens\n")
    print("| base | s/step | tokens/s | weights GB | peak GB | planned GB |")
    print("|---|---|---|---|---|---|")
    print("\n".join(table))


main()
