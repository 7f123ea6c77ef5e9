#!/usr/bin/env python3
"""Time and memory of merging two folders of a 1.5B shape (Qwen2.5-1.5B's, random bf16 weights), beside mergekit where it is.

  scripts/bench/merge.py [--convert build/bin/temper-convert] [--peer-python PYTHON] [--shape 1.5b|0.5b] [--work DIR] [--keep]

--peer-python: a Python with torch, safetensors and numpy, which makes the folders; with mergekit in it the same merges are
timed by it in the same sitting. Needs 10 GB of disk for 1.5b and 4 GB more for each result. Memory is the largest resident set
(VmHWM) of the process, in bytes and in the largest tensor's fp32 size (the embedding's); mapped file pages count. Where the disk
is slow the seconds are mostly the 3 GB that are written and synced: compare the processors' seconds too.
"""
import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
import time

SHAPES = {"1.5b": (1536, 8960, 28, 12, 2), "0.5b": (896, 4864, 24, 14, 2)}
VOCABULARY = 151936
METHODS = [  # ours, mergekit's
    ("linear", {"method": "linear"}, {"merge_method": "linear"}),
    ("slerp", {"method": "slerp", "t": 0.4}, {"merge_method": "slerp", "parameters": {"t": 0.4}}),
    ("task_arithmetic", {"method": "task_arithmetic"}, {"merge_method": "task_arithmetic"}),
    ("ties", {"method": "ties", "trim": "tensor", "density": 0.2}, {"merge_method": "ties", "density": 0.2}),
    ("ties, of the model", {"method": "ties", "density": 0.2}, None),
    ("dare", {"method": "dare", "density": 0.5}, {"merge_method": "dare_linear", "density": 0.5}),
    ("model_stock", {"method": "model_stock"}, {"merge_method": "model_stock"}),
    ("timber", {"method": "timber"}, None),
]
MAKER = """
import json, os, sys, torch
from safetensors.torch import save_file
hidden, inner, layers, heads, kv = json.loads(sys.argv[1]); vocabulary = int(sys.argv[2])
config = dict(architectures=["Qwen2ForCausalLM"], model_type="qwen2", hidden_size=hidden, intermediate_size=inner, num_hidden_layers=layers,
              num_attention_heads=heads, num_key_value_heads=kv, vocab_size=vocabulary, max_position_embeddings=32768, rms_norm_eps=1e-6,
              rope_theta=1e6, tie_word_embeddings=True, torch_dtype="bfloat16", bos_token_id=0, eos_token_id=1)
side = hidden // heads * kv
shapes = {"model.embed_tokens.weight": (vocabulary, hidden), "model.norm.weight": (hidden,)}
for l in range(layers):
    p = f"model.layers.{l}."
    for name, shape in {"self_attn.q_proj.weight": (hidden, hidden), "self_attn.k_proj.weight": (side, hidden), "self_attn.v_proj.weight": (side, hidden),
                        "self_attn.o_proj.weight": (hidden, hidden), "self_attn.q_proj.bias": (hidden,), "self_attn.k_proj.bias": (side,),
                        "self_attn.v_proj.bias": (side,), "mlp.gate_proj.weight": (inner, hidden), "mlp.up_proj.weight": (inner, hidden),
                        "mlp.down_proj.weight": (hidden, inner), "input_layernorm.weight": (hidden,), "post_attention_layernorm.weight": (hidden,)}.items():
        shapes[p + name] = shape
base = None
for number, folder in enumerate(sys.argv[3:]):
    torch.manual_seed(0)
    base = {k: 0.02 * torch.randn(s) for k, s in shapes.items()}
    if number:
        g = torch.Generator().manual_seed(number)
        common = torch.Generator().manual_seed(99)
        for v in base.values():
            v += 0.001 * (torch.randn(v.shape, generator=g) + torch.randn(v.shape, generator=common))
    os.makedirs(folder, exist_ok=True)
    save_file({k: v.to(torch.bfloat16) for k, v in base.items()}, folder + "/model.safetensors", metadata={"format": "pt"})
    json.dump(config, open(folder + "/config.json", "w"))
"""
PEER = """
import json, sys
from mergekit.config import MergeConfiguration
from mergekit.merge import MergeOptions, run_merge
run_merge(MergeConfiguration.model_validate(json.loads(sys.argv[1])), out_path=sys.argv[2],
          options=MergeOptions(copy_tokenizer=False, quiet=True, lazy_unpickle=True, low_cpu_memory=False))
"""


def measured(command):
    """Seconds, those of processors, and largest resident bytes of a command."""
    begin = time.monotonic()
    done = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
    error = done.stderr.read()
    _, status, usage = os.wait4(done.pid, 0)
    if status != 0:
        sys.exit(f"{' '.join(command[:2])}: {error[-2000:]}")
    return time.monotonic() - begin, usage.ru_utime + usage.ru_stime, usage.ru_maxrss * 1024


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--convert", default="build/bin/temper-convert")
    p.add_argument("--peer-python", default=sys.executable)
    p.add_argument("--shape", choices=SHAPES, default="1.5b")
    p.add_argument("--work")
    p.add_argument("--keep", action="store_true")
    args = p.parse_args()
    work = args.work or tempfile.mkdtemp(prefix="temper-merge-")
    base, a, b = (os.path.join(work, name) for name in ("base", "a", "b"))
    if not os.path.exists(b + "/config.json"):
        subprocess.run([args.peer_python, "-c", MAKER, json.dumps(SHAPES[args.shape]), str(VOCABULARY), base, a, b], check=True)
    largest = VOCABULARY * SHAPES[args.shape][0] * 4
    has_peer = subprocess.run([args.peer_python, "-c", "import mergekit.merge"], capture_output=True).returncode == 0
    out = os.path.join(work, "out")
    print("| method | Temper | CPU | memory | of the largest tensor | mergekit | CPU | memory |\n|---|---|---|---|---|---|---|---|")
    for name, ours, theirs in METHODS:
        recipe = {**ours, "models": [{"path": a}, {"path": b}]}
        if ours["method"] == "timber":
            recipe["models"].pop()
        if ours["method"] not in ("linear", "slerp"):
            recipe["base"] = base
        path = os.path.join(work, "recipe.json")
        json.dump(recipe, open(path, "w"))
        shutil.rmtree(out, ignore_errors=True)
        seconds, cpu, memory = measured([args.convert, "--merge", path, out])
        row = f"| {name} | {seconds:.1f} s | {cpu:.1f} s | {memory / 1e9:.2f} GB | {memory / largest:.2f} x |"
        if theirs and has_peer:
            config = {**theirs, "dtype": "bfloat16"}
            density = config.pop("density", None)
            own = {"weight": 1.0} if theirs["merge_method"] not in ("slerp", "model_stock") else {}
            if density:
                own["density"] = density
            config["models"] = [{"model": m, "parameters": own} for m in (a, b)]
            if ours["method"] != "linear":
                config["base_model"] = a if ours["method"] == "slerp" else base
            shutil.rmtree(out, ignore_errors=True)
            seconds, cpu, memory = measured([args.peer_python, "-c", PEER, json.dumps(config), out])
            row += f" {seconds:.1f} s | {cpu:.1f} s | {memory / 1e9:.2f} GB |"
        else:
            row += " | | |"
        print(row, flush=True)
    if not args.keep and not args.work:
        shutil.rmtree(work)


if __name__ == "__main__":
    main()
