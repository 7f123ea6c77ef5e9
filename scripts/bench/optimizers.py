#!/usr/bin/env python3
"""Time of one optimizer step of Temper and of the peers' implementations, and the memory of their states.

28 million fp32 numbers in the shapes of a llama: 6 blocks of SmolLM2-135M's, a tied embedding of 12,000 x 576. Temper's times
are `optimizer_s` of metrics.jsonl (clipping not counted), the peers' are those of step() on made-up gradients, foreach and fused
where the peer offers it. Means over steps without the first two, of which SOAP's first begins its statistics; its refresh of
every tenth step is in the mean. Both sides in the same sitting, one after the other.

  scripts/bench/optimizers.py [--threads 1] [--steps 12] [--rows adamw soap ...]
"""
import argparse
import datetime
import json
import os
import subprocess
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parents[1]
CACHE = Path.home() / ".cache/temper"
ROWS = {
    "sgd": {"momentum": 0.9},
    "adamw": {},
    "adamw8bit": {},
    "lion": {},
    "ademamix": {},
    "adafactor": {},
    "muon": {},
    "soap": {},
}


def temper(args, name, folder):
    data = folder / "train.jsonl"
    data.write_text('{"prompt": "1 + 1 =", "completion": " 2"}\n')
    config = {
        "task": "sft",
        "threads": args.threads,
        "model": {"dtype": "f32", "init": {"tokenizer": str(args.tokenizer), "hidden": 576, "intermediate": 1536, "layers": 6, "heads": 9,
                                           "kv_heads": 3, "max_positions": 128}},
        "data": {"train": [str(data)]},
        "optimizer": {"name": name, "lr": 1e-4, **ROWS[name]},
        "schedule": {"name": "constant"},
        "train": {"steps": args.steps, "batch_size": 1},
        "checkpoint": {"every": 0},
        "run": str(folder / name),
    }  # fmt: skip
    path = folder / f"{name}.json"
    path.write_text(json.dumps(config))
    plan = json.loads(subprocess.run([args.temper, path, "--plan"], check=True, capture_output=True, text=True).stdout)
    subprocess.run([args.temper, path, "--quiet"], check=True, env={**os.environ, "OMP_NUM_THREADS": str(args.threads)})
    rows = [json.loads(line) for line in (folder / name / "metrics.jsonl").read_text().splitlines()]
    seconds = [row["time"]["optimizer_s"] for row in rows if row["split"] == "train"][2:]
    return {"seconds": sum(seconds) / len(seconds), "bytes": plan["memory"]["optimizer_bytes"]}


def peer(args, name):
    done = subprocess.run([args.peer_python, HERE / "peers/optimizers.py", name, str(args.steps), str(args.threads)], check=True,
                          capture_output=True, text=True, env={**os.environ, "CUDA_VISIBLE_DEVICES": "", "TORCHDYNAMO_DISABLE": "1"})
    return json.loads(done.stdout.splitlines()[-1])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rows", nargs="+", default=list(ROWS), choices=list(ROWS))
    p.add_argument("--temper", type=Path, default=ROOT / "build/bin/temper-train")
    p.add_argument("--peer-python", type=Path, default=CACHE / "oracle-venv/bin/python")
    p.add_argument("--tokenizer", type=Path, default=CACHE / "bench/m135", help="a folder with one of 12,000 tokens, as grpo.py makes")
    p.add_argument("--steps", type=int, default=12)
    p.add_argument("--threads", type=int, default=1)
    args = p.parse_args()
    print(f"{datetime.date.today()}, {args.threads} threads, {args.steps} steps\n")
    print("| optimizer | Temper ms | state MB | peer | peer ms | state MB | peer / Temper |")
    print("|---|---|---|---|---|---|---|")
    with tempfile.TemporaryDirectory(prefix="temper-bench-") as folder:
        for name in args.rows:
            ours, theirs = temper(args, name, Path(folder)), peer(args, name)
            row = f"| {name} | {1e3 * ours['seconds']:.0f} | {ours['bytes'] / 1e6:.0f} | {theirs['name']} |"
            if "error" in theirs:
                print(f"{row} {theirs['error']} | | |", flush=True)
            else:
                print(f"{row} {1e3 * theirs['seconds']:.0f} | {theirs['bytes'] / 1e6:.0f} | "
                      f"{theirs['seconds'] / ours['seconds']:.1f} |", flush=True)


main()
