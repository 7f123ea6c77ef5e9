#!/usr/bin/env python3
"""GGUF files of every type, as llama.cpp itself reads them: writes them with temper-convert, and compares the log-probs of a text, token by
token, with those that temper-inspect gives for the same file read back.

    python3 scripts/oracles/llama_cpp.py FOLDER [TYPE ...]               (xllamacpp, which has llama.cpp inside; build/bin)
    python3 scripts/oracles/llama_cpp.py FOLDER --adapter ADAPTER        its adapter as a GGUF file beside the base's in f16

Prints for each type: MB, the file's perplexity, and, over the tokens that llama.cpp tells (it does not for one below its 2,000 likeliest),
perplexity by Temper and by llama.cpp and the mean difference of a log-prob. llama.cpp rounds activations to 8 bits beside weights of few
bits, Temper does not: there a difference is no fault.
"""
import json
import math
import pathlib
import subprocess
import sys
import tempfile

import xllamacpp

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN = ROOT / "build/bin"
TYPES = ["f16", "q8_0", "q6_k", "q5_k_m", "q4_k_m", "q4_0"]
TOKENS = 200


def run(*command):
    done = subprocess.run([str(part) for part in command], capture_output=True, text=True)
    if done.returncode:
        raise SystemExit(done.stderr)
    return done.stdout


def temper_logprobs(folder, ids, *adapter):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.write(json.dumps({"ids": ids}) + "\n")
        file.flush()
        return json.loads(run(BIN / "temper-inspect", "logprob", "--model", folder, "--dtype", "f32", "--input", file.name, *adapter))["logprobs"]


def llama_logprobs(gguf, ids, adapter=None):
    params = xllamacpp.CommonParams()
    if adapter:
        info = xllamacpp.CommonAdapterLoraInfo()
        info.path, info.scale = str(adapter), 1.0
        params.lora_adapters = [info]
    params.model.path = str(gguf)
    params.n_ctx = 1024
    params.n_parallel = 1
    params.cpuparams.n_threads = 2
    params.warmup = False
    server = xllamacpp.Server(params)
    out = []
    for t in range(1, len(ids)):
        said = []
        server.handle_completions(json.dumps({"prompt": ids[:t], "max_tokens": 1, "logprobs": 2000, "temperature": 1.0, "cache_prompt": True}),
                                  lambda answer: said.append(answer))
        answer = said[-1]
        answer = json.loads(answer) if isinstance(answer, (str, bytes)) else answer
        top = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        out.append(next((p["logprob"] for p in top if p["id"] == ids[t]), None))
    return out


def perplexity(logprobs):
    return math.exp(-sum(logprobs) / len(logprobs))


folder, types = sys.argv[1], sys.argv[2:] or TYPES
adapter = sys.argv[3] if types[0] == "--adapter" else None
with tempfile.TemporaryDirectory() as work:
    text = pathlib.Path(work, "text.jsonl")
    text.write_text(json.dumps({"text": (ROOT / "README.md").read_text()[:4000]}) + "\n")
    ids = json.loads(run(BIN / "temper-inspect", "tokenize", "--model", folder, "--input", text))["ids"][:TOKENS]
    if adapter:
        run(BIN / "temper-convert", folder, work + "/base.gguf", "--to", "gguf", "--dtype", "f16")
        run(BIN / "temper-convert", folder, work + "/lora.gguf", "--to", "gguf", "--adapter", adapter, "--adapter-only")
        base, ours = temper_logprobs(folder, ids), temper_logprobs(folder, ids, "--adapter", adapter)
        theirs = llama_logprobs(work + "/base.gguf", ids, work + "/lora.gguf")
        both = [(o, a, b) for o, a, b in zip(base, ours, theirs) if b is not None]
        print(f"{len(both)} tokens: mean difference of a log-prob {sum(abs(a - b) for _, a, b in both) / len(both):.5f}; "
              f"the adapter itself changes it by {sum(abs(a - o) for o, a, _ in both) / len(both):.5f}")
        raise SystemExit
    whole = temper_logprobs(folder, ids)
    print(f"{len(ids)} tokens; perplexity of the folder {perplexity(whole):.4f}")
    print("type       MB  perplexity   Temper  llama.cpp  mean difference   tokens")
    for kind in types:
        gguf = pathlib.Path(work, kind + ".gguf")
        run(BIN / "temper-convert", folder, gguf, "--to", "gguf", "--dtype", kind)
        run(BIN / "temper-convert", gguf, pathlib.Path(work, kind))
        ours, theirs = temper_logprobs(pathlib.Path(work, kind), ids), llama_logprobs(gguf, ids)
        both = [(a, b) for a, b in zip(ours, theirs) if b is not None]
        print(f"{kind:<8}{gguf.stat().st_size / 1e6:>6.1f} {perplexity(ours):>10.4f} {perplexity([a for a, _ in both]):>9.4f}"
              f" {perplexity([b for _, b in both]):>9.4f} {sum(abs(a - b) for a, b in both) / len(both):>15.5f} {len(both):>9}", flush=True)
