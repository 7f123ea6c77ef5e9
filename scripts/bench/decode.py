#!/usr/bin/env python3
"""Tokens per second of sampled decoding, Temper beside transformers on the same machine in the same sitting.

Random prompts of 128 tokens on the shape of SmolLM2-135M with random weights (made on first use), temperature 1.
Both sides generate 8 and then 136 new tokens; the difference of the times is 128 steps of decoding without prefill
and without first-use costs.

  scripts/bench/decode.py                               bf16 and f32, batch 1 and 32
  scripts/bench/decode.py --dtypes bf16 --batches 32 --no-peer
"""
import argparse
import datetime
import json
import os
import random
import subprocess
import sys
import tempfile
from pathlib import Path

from grpo import CACHE, HERE, ROOT, locked

SHORT, LONG, PROMPT = 8, 136, 128

PEER = f"""
import sys, time, torch
from transformers import AutoModelForCausalLM
folder, dtype, batch = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.set_num_threads({os.cpu_count()})
model = AutoModelForCausalLM.from_pretrained(folder, dtype={{"bf16": torch.bfloat16, "f32": torch.float32}}[dtype])
ids = torch.randint(3, 12000, (batch, {PROMPT}))
def seconds(n):
    start = time.time()
    model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=n, min_new_tokens=n, do_sample=True, top_k=0)
    return time.time() - start
with torch.no_grad():
    short = seconds({SHORT})
    print(seconds({LONG}) - short)
"""


def parse_args():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--dtypes", nargs="+", default=["bf16", "f32"], choices=["bf16", "f32"])
    p.add_argument("--batches", nargs="+", type=int, default=[32, 1])
    p.add_argument("--repeats", type=int, default=1, help="the best of so many is shown")
    p.add_argument("--no-peer", action="store_true", help="Temper alone")
    p.add_argument("--temper", type=Path, default=ROOT / "build/bin/temper-generate")
    p.add_argument("--peer-python", type=Path, default=CACHE / "oracle-venv/bin/python")
    p.add_argument("--model", type=Path, default=CACHE / "bench/m135")
    p.add_argument("--gsm8k", type=Path, default=ROOT.parent / "shared/data/gsm8k/train.jsonl")
    p.add_argument("--lock", type=Path, help="file to lock (flock) while a process is measured")
    return p.parse_args()


def run(command, lock):
    env = dict(os.environ, HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="")
    with locked(lock):
        done = subprocess.run([str(c) for c in command], env=env, capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{command[0]} exited with {done.returncode}\n{done.stderr[-3000:]}")
    return done


def temper_seconds(args, dtype, batch, folder):
    prompts = folder / f"prompts-{batch}.jsonl"
    rows = random.Random(0)
    prompts.write_text("".join(json.dumps({"ids": [rows.randrange(3, 12000) for _ in range(PROMPT)]}) + "\n"
                               for _ in range(batch)))
    seconds = {}
    for n in (SHORT, LONG):
        done = run([args.temper, "--model", args.model, "--dtype", dtype, "--input", prompts, "--output", folder / "out",
                    "--ignore-end", "--max-new-tokens", n, "--max-batch", batch, "--stats"], args.lock)
        seconds[n] = json.loads(done.stderr.splitlines()[-1])["seconds"]
    return seconds[LONG] - seconds[SHORT]


def main():
    args = parse_args()
    if not (args.model / "model.safetensors").exists():
        args.model.mkdir(parents=True, exist_ok=True)
        subprocess.run([args.peer_python, HERE / "make_model.py", args.gsm8k, args.model], check=True)
    lines = []
    with tempfile.TemporaryDirectory(prefix="temper-bench-") as folder:
        for dtype in args.dtypes:
            for batch in args.batches:
                tokens = batch * (LONG - SHORT)
                ours, peers = [], []
                for _ in range(args.repeats):
                    ours.append(tokens / temper_seconds(args, dtype, batch, Path(folder)))
                    if not args.no_peer:
                        command = [args.peer_python, "-c", PEER, args.model, dtype, batch]
                        peers.append(tokens / float(run(command, args.lock).stdout.split()[-1]))
                    print(f"{dtype} batch {batch}: {ours[-1]:.0f} {peers[-1:]}", file=sys.stderr, flush=True)
                peer = f"{max(peers):.0f} | {max(ours) / max(peers):.1f} x" if peers else "- | -"
                lines.append(f"| {dtype} | {batch} | {max(ours):.0f} | {peer} |")
    print(f"{datetime.date.today()}, {os.cpu_count()} cores\n")
    print("| dtype | batch | Temper tokens/s | transformers tokens/s | faster |\n|---|---|---|---|---|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
