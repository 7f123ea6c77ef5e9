#!/usr/bin/env python3
"""Peak memory and time of a supervised step under full training, LoRA and LISA (drop, keep, offload), as a table.

  scripts/bench/adapters_memory.py --python PYTHON [--shapes 135m 0.5b] [--steps 16]
  scripts/bench/adapters_memory.py --trace [--state keep]

Work: 4 sequences of 128 tokens a step in one micro-batch, AdamW, bf16, 1 thread, random weights. LISA trains 2 blocks at a
time besides embedding, head and norm, and draws anew every 2 updates, so that many intervals pass; the last rows leave
embedding and head frozen. Memory is the largest resident set of the whole process; "first" after the first interval, "last"
after the last step; "plan" is what --plan said before. Time is the median over steps without the first two.

--python: one with torch and transformers, which makes the models on first use (~/.cache/temper/bench). --trace prints, for
three intervals of a small model, which blocks took gradients at each step, which have optimizer state, what is parked, and the
memory; all of it is read from the checkpoints of a run: a parameter took a gradient when its optimizer's step count went up.
There, each checkpoint maps the offloaded files, which counts as the process's memory although the system can take it back.
"""
import argparse
import json
import os
import shutil
import statistics
import struct
import subprocess
import tempfile
from collections import defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
BENCH = Path.home() / ".cache/temper/bench"
HALF = """
import sys, torch
from transformers import AutoTokenizer, Qwen2Config, Qwen2ForCausalLM
torch.manual_seed(0)
torch.set_default_dtype(torch.bfloat16)
model = Qwen2ForCausalLM(Qwen2Config(
    vocab_size=151936, hidden_size=896, intermediate_size=4864, num_hidden_layers=24, num_attention_heads=14,
    num_key_value_heads=2, max_position_embeddings=8192, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2))
model.save_pretrained(sys.argv[2])
AutoTokenizer.from_pretrained(sys.argv[1]).save_pretrained(sys.argv[2])
"""
LISA = {"kind": "lisa", "blocks": 2, "every": 2}
FROZEN = {"embedding": False, "head": False}
ADAPTERS = {
    "full": {"kind": "full"},
    "LoRA, rank 16": {"kind": "lora", "rank": 16, "alpha": 32},
    "LISA drop": {**LISA, "state": "drop"},
    "LISA keep": {**LISA, "state": "keep"},
    "LISA offload": {**LISA, "state": "offload"},
    "LISA drop, blocks alone": {**LISA, "state": "drop", **FROZEN},
    "LISA keep, blocks alone": {**LISA, "state": "keep", **FROZEN},
}


def model_folder(shape, python):
    folder = BENCH / {"135m": "m135", "0.5b": "m500"}[shape]
    if not (folder / "config.json").exists():
        if python is None:
            raise SystemExit(f"{folder} is missing; give --python, one with torch and transformers")
        if shape == "135m":
            raise SystemExit(f"{folder} is missing; scripts/bench/peers/make_model.py makes it")
        subprocess.run([python, "-c", HALF, BENCH / "m135", folder], check=True)
    return folder


def write_data(path, words=110):
    """Completions of numbers, longer than what is kept of them: every sequence has all its tokens."""
    with open(path, "w") as out:
        for i in range(64):
            numbers = " ".join(str((i * 31 + k * 17) % 97) for k in range(words * 2))
            out.write(json.dumps({"prompt": "Count on:", "completion": " " + numbers}) + "\n")


def train(work, name, config, extra=()):
    file = work / f"{name}.json"
    file.write_text(json.dumps({**config, "run": str(work / name)}))
    binary = Path(os.environ.get("TEMPER_BIN", ROOT / "build/bin")) / "temper-train"
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    plan = json.loads(subprocess.run([binary, file, "--plan"], check=True, capture_output=True, env=env).stdout)
    subprocess.run([binary, file, "--quiet", *extra], check=True, env=env)
    rows = [json.loads(line) for line in open(work / name / "metrics.jsonl")]
    return plan, [row for row in rows if row["split"] == "train"]


def tensors(path):
    """Names, bytes and the values of single integers of a safetensors file."""
    if not path.exists():
        return {}
    data = path.read_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    out = {}
    for name, info in json.loads(data[8:8 + length]).items():
        if name != "__metadata__":
            begin, end = (8 + length + offset for offset in info["data_offsets"])
            out[name] = (end - begin, struct.unpack("<q", data[begin:end])[0] if end - begin == 8 else None)
    return out


def block_of(name):
    parts = name.split("layers.")
    return f"block {int(parts[1].split('.')[0])}" if len(parts) > 1 else name.removesuffix(".weight").split(".")[-1]


def ordered(blocks):
    return ", ".join(sorted(blocks, key=lambda b: (not b.startswith("block"), len(b), b)))


def trace(work, state):
    write_data(work / "train.jsonl")
    init = {"hidden": 512, "intermediate": 1536, "layers": 6, "heads": 8, "kv_heads": 4, "vocab": 280, "max_positions": 256,
            "tied": False}
    config = {"task": "sft", "seed": 3, "threads": 1, "model": {"dtype": "bf16", "init": init},
              "adapter": {**LISA, "every": 3, "state": state, "embedding": False},
              "data": {"train": [str(work / "train.jsonl")], "max_tokens": 128, "overlong": "truncate"},
              "train": {"steps": 9, "batch_size": 4}, "checkpoint": {"every": 1, "keep": 9}}
    _, rows = train(work, "trace", config)
    before = {}
    print(f"LISA, 2 of 6 blocks and the head, every 3 updates, state: {state}, bf16")
    for row in rows:
        folder = work / "trace/checkpoints" / f"step-{row['step']}"
        kept = json.loads((folder / "state.json").read_text())["adapter"]
        optimizer, parked = tensors(folder / "optimizer.safetensors"), tensors(folder / "adapter.safetensors")
        steps = {name: value for name, (_, value) in optimizer.items() if name.endswith("/step")}
        moved = {name for name, value in steps.items() if value != before.get(name)}
        before = steps
        counts = defaultdict(set)
        for name, value in steps.items():
            counts[block_of(name.split("/")[0])].add(value)
        masters = sum(size // 2 for name, (size, value) in optimizer.items() if value is None)
        print(f"step {row['step']} (interval {kept['interval']}, update {kept['position']})"
              f"  gradients: {ordered({block_of(n.split('/')[0]) for n in moved})}"
              f"  state: {ordered({f'{b} at {max(s)}' for b, s in counts.items()})}"
              f"  {sum(size for size, _ in optimizer.values()) / 1e6:.1f} MB + masters {masters / 1e6:.1f} MB"
              f"  parked: {ordered({block_of(n) for n in parked}) or 'nothing'}, {sum(s for s, _ in parked.values()) / 1e6:.1f} MB"
              f"  peak so far {row['time']['memory_gb'] * 1e3:.0f} MB")


def table(work, shapes, steps, python, only):
    write_data(work / "train.jsonl")
    print("| shape | what trains | active weights | peak, plan | first | last | s a step |")
    print("|---|---|---|---|---|---|---|")
    for shape in shapes:
        folder = model_folder(shape, python)
        for name, adapter in ADAPTERS.items():
            if only and name not in only:
                continue
            config = {"task": "sft", "threads": 1, "model": {"path": str(folder), "dtype": "bf16"}, "adapter": adapter,
                      "data": {"train": [str(work / "train.jsonl")], "max_tokens": 128, "overlong": "truncate"},
                      "optimizer": {"name": "adamw", "lr": 1e-5},
                      "train": {"steps": steps, "batch_size": 4, "micro_batch_tokens": 512}, "checkpoint": {"every": 0}}
            plan, rows = train(work, "run", config)
            memory = [row["time"]["memory_gb"] for row in rows]
            seconds = statistics.median(row["time"]["seconds"] for row in rows[2:])
            print(f"| {shape} | {name} | {plan['parameters']['active'] / 1e6:.1f} M | {plan['memory']['peak_bytes'] / 1e9:.2f} GB "
                  f"| {memory[1]:.2f} GB | {memory[-1]:.2f} GB | {seconds:.2f} |", flush=True)
            shutil.rmtree(work / "run")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--python")
    parser.add_argument("--shapes", nargs="+", default=["135m", "0.5b"], choices=["135m", "0.5b"])
    parser.add_argument("--steps", type=int, default=16)
    parser.add_argument("--only", nargs="+", choices=list(ADAPTERS))
    parser.add_argument("--trace", action="store_true")
    parser.add_argument("--state", default="drop", choices=["drop", "keep", "offload"])
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as work:
        if args.trace:
            trace(Path(work), args.state)
        else:
            table(Path(work), args.shapes, args.steps, args.python, args.only)


if __name__ == "__main__":
    main()
