#!/usr/bin/env python3
"""Every tiny family as llama.cpp itself computes it from Temper's files: does it load them, and are its log-probs the same?

    TEMPER_GGUF_OUT=FOLDER build/bin/model_test -tc="gguf families: a model is the same*"
    python3 scripts/oracles/llama_cpp_families.py FOLDER [NAME ...]        (xllamacpp, which has llama.cpp inside)

model_test writes the golden families as GGUF files in fp32, with the knobs off that llama.cpp's architectures lack (a star: the goldens have
every knob on), and its own log-probs of them. A row says the largest difference of a log-prob over the tokens of one sequence of 23, and the
script fails where it is above what llama.cpp's own arithmetic explains:

    2e-5  fp32 alike (its caches are fp32 here, flash attention off);
    5e-3  GELU, which llama.cpp takes for numbers of half precision from a table;
    0.5   gpt-oss, whose YaRN does not round the bounds of its ramp, where llama.cpp always does: in a head of 8 numbers that is a lot.
          With "truncate": true transformers gives llama.cpp's log-probs to 1e-6.
"""
import json
import os
import pathlib
import re
import struct
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests/model/golden"


def llama_logprobs(gguf, ids):
    """In a process of its own: llama.cpp ends the whole process where it asserts."""
    import xllamacpp
    params = xllamacpp.CommonParams()
    params.model.path = str(gguf)
    params.n_ctx, params.n_parallel, params.cpuparams.n_threads, params.warmup = 256, 1, 1, False
    params.cache_type_k = params.cache_type_v = xllamacpp.ggml_type.GGML_TYPE_F32
    params.flash_attn_type = xllamacpp.llama_flash_attn_type.LLAMA_FLASH_ATTN_TYPE_DISABLED
    server = xllamacpp.Server(params)
    out = []
    for t in range(1, len(ids)):
        told = None
        for seed in range(30):  # none where an end is drawn
            said = []
            ask = {"prompt": ids[:t], "max_tokens": 1, "logprobs": 2000, "temperature": 1.0, "cache_prompt": False, "seed": seed}
            server.handle_completions(json.dumps(ask), said.append)
            answer = said[-1] if isinstance(said[-1], dict) else json.loads(said[-1])
            told = answer["choices"][0]["logprobs"]
            if told is not None:
                break
        top = told["content"][0]["top_logprobs"]
        out.append(next(p["logprob"] for p in top if p["id"] == ids[t]))
    return out


def theirs(gguf, ids):
    """llama.cpp's log-probs, or what it said instead."""
    with tempfile.NamedTemporaryFile(suffix=".gguf") as file:
        # It looks for Phi's tokens in models by that name, which the tiny tokenizer lacks.
        name = gguf.stem.encode()
        entry = b"general.name" + struct.pack("<IQ", 8, len(name))
        file.write(gguf.read_bytes().replace(entry + name, entry + b"x" * len(name)))
        file.flush()
        done = subprocess.run([sys.executable, __file__, "--llama", file.name, json.dumps(ids)], capture_output=True, text=True)
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1]), ""
    said = [line for line in done.stderr.splitlines() if re.search(r" E |ASSERT|rror:", line)]
    return None, (said[0] if said else done.stderr.strip()[-200:])


def tolerance(config):
    config = {**config, **config.get("text_config", {})}
    rope = config.get("rope_parameters", {})
    if rope.get("rope_type") == "yarn" and not rope.get("truncate", True):
        return 0.5
    return 5e-3 if "gelu" in config.get("hidden_activation", config.get("hidden_act", "")) else 2e-5


def main(out, wanted):
    faults = []
    print(f"{'family':<20}{'difference':<12}what llama.cpp said")
    for golden in sorted((GOLDEN / "families").iterdir()):
        name = golden.name
        gguf, folder = pathlib.Path(out, name + ".gguf"), pathlib.Path(out, name)
        if wanted and name not in wanted:
            continue
        if not gguf.exists():
            print(f"{name:<20}{'':<12}no file: llama.cpp has no place for it")
            continue
        star = "*" if folder.is_dir() else ""
        sequences = json.loads((golden / "golden.json").read_text())["sequences"]
        logprobs = json.loads(pathlib.Path(out, name + ".logp.json").read_text())
        # Phi-3's factors are those of long sequences in llama.cpp wherever the context is long; and it has no window of 24.
        which = 3 if name == "phi3" else 2
        first = sum(len(s["ids"]) - 1 for s in sequences[:which])
        ids = sequences[which]["ids"][:23]
        found, said = theirs(gguf, ids)
        if found is None:
            faults.append(name)
            print(f"{name + star:<20}{'not loaded':<12}{said[-160:]}", flush=True)
            continue
        most = max(abs(a - b) for a, b in zip(found, logprobs[first:], strict=False))
        allowed = tolerance(json.loads(((folder if star else golden) / "config.json").read_text()))
        if not most <= allowed:
            faults.append(name)
        print(f"{name + star:<20}{most:<12.2g}{'' if most <= allowed else f'above {allowed:g}'}", flush=True)
    return 1 if faults else 0


if __name__ == "__main__":
    if sys.argv[1] == "--llama":
        print("\n" + json.dumps(llama_logprobs(sys.argv[2], json.loads(sys.argv[3]))))
        sys.stdout.flush()
        os._exit(0)  # the server's threads
    sys.exit(main(sys.argv[1], sys.argv[2:]))
