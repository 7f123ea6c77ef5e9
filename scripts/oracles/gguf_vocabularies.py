#!/usr/bin/env python3
"""Compares temper's reading of llama.cpp's vocabulary files with the ids that stand beside them.

    python scripts/oracles/gguf_vocabularies.py MODELS BIN

MODELS: llama.cpp's folder models (ggml-vocab-*.gguf with .inp and .out; it also comes in the source package of
llama-cpp-python). Their ids are those of the families' own tokenizers. BIN: the folder of Temper's programs. Each
vocabulary goes into a GGUF of a model with tiny weights, which temper-convert makes a folder of; temper-inspect
tokenize then encodes the texts.
"""
import glob
import json
import os
import subprocess
import sys
import tempfile

import gguf
import numpy as np

KEYS = ("model", "pre", "bos_token_id", "eos_token_id", "unknown_token_id", "padding_token_id", "add_bos_token",
        "add_space_prefix")
WIDTH, INNER, HEADS = 8, 8, 2


def value(reader, key):
    field = reader.fields.get("tokenizer.ggml." + key)
    return None if field is None else field.contents()


def with_weights(reader, path):
    tokens = value(reader, "tokens")
    writer = gguf.GGUFWriter(path, "llama")
    writer.add_block_count(1)
    writer.add_context_length(128)
    writer.add_embedding_length(WIDTH)
    writer.add_feed_forward_length(INNER)
    writer.add_head_count(HEADS)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_token_list(tokens)
    writer.add_token_types(value(reader, "token_type"))
    for key in KEYS:
        found = value(reader, key)
        if isinstance(found, bool):
            writer.add_bool("tokenizer.ggml." + key, found)
        elif isinstance(found, str):
            writer.add_string("tokenizer.ggml." + key, found)
        elif found is not None:
            writer.add_uint32("tokenizer.ggml." + key, int(found))
    if value(reader, "scores"):
        writer.add_token_scores(value(reader, "scores"))
    if value(reader, "merges"):
        writer.add_token_merges(value(reader, "merges"))
    square = np.zeros((WIDTH, WIDTH), np.float32)
    writer.add_tensor("token_embd.weight", np.zeros((len(tokens), WIDTH), np.float32))
    writer.add_tensor("output_norm.weight", np.ones(WIDTH, np.float32))
    for name in ("attn_q", "attn_k", "attn_v", "attn_output", "ffn_gate", "ffn_up", "ffn_down"):
        writer.add_tensor(f"blk.0.{name}.weight", square)
    for name in ("attn_norm", "ffn_norm"):
        writer.add_tensor(f"blk.0.{name}.weight", np.ones(WIDTH, np.float32))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def compare(path, programs, work):
    reader = gguf.GGUFReader(path)
    name = os.path.basename(path)[len("ggml-vocab-"):-len(".gguf")]
    if value(reader, "model") not in ("gpt2", "llama"):
        return f"{name}: a tokenizer of kind {value(reader, 'model')}, which is not read", 0
    small, folder, lines = (os.path.join(work, name + end) for end in (".gguf", "", ".jsonl"))
    with_weights(reader, small)
    done = subprocess.run([f"{programs}/temper-convert", small, folder], capture_output=True, text=True)
    if done.returncode != 0:
        return f"{name}: refused: {done.stderr.strip()}", 1
    if not os.path.exists(path + ".inp"):
        return f"{name}: read; it has no texts to compare", 0
    texts = open(path + ".inp", encoding="utf-8").read().split("\n__ggml_vocab_test__\n")
    wants = [[int(i) for i in line.split()] for line in open(path + ".out").read().split("\n")]
    with open(lines, "w") as out:
        out.writelines(json.dumps({"text": text}) + "\n" for text in texts)
    done = subprocess.run([f"{programs}/temper-inspect", "tokenize", "--model", folder, "--input", lines],
                          capture_output=True, text=True, check=True)
    got = [json.loads(line)["ids"] for line in done.stdout.splitlines()]
    bad = [(t, g, w) for t, g, w in zip(texts, got, wants) if g != w]
    for text, ids, want in bad[:3]:
        print("differs:", name, repr(text)[:80], ids[:12], want[:12])
    return f"{name}: {len(texts)} texts, {len(bad)} differ", len(bad)


def main():
    models, programs = sys.argv[1:]
    wrong = 0
    with tempfile.TemporaryDirectory() as work:
        for path in sorted(glob.glob(os.path.join(models, "ggml-vocab-*.gguf"))):
            line, bad = compare(path, programs, work)
            wrong += bad
            print(line, flush=True)
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
