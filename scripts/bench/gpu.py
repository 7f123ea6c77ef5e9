#!/usr/bin/env python3
"""Temper's speed on one GPU, beside TRL's and transformers' (gpu_trl.py) on the same machine in the same sitting.

The same four measures, with the same sizes: sft, dpo, grpo, decode, of a model of SmolLM2-135M's or Qwen2.5-0.5B's
shape with random weights in bf16. Prints a line of JSON a measure, then a table. Where no trl is installed the peer's
side is left out, and the table says so.

  scripts/bench/gpu.py                                  build/bin, the 135M shape
  scripts/bench/gpu.py --shape 0.5b --what grpo,decode
  scripts/bench/gpu.py --device cpu --tiny              to try the script

LibTorch's folder must be where the programs find it (LD_LIBRARY_PATH).
"""
import argparse
import json
import math
import os
import random
import struct
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
SHAPES = {
    "135m": dict(family="llama", hidden=576, intermediate=1536, layers=30, heads=9, kv_heads=3, vocab=49152),
    "0.5b": dict(family="qwen2", hidden=896, intermediate=4864, layers=24, heads=14, kv_heads=2, vocab=151936),
    "tiny": dict(family="llama", hidden=64, intermediate=128, layers=2, heads=4, kv_heads=2, vocab=400),
}
ARCHITECTURES = {"llama": "LlamaForCausalLM", "mistral": "MistralForCausalLM", "qwen2": "Qwen2ForCausalLM",
                 "qwen3": "Qwen3ForCausalLM"}


def byte_letters():
    """The letter that byte-level tokenizers write for each byte."""
    plain = [*range(33, 127), *range(161, 173), *range(174, 256)]
    letters, extra = {b: chr(b) for b in plain}, 0
    for b in range(256):
        if b not in letters:
            letters[b] = chr(256 + extra)
            extra += 1
    return letters


SMALL = bytes(0x80 | b & 0x7f for b in range(256)), bytes(0x3c | b & 0x80 for b in range(256))


def small_bf16(rows, count):
    """The bytes of random numbers of 0.016 to 0.031 of either sign: of a bf16's bits, sign and mantissa are drawn."""
    out = bytearray(2 * count)
    out[0::2] = rows.randbytes(count).translate(SMALL[0])
    out[1::2] = rows.randbytes(count).translate(SMALL[1])
    return bytes(out)


def write_model(folder, shape, seed=0, window=None):
    """A model folder with random weights and a tokenizer of which every byte is a token."""
    folder.mkdir(parents=True)
    s, rows = shape, random.Random(seed)
    size = s["hidden"] // s["heads"]
    config = dict(architectures=[ARCHITECTURES[s["family"]]], model_type=s["family"], vocab_size=s["vocab"],
                  hidden_size=s["hidden"], intermediate_size=s["intermediate"], num_hidden_layers=s["layers"],
                  num_attention_heads=s["heads"], num_key_value_heads=s["kv_heads"], head_dim=size,
                  max_position_embeddings=4096, rms_norm_eps=1e-5, rope_theta=10000.0, tie_word_embeddings=True,
                  hidden_act="silu", torch_dtype="bfloat16", eos_token_id=256, bos_token_id=256)
    if window:
        config["sliding_window"] = window
    (folder / "config.json").write_text(json.dumps(config))
    letters = byte_letters()
    end = dict(id=256, content="<|end|>", single_word=False, lstrip=False, rstrip=False, normalized=False, special=True)
    level = dict(type="ByteLevel", add_prefix_space=False, trim_offsets=True, use_regex=False)
    (folder / "tokenizer.json").write_text(json.dumps(dict(
        version="1.0", truncation=None, padding=None, added_tokens=[end], normalizer=None, pre_tokenizer=level,
        post_processor=None, decoder=level,
        model=dict(type="BPE", dropout=None, unk_token=None, continuing_subword_prefix=None, end_of_word_suffix=None,
                   fuse_unk=False, byte_fallback=False, vocab={letters[b]: b for b in range(256)}, merges=[]))))
    (folder / "tokenizer_config.json").write_text(json.dumps(dict(
        tokenizer_class="PreTrainedTokenizerFast", eos_token="<|end|>",
        chat_template="{% for m in messages %}{{ m['content'] }}{% endfor %}")))

    tensors = {}
    def add(name, *sizes):
        count = math.prod(sizes)
        tensors[name] = sizes, b"\x80\x3f" * count if "norm" in name else small_bf16(rows, count)
    add("model.embed_tokens.weight", s["vocab"], s["hidden"])
    for i in range(s["layers"]):
        at = f"model.layers.{i}."
        for name in ("input_layernorm", "post_attention_layernorm"):
            add(f"{at}{name}.weight", s["hidden"])
        for name, heads in (("q", s["heads"]), ("k", s["kv_heads"]), ("v", s["kv_heads"])):
            add(f"{at}self_attn.{name}_proj.weight", heads * size, s["hidden"])
            if s["family"] == "qwen2":
                add(f"{at}self_attn.{name}_proj.bias", heads * size)
        if s["family"] == "qwen3":
            add(f"{at}self_attn.q_norm.weight", size)
            add(f"{at}self_attn.k_norm.weight", size)
        add(f"{at}self_attn.o_proj.weight", s["hidden"], s["hidden"])
        add(f"{at}mlp.gate_proj.weight", s["intermediate"], s["hidden"])
        add(f"{at}mlp.up_proj.weight", s["intermediate"], s["hidden"])
        add(f"{at}mlp.down_proj.weight", s["hidden"], s["intermediate"])
    add("model.norm.weight", s["hidden"])
    header, begin = {}, 0
    for name, (sizes, values) in tensors.items():
        header[name] = dict(dtype="BF16", shape=sizes, data_offsets=[begin, begin + len(values)])
        begin += len(values)
    head = json.dumps(header).encode()
    head += b" " * (-len(head) % 8)
    with open(folder / "model.safetensors", "wb") as f:
        f.write(struct.pack("<Q", len(head)) + head)
        for _, values in tensors.values():
            f.write(values)


def parse_args():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--what", default="sft,dpo,grpo,decode")
    p.add_argument("--shape", choices=["135m", "0.5b"], default="135m")
    p.add_argument("--device", default="cuda")
    p.add_argument("--tiny", action="store_true", help="a tiny shape and few tokens")
    p.add_argument("--bin", type=Path, default=HERE.parent.parent / "build/bin")
    p.add_argument("--peer-python", default="python3", help="a Python with trl")
    p.add_argument("--peer", type=Path, default=HERE / "gpu_trl.py")
    p.add_argument("--no-peer", action="store_true", help="Temper alone")
    p.add_argument("--steps", type=int, default=8)
    p.add_argument("--warmup", type=int, default=3)
    return p.parse_args()


class Bench:
    def __init__(self, args, folder):
        self.args, self.folder, self.rows = args, folder, random.Random(0)
        n = 8 if args.tiny else 1  # how much smaller
        self.sizes = {"sft-batch": 16 // n, "sft-length": 512 // n, "dpo-pairs": 8 // n, "dpo-length": 512 // n,
                      "grpo-prompts": 8 // n, "grpo-samples": 8 // min(n, 4), "grpo-prompt": 64 // n,
                      "grpo-new": 128 // n, "decode-batch": 64 // n, "decode-prompt": 64 // n, "decode-new": 256 // n}
        write_model(folder / "model", SHAPES["tiny" if args.tiny else args.shape])

    def text(self, n):
        return "".join(self.rows.choice("abcdefghij ") for _ in range(n))

    def lines(self, name, records):
        (self.folder / name).write_text("".join(json.dumps(r) + "\n" for r in records))
        return str(self.folder / name)

    def train(self, name, task, data, steps, rest):
        config = {"task": task, "device": self.args.device, "model": {"path": str(self.folder / "model"), "dtype": "bf16"},
                  "data": {"train": [data], "max_tokens": 4000, "chat_prompts": False, "order": "sequential"},
                  "optimizer": {"name": "adamw", "lr": 1e-6}, "checkpoint": {"every": 0}, **rest}
        config["train"]["steps"] = steps
        (self.folder / f"{name}.json").write_text(json.dumps(config))
        run = self.folder / f"run-{name}"
        done = subprocess.run([self.args.bin / "temper-train", self.folder / f"{name}.json", "--quiet", "--run", run],
                              capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(done.stderr[-1500:])
        lines = [json.loads(line) for line in open(run / "metrics.jsonl")]
        return [row for row in lines if row["split"] == "train"]

    def measured(self, rows, warmup):
        kept = rows[warmup:]
        out = {"seconds_per_step": sum(r["time"]["seconds"] for r in kept) / len(kept)}
        if "device_memory_gb" in kept[-1]["time"]:
            out["peak_mb"] = kept[-1]["time"]["device_memory_gb"] * 1000
        for key in kept[-1]["time"]:
            if key.endswith("_s") and key != "tokens_per_s":
                out[key] = sum(r["time"][key] for r in kept) / len(kept)
        return out

    def sft(self):
        s, steps = self.sizes, self.args.steps
        half = s["sft-length"] // 2
        data = self.lines("sft.jsonl", [{"prompt": self.text(1), "completion": self.text(2 * half - 2)}
                                        for _ in range(s["sft-batch"] * steps)])
        out = self.measured(self.train("sft", "sft", data, steps, {
            "train": {"batch_size": s["sft-batch"], "micro_batch_tokens": s["sft-batch"] * s["sft-length"]}}),
            self.args.warmup)
        out["tokens_per_second"] = s["sft-batch"] * s["sft-length"] / out["seconds_per_step"]
        return out

    def dpo(self):
        s, steps = self.sizes, self.args.steps
        quarter = s["dpo-length"] // 4
        data = self.lines("dpo.jsonl", [{"prompt": self.text(quarter), "chosen": self.text(3 * quarter - 1),
                                         "rejected": self.text(3 * quarter - 1)} for _ in range(s["dpo-pairs"] * steps)])
        out = self.measured(self.train("dpo", "preference", data, steps, {
            "algorithm": {"name": "dpo"},
            "train": {"batch_size": s["dpo-pairs"], "micro_batch_tokens": 2 * s["dpo-pairs"] * s["dpo-length"]}}),
            self.args.warmup)
        out["pairs_per_second"] = s["dpo-pairs"] / out["seconds_per_step"]
        out["tokens_per_second"] = 2 * s["dpo-length"] * out["pairs_per_second"]
        return out

    def grpo(self):
        s, steps = self.sizes, 4
        data = self.lines("grpo.jsonl", [{"prompt": self.text(s["grpo-prompt"]), "answer": "a"}
                                         for _ in range(s["grpo-prompts"] * steps)])
        samples = s["grpo-prompts"] * s["grpo-samples"]
        out = self.measured(self.train("grpo", "rl", data, steps, {
            "algorithm": {"name": "grpo"}, "rewards": [{"kind": "contains", "texts": ["a", "e"]}],
            "rollout": {"prompts_per_step": s["grpo-prompts"], "group_size": s["grpo-samples"], "max_batch": samples,
                        "max_new_tokens": s["grpo-new"], "min_new_tokens": s["grpo-new"]},
            "train": {"micro_batch_tokens": samples * (s["grpo-prompt"] + s["grpo-new"])}}), 1)
        out["completion_tokens_per_second"] = samples * s["grpo-new"] / out["seconds_per_step"]
        return out

    def decode(self):
        s, seconds = self.sizes, {}
        data = self.lines("prompts.jsonl", [{"ids": [self.rows.randrange(1, 250) for _ in range(s["decode-prompt"])]}
                                            for _ in range(s["decode-batch"])])
        for new in (8, s["decode-new"]):
            done = subprocess.run([self.args.bin / "temper-generate", "--model", self.folder / "model", "--dtype", "bf16",
                                   "--device", self.args.device, "--input", data, "--output", self.folder / "out",
                                   "--ignore-end", "--max-new-tokens", str(new), "--max-batch", str(s["decode-batch"]),
                                   "--stats"], capture_output=True, text=True)
            if done.returncode != 0:
                raise RuntimeError(done.stderr[-1500:])
            seconds[new] = json.loads(done.stderr.splitlines()[-1])["seconds"]
        fewer, more = seconds.values()
        return {"seconds": more, "tokens_per_second": s["decode-batch"] * s["decode-new"] / more,
                "tokens_per_second_without_prefill": s["decode-batch"] * (s["decode-new"] - 8) / (more - fewer)}


FIGURES = {"sft": "tokens_per_second", "dpo": "pairs_per_second", "grpo": "completion_tokens_per_second",
           "decode": "tokens_per_second_without_prefill"}


def peer_figures(args, sizes):
    command = [args.peer_python, str(args.peer), "--what", args.what, "--shape", args.shape, "--device", args.device,
               "--steps", str(args.steps), "--warmup", str(args.warmup)]
    for name, value in sizes.items():
        command += [f"--{name}", str(value)]
    if args.tiny:
        for name, value in SHAPES["tiny"].items():
            command += [] if name == "family" else [f"--{name.replace('_', '-')}", str(value)]
    # Libraries that Temper's programs were packed with are not for it.
    env = {name: value for name, value in os.environ.items() if name != "LD_LIBRARY_PATH"}
    done = subprocess.run(command, env=env, capture_output=True, text=True)
    out = {}
    for line in done.stdout.splitlines():
        row = json.loads(line)
        print(json.dumps({"side": "peer", **row}), flush=True)
        out[row["what"]] = row
    if done.returncode != 0:
        print(json.dumps({"side": "peer", "error": done.stderr[-1500:]}), flush=True)
    return out


def main():
    args, ours = parse_args(), {}
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(args, Path(folder))
        for what in args.what.split(","):
            try:
                ours[what] = getattr(bench, what)()
            except Exception as e:
                ours[what] = {"error": str(e)}
            print(json.dumps({"side": "temper", "what": what, **ours[what]}), flush=True)
        theirs = {} if args.no_peer else peer_figures(args, bench.sizes)
    print(f"{'':8}{'figure':36}{'temper':>12}{'peer':>12}{'ratio':>8}")
    for what, row in ours.items():
        figure = FIGURES[what]
        a, b = row.get(figure), theirs.get(what, {}).get(figure)
        print(f"{what:8}{figure:36}{a or 0:12.1f}" + (f"{b:12.1f}{a / b:8.2f}" if a and b else f"{'-':>12}{'-':>8}"))
    if not theirs:
        print("the peer (trl, transformers) was not run" if args.no_peer else "no peer: see the errors above")
    sys.exit(any("error" in row for row in ours.values()))


if __name__ == "__main__":
    main()
