"""Decoding of many sequences and of one, beside transformers and llama.cpp's server: so many new tokens less a few, which leaves out
prefill and what is made on first use. Sampled at temperature 1 from random prompts."""
import json
import random

from measuring import Failed

from .base import Row

# What each holds the weights as: Temper's options, transformers' dtype, llama.cpp's type of as many bits.
FORMS = {
    "bf16": (["--dtype", "bf16"], "bf16", "bf16"),
    "fp32": (["--dtype", "f32"], "f32", "f32"),
    "int8": (["--quantise", "int8"], None, "q8_0"),
    "nf4": (["--quantise", "nf4"], None, "q4_0"),
}


def batch_of(work, many):
    return work.sizes.batch if many else 1


def result(work, many, seconds, peak, others):
    if seconds <= 0:
        raise Failed(f"{work.sizes.long} tokens took no longer than {work.sizes.short}: the machine is busy")
    tokens = batch_of(work, many) * (work.sizes.long - work.sizes.short)
    return {"value": tokens / seconds, "peak": peak, "seconds": seconds, "others_s": others,
            "counts": {"tokens": tokens, "passes": work.sizes.long - work.sizes.short}}  # fmt: skip


def temper(work, form, many):
    s, batch, rows = work.sizes, batch_of(work, many), random.Random(0)
    prompts = work.write(f"prompts-{batch}.jsonl", [{"ids": [rows.randrange(3, 256) for _ in range(s.prompt)]} for _ in range(batch)])
    seconds, others = {}, 0
    for n in (s.short, s.long):
        done = work.temper("temper-generate", "--model", work.model, *FORMS[form][0], "--input", prompts, "--output", work.folder / "out",
                           "--ignore-end", "--max-new-tokens", n, "--max-batch", batch, "--threads", work.threads, "--stats")  # fmt: skip
        seconds[n] = json.loads(done.stderr.splitlines()[-1])["seconds"]
        others += done.others
    return result(work, many, seconds[s.long] - seconds[s.short], done.peak, others)


def transformers(work, form, many):
    s = work.sizes
    lines, done = work.peer("hf_decode.py", "decode", work.model, FORMS[form][1], batch_of(work, many), s.prompt, s.short, s.long, work.threads)
    return result(work, many, lines[-1]["seconds"], done.peak, done.others)


def llama(work, form, many):
    s, kind = work.sizes, FORMS[form][2]
    file = work.folder / f"model-{kind}.gguf"
    if not file.exists():
        work.temper("temper-convert", work.model, file, "--to", "gguf", "--dtype", kind)
    lines, done = work.peer("llama_decode.py", file, batch_of(work, many), s.prompt, s.short, s.long, work.threads)
    return result(work, many, lines[-1]["seconds"], done.peak, done.others)


def row(form, many):
    sides = {"Temper": lambda w: temper(w, form, many)}
    if FORMS[form][1]:
        sides["transformers"] = lambda w: transformers(w, form, many)
    sides["llama.cpp"] = lambda w: llama(w, form, many)
    return Row(f"decode-{'32' if many else '1'}-{form}", f"decoding {'32 sequences' if many else 'one sequence'}, {form}", "tokens/s", sides,
               more=True, target=4 if many and form in ("bf16", "fp32") else 1)  # fmt: skip


ROWS = [row(form, many) for many in (True, False) for form in FORMS]
