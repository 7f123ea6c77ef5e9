#!/usr/bin/env python3
"""Time and memory of a training step of a mixture of experts, beside transformers' own and beside the dense model of
equal active size, in the same sitting.

A random Qwen3-MoE of 1.05 B parameters: 12 layers, 8 experts of which 2, hidden 1024; the dense one has the width of the two.
8 texts of 64 tokens, forward and backward of all weights, without the optimizer's part and without a balance loss.

  scripts/bench/moe.py                  bf16 and fp32, Temper and transformers
  scripts/bench/moe.py --dtypes bf16 --no-peer
"""
import argparse
import datetime
import json
import os
import statistics
import sys
import tempfile
from pathlib import Path

from measuring import CACHE, ROOT, measure

SHAPE = dict(vocab_size=8192, hidden_size=1024, num_hidden_layers=12, num_attention_heads=16, num_key_value_heads=4, head_dim=64,
             max_position_embeddings=1024, tie_word_embeddings=True, bos_token_id=1, eos_token_id=2, pad_token_id=0)
WIDTH, EXPERTS, CHOSEN = 3584, 8, 2
TEXTS, TOKENS = 8, 64
LETTERS = [chr(i) for i in range(33, 127)]

PEER = '''
import json, sys, time, torch
from transformers import AutoModelForCausalLM
folder, dtype, steps, ids = sys.argv[1], sys.argv[2], int(sys.argv[3]), json.loads(sys.argv[4])
torch.set_num_threads(int(sys.argv[5]))
model = AutoModelForCausalLM.from_pretrained(folder, dtype={"bf16": torch.bfloat16, "f32": torch.float32}[dtype]).train()
x = torch.tensor(ids)
for _ in range(steps):
    start = time.perf_counter()
    loss = model(input_ids=x, labels=x).loss
    loss.backward()
    print(json.dumps({"seconds": time.perf_counter() - start, "loss": loss.item()}), flush=True)
    model.zero_grad(set_to_none=True)
'''

MAKE = '''
import json, sys, torch
from transformers import Qwen3Config, Qwen3MoeConfig, AutoModelForCausalLM
shape = json.loads(sys.argv[3])
torch.manual_seed(0)
config = (Qwen3MoeConfig if sys.argv[2] == "moe" else Qwen3Config)(**shape)
with torch.device("cpu"):
    model = AutoModelForCausalLM.from_config(config, dtype=torch.bfloat16)
print(sum(p.numel() for p in model.parameters()))
model.save_pretrained(sys.argv[1])
'''


def parse_args():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--dtypes", nargs="+", default=["bf16", "f32"])
    p.add_argument("--no-peer", action="store_true", help="Temper alone")
    p.add_argument("--temper", type=Path, default=ROOT / "build/bin/temper-train")
    p.add_argument("--peer-python", type=Path, default=CACHE / "oracle-venv/bin/python")
    p.add_argument("--models", type=Path, default=CACHE / "bench")
    p.add_argument("--steps", type=int, default=5)
    return p.parse_args()


def tokenizer(folder):
    """Of single letters, from id 3 on."""
    pieces = ["<pad>", "<s>", "</s>", *LETTERS]
    added = [{"id": i, "content": pieces[i], "single_word": False, "lstrip": False, "rstrip": False, "normalized": False,
              "special": True} for i in range(3)]
    model = {"type": "BPE", "dropout": None, "unk_token": "<pad>", "continuing_subword_prefix": None, "end_of_word_suffix": None,
             "fuse_unk": False, "byte_fallback": False, "vocab": {p: i for i, p in enumerate(pieces)}, "merges": []}
    (folder / "tokenizer.json").write_text(json.dumps({
        "version": "1.0", "truncation": None, "padding": None, "added_tokens": added, "normalizer": None, "pre_tokenizer": None,
        "post_processor": None, "decoder": {"type": "Fuse"}, "model": model}))
    (folder / "tokenizer_config.json").write_text(json.dumps({"tokenizer_class": "PreTrainedTokenizerFast", "bos_token": "<s>",
                                                              "eos_token": "</s>", "pad_token": "<pad>"}))


def make(args, kind):
    folder = args.models / f"moe-bench-{kind}"
    shape = dict(SHAPE, intermediate_size=WIDTH * CHOSEN)
    if kind == "moe":
        shape.update(moe_intermediate_size=WIDTH, num_experts=EXPERTS, num_experts_per_tok=CHOSEN, norm_topk_prob=True,
                     router_aux_loss_coef=0.0)
    if not (folder / "tokenizer.json").exists():
        folder.mkdir(parents=True, exist_ok=True)
        print(f"{kind}: {int(measure([args.peer_python, '-c', MAKE, folder, kind, json.dumps(shape)], None)[0]) / 1e9:.2f} B parameters",
              file=sys.stderr)
        tokenizer(folder)
    return folder


def temper(args, folder, dtype, work):
    """The ids are those that the peer gets: plain texts of single-token pieces."""
    run = work / f"{folder.name}-{dtype}"
    config = {"task": "sft", "threads": os.cpu_count(), "model": {"path": str(folder), "dtype": dtype},
              "data": {"train": [str(work / "texts.jsonl")], "order": "sequential", "max_tokens": 1024},
              "optimizer": {"name": "sgd", "lr": 1e-9}, "train": {"steps": args.steps, "batch_size": TEXTS, "micro_batch_tokens": 4096},
              "checkpoint": {"every": 0}, "samples_logged": 0, "run": str(run)}
    path = work / "temper.json"
    path.write_text(json.dumps(config))
    _, peak = measure([args.temper, path], None)
    times = [m["time"] for m in map(json.loads, (run / "metrics.jsonl").read_text().splitlines()) if "optimizer_s" in m.get("time", {})]
    return [t["seconds"] - t["optimizer_s"] for t in times], peak


def peer(args, folder, dtype, ids):
    out, peak = measure([args.peer_python, "-c", PEER, folder, dtype, args.steps, json.dumps(ids), os.cpu_count()], None)
    return [json.loads(line)["seconds"] for line in out.splitlines() if line.startswith('{"')], peak


def main():
    args = parse_args()
    folders = {kind: make(args, kind) for kind in ("moe", "dense")}
    rows = []
    with tempfile.TemporaryDirectory(prefix="temper-bench-") as name:
        work = Path(name)
        ids = [[3 + 7919 * (TOKENS * t + i + 1) ** 2 % len(LETTERS) for i in range(TOKENS)] for t in range(TEXTS)]
        with open(work / "texts.jsonl", "w") as out:
            for row in ids:
                out.write(json.dumps({"text": "".join(LETTERS[i - 3] for i in row)}) + "\n")
        for dtype in args.dtypes:
            for kind, folder in folders.items():
                ours, peak = temper(args, folder, dtype, work)
                cells = [f"{kind} {dtype}", f"{statistics.median(ours[1:]):.2f}", f"{peak / 1e9:.1f}"]
                if not args.no_peer:
                    theirs, their_peak = peer(args, folder, dtype, ids)
                    ratio = statistics.median(theirs[1:]) / statistics.median(ours[1:])
                    cells += [f"{statistics.median(theirs[1:]):.2f}", f"{their_peak / 1e9:.1f}", f"{ratio:.1f} x"]
                rows.append("| " + " | ".join(cells) + " |")
                print(rows[-1], file=sys.stderr, flush=True)
    print(f"{datetime.date.today()}, {os.cpu_count()} cores, {TEXTS * TOKENS} tokens\n")
    print("| model | Temper s | GB |" + ("" if args.no_peer else " transformers s | GB | faster |"))
    print("|---|---|---|" + ("" if args.no_peer else "---|---|---|"))
    print("\n".join(rows))


if __name__ == "__main__":
    main()
