#!/usr/bin/env python3
"""Tokens per second of speculative decoding and the share of drafts that is accepted, beside plain decoding.

Each measurement is a pair, one run with and one without speculation right after each other, in fp32 on the same prompts;
the speed-up is the median over the pairs. With one thread (--threads 1, the default) it is of processor seconds, less those
of a run of two tokens (loading, prompts), which other processes on the machine disturb little; with more, of seconds. The models are trained here on first use (some minutes): documents of
arithmetic questions with their answers, which a target of 9M parameters and a draft of 0.4M both learn. What is accepted says
something of such texts alone; --target and --draft take other models of one tokenizer, --prompts other prompts.

  scripts/bench/speculation.py                          batch 1 and 8, greedy and sampled
  scripts/bench/speculation.py --target DIR --draft DIR --prompts FILE.jsonl --batches 1
"""
import argparse
import datetime
import json
import os
import random
import resource
import statistics
import subprocess
import sys
from pathlib import Path

from measuring import CACHE, HERE, ROOT

TARGET = {"family": "llama", "vocab": 512, "hidden": 256, "intermediate": 704, "layers": 12, "heads": 4, "kv_heads": 2,
          "max_positions": 1024}
DRAFT = {"family": "llama", "hidden": 128, "intermediate": 352, "layers": 2, "heads": 4, "kv_heads": 2, "max_positions": 1024}


def parse_args():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--batches", nargs="+", type=int, default=[1, 8])
    p.add_argument("--temperatures", nargs="+", type=float, default=[0.0, 1.0])
    p.add_argument("--dtype", default="f32", choices=["f32", "bf16"])
    p.add_argument("--pairs", type=int, default=3)
    p.add_argument("--tokens", type=int, default=200, help="of each text")
    p.add_argument("--trials", type=int, default=60, help="of the search for skipped sub-layers")
    p.add_argument("--threads", type=int, default=1)
    p.add_argument("--bin", type=Path, default=ROOT / "build/bin")
    p.add_argument("--folder", type=Path, default=CACHE / "bench/speculation", help="of models, skips and prompts")
    p.add_argument("--target", type=Path)
    p.add_argument("--draft", type=Path)
    p.add_argument("--prompts", type=Path)
    p.add_argument("--kinds", nargs="+", default=["lookup", "skip", "draft"])
    p.add_argument("--train-only", action="store_true")
    return p.parse_args()


def run(command):
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run([str(c) for c in command], env=dict(os.environ, CUDA_VISIBLE_DEVICES=""), capture_output=True, text=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    done.processor_s = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    if done.returncode != 0:
        sys.exit(f"{' '.join(map(str, command))} exited with {done.returncode}\n{done.stderr[-3000:]}")
    return done


def documents(folder):
    """Twelve questions with their answers a document."""
    raw = folder / "raw"
    if not (raw / "train.jsonl").exists():
        run([sys.executable, ROOT / "scripts/data/arithmetic.py", "--out", raw, "--train", 24000, "--test", 300, "--max-number", 20])
    rows = [json.loads(line) for line in open(raw / "train.jsonl")]
    random.Random(1).shuffle(rows)
    texts = ["".join(r["prompt"] + r["completion"] + "\n\n" for r in rows[i:i + 12]) for i in range(0, len(rows) - 11, 12)]
    with open(folder / "train.jsonl", "w") as f:
        f.writelines(json.dumps({"text": t}) + "\n" for t in texts)
    held_out = [json.loads(line) for line in open(raw / "test.jsonl")]
    with open(folder / "prompts.jsonl", "w") as f:
        for i in range(8):
            f.write(json.dumps({"prompt": "".join(r["prompt"] + r["completion"] + "\n\n" for r in held_out[4 * i:4 * i + 4])}) + "\n")


def train(args, name, init, lr, steps):
    config = {"task": "sft", "model": {"init": init}, "data": {"train": [str(args.folder / "train.jsonl")], "max_tokens": 1024},
              "optimizer": {"name": "adamw", "lr": lr}, "schedule": {"name": "cosine", "warmup": 0.1},
              "train": {"steps": steps, "batch_size": 3, "micro_batch_tokens": 4096}, "checkpoint": {"every": 1000},
              "threads": args.threads}
    path = args.folder / f"{name}.json"
    path.write_text(json.dumps(config))
    print(f"training {name}", file=sys.stderr, flush=True)
    run([args.bin / "temper-train", path, "--run", args.folder / name, "--quiet"])
    return args.folder / name / "final"


def models(args):
    args.folder.mkdir(parents=True, exist_ok=True)
    if args.target:
        return args.target, args.draft
    if not (args.folder / "prompts.jsonl").exists():
        documents(args.folder)
    target, draft = args.folder / "target/final", args.folder / "draft/final"
    if not (target / "config.json").exists():
        train(args, "target", TARGET, 1e-3, 220)
    if not (draft / "config.json").exists():
        train(args, "draft", dict(DRAFT, tokenizer=str(target)), 3e-3, 300)
    return target, draft


def measure(args, target, prompts, batch, temperature, speculation, seed):
    """The counts, the texts, and tokens per second."""
    def of(tokens):
        command = [args.bin / "temper-generate", "--model", target, "--dtype", args.dtype, "--input", prompts, "--output",
                   args.folder / "out.jsonl", "--ignore-end", "--max-new-tokens", tokens, "--max-batch", batch, "--temperature",
                   temperature, "--seed", seed, "--threads", args.threads, "--stats"]
        done = run(command + (["--speculation", speculation] if speculation else []))
        stats = json.loads(done.stderr.splitlines()[-1])
        return stats, done.processor_s if args.threads == 1 else stats["seconds"]

    _, start = of(2)
    stats, seconds = of(args.tokens)
    texts = [[c["text"] for c in json.loads(line)["completions"]] for line in open(args.folder / "out.jsonl")]
    return stats, texts, (stats["tokens"] - 2 * len(texts)) / (seconds - start)


def main():
    args = parse_args()
    target, draft = models(args)
    if args.train_only:
        return
    prompts = args.prompts or args.folder / "prompts.jsonl"
    skips = args.folder / "skips.json"
    common = ["--model", target, "--dtype", args.dtype, "--input", prompts, "--ignore-end", "--threads", args.threads]
    if not skips.exists():
        print("looking for sub-layers to skip", file=sys.stderr, flush=True)
        found = run([args.bin / "temper-generate", *common, "--max-new-tokens", 64, "--temperature", 0, "--trials", args.trials,
                     "--find-skips", skips]).stderr.strip().splitlines()[-1]
        print(found, file=sys.stderr, flush=True)
    kinds = {"lookup": "lookup", "skip": skips}
    if draft:
        kinds["draft"] = json.dumps({"kind": "draft", "model": str(draft)})
    kinds = {name: speculation for name, speculation in kinds.items() if name in args.kinds}
    lines = []
    for temperature in args.temperatures:
        for batch in args.batches:
            for name, speculation in kinds.items():
                ratios, shares, plain_speed, speed, passes = [], [], [], [], []
                for pair in range(args.pairs):
                    _, plain_texts, plain_rate = measure(args, target, prompts, batch, temperature, None, pair)
                    with_it, texts, rate = measure(args, target, prompts, batch, temperature, speculation, pair)
                    if args.dtype == "f32" and (temperature == 0 or name == "lookup") and texts != plain_texts:
                        sys.exit(f"{name}, temperature {temperature}: another text than without speculation")
                    plain_speed.append(plain_rate)
                    speed.append(rate)
                    ratios.append(speed[-1] / plain_speed[-1])
                    shares.append(with_it["accepted"] / max(1, with_it["drafted"]))
                    passes.append(with_it["tokens"] / with_it["passes"])
                lines.append(f"| {'greedy' if temperature == 0 else f'T {temperature:g}'} | {batch} | {name} | "
                             f"{statistics.median(plain_speed):.0f} | {statistics.median(speed):.0f} | "
                             f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f}) | "
                             f"{100 * statistics.median(shares):.0f} % | {statistics.median(passes):.2f} |")
                print(lines[-1], file=sys.stderr, flush=True)
    print(f"{datetime.date.today()}, {args.threads} threads, {args.dtype}; skipped: {skips.read_text()}")
    print("| sampling | batch | drafts | plain tokens/s | tokens/s | speed-up (range of pairs) | accepted | tokens a pass |\n"
          "|---|---|---|---|---|---|---|---|")
    print("\n".join(lines))


if __name__ == "__main__":
    main()
