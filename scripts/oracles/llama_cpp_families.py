#!/usr/bin/env python3
"""Every tiny family as llama.cpp itself computes it from Temper's files: does it load them, and are its log-probs the same?

    TEMPER_GGUF_OUT=FOLDER build/bin/model_test -tc="gguf families: a model is the same*"
    python3 scripts/oracles/llama_cpp_families.py FOLDER [NAME ...]        (xllamacpp, which has llama.cpp inside; build/bin)

Each golden folder is written with temper-convert in fp32 and its log-probs are compared with the golden ones, which are transformers'. The
goldens have every knob on; where llama.cpp's architecture lacks one, Temper's refusal is printed, and the model with that knob off, which
model_test wrote, is compared with temper-inspect's log-probs. A row says the largest difference of a log-prob over the tokens of one
sequence, and the script fails where it is above what llama.cpp's own arithmetic explains:

    2e-5  fp32 alike (its caches are fp32 here, flash attention off);
    5e-3  GELU, which llama.cpp takes for numbers of half precision from a table;
    5e-2  Qwen3.5's linear attention in a golden with rms_norm_eps 1e-4: q and k are divided by max(|x|, eps) in llama.cpp, by
          (|x|^2 + 1e-6)^1/2 in transformers and Temper, which differ for short vectors alone.
"""
import json
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
BIN, GOLDEN = ROOT / "build/bin", ROOT / "tests/model/golden"


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
        said = []
        ask = {"prompt": ids[:t], "max_tokens": 1, "logprobs": 2000, "temperature": 1.0, "cache_prompt": False}
        server.handle_completions(json.dumps(ask), said.append)
        answer = said[-1] if isinstance(said[-1], dict) else json.loads(said[-1])
        top = answer["choices"][0]["logprobs"]["content"][0]["top_logprobs"]
        out.append(next(p["logprob"] for p in top if p["id"] == ids[t]))
    return out


def theirs(gguf, ids):
    """llama.cpp's log-probs, or what it said instead."""
    done = subprocess.run([sys.executable, __file__, "--llama", gguf, json.dumps(ids)], capture_output=True, text=True)
    if done.returncode == 0:
        return json.loads(done.stdout.splitlines()[-1]), ""
    said = [line for line in done.stderr.splitlines() if re.search(r" E |ASSERT|rror:", line)]
    return None, (said[0] if said else done.stderr.strip()[-200:])


def ours(folder, ids):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.write(json.dumps({"ids": ids}) + "\n")
        file.flush()
        done = subprocess.run([BIN / "temper-inspect", "logprob", "--model", folder, "--dtype", "f32", "--input", file.name],
                              capture_output=True, text=True, check=True)
    return json.loads(done.stdout)["logprobs"]


def convert(*command):
    return subprocess.run([BIN / "temper-convert", *command], capture_output=True, text=True)


def tolerance(config):
    config = {**config, **config.get("text_config", {})}
    if "linear_num_key_heads" in config and config["rms_norm_eps"] > 1e-5:
        return 5e-2
    return 5e-3 if "gelu" in config.get("hidden_activation", config.get("hidden_act", "")) else 2e-5


def main(out, wanted):
    faults = []
    print(f"{'family':<20}{'as it is in the goldens':<26}{'with what it lacks turned off':<32}")
    with tempfile.TemporaryDirectory() as work:
        done = convert(GOLDEN / "gguf/llama_linear.gguf", work + "/words")
        assert done.returncode == 0, done.stderr

        def compare(name, gguf, folder, ids, logprobs):
            found, said = theirs(gguf, ids)
            if found is None:
                faults.append(f"{name}: llama.cpp: {said}")
                return "not loaded"
            most = max(abs(a - b) for a, b in zip(found, logprobs))
            if most > tolerance(json.loads((folder / "config.json").read_text())):
                faults.append(f"{name}: log-probs differ by {most:.3g}")
            return f"{most:.2g}"

        folders = sorted(f for f in [*GOLDEN.iterdir(), *(GOLDEN / "families").iterdir()] if (f / "golden.json").exists() and (f / "config.json").exists())
        for golden in folders:
            name = golden.name
            if wanted and name not in wanted:
                continue
            folder, gguf = pathlib.Path(work, name), pathlib.Path(work, name + ".gguf")
            shutil.copytree(golden, folder)
            for file in ("tokenizer.json", "tokenizer_config.json"):
                shutil.copy(f"{work}/words/{file}", folder / file)
            sequence = json.loads((golden / "golden.json").read_text())["sequences"][2]
            done = convert(folder, gguf, "--to", "gguf", "--dtype", "f32")
            refusal = "" if done.returncode == 0 else done.stderr.strip().splitlines()[-1]
            if not refusal:
                golden_is = compare(name, gguf, folder, sequence["ids"], sequence["logprobs"])
            else:
                golden_is = "refused"
            changed, file = pathlib.Path(out, name), pathlib.Path(out, name + ".gguf")
            off = ""
            if refusal and changed.is_dir() and file.exists():
                off = compare(name, file, changed, sequence["ids"], ours(changed, sequence["ids"]))
            print(f"{name:<20}{golden_is:<26}{off:<14}{refusal.split(name + ': ', 1)[-1][:150]}", flush=True)
    for fault in faults:
        print("FAULT " + fault)
    return 1 if faults else 0


if __name__ == "__main__":
    if sys.argv[1] == "--llama":
        print("\n" + json.dumps(llama_logprobs(sys.argv[2], json.loads(sys.argv[3]))))
        sys.stdout.flush()
        os._exit(0)  # the server's threads
    sys.exit(main(sys.argv[1], sys.argv[2:]))
