#!/usr/bin/env python3
"""Prints lib/model/README.md from the registry: what each family has, and how to add one.

  scripts/docs/families.py build/bin/temper-inspect > lib/model/README.md
"""
import json
import subprocess
import sys

OPENING = """# The decoder and its families

<!-- Printed by scripts/docs/families.py from what `temper-inspect list family` says; edit families.cc and knobs.cc. -->

One decoder (`decoder.cc`) computes every family. What tells them apart are named fields: of a family (`Family` in `families.h`: where
norms stand, how matrices lie in files, which keys of config.json it reads and what each means when it is missing) and of a model
(`ModelConfig` in `config.h`: numbers that a config.json gives). `temper-inspect model FOLDER` says which a folder uses.

## How to add a family

1. An entry in the table of `families.cc`: its name (config.json's `model_type`), and what differs from llama. `keys` is a JSON object of
   the keys that its config class in transformers has beside those that all families read, each with its default there. `.gguf` is
   `nullptr` until `gguf/gguf_families.cc` has an entry of what llama.cpp's architecture holds of it.
2. Only when it computes something new: a field of `ModelConfig`, read in `config.cc` (rotary positions and windows: `config_rope.cc`;
   what stands in the place of plain attention, and layers unlike each other: `config_layers.cc`), its parameters in `shapes.cc` and
   `weights.cc`, used in `decoder.cc` or in a file of its own that the decoder calls, and a line in `knobs.cc`. A key with a value that the
   decoder does not compute is refused by its name.
3. A tiny random model with every knob on in `scripts/oracles/families.py`, made in transformers; its folder goes to
   `tests/model/golden/families`.
4. This page again: `scripts/docs/families.py build/bin/temper-inspect > lib/model/README.md`.

What each must pass, by the folder's name and with no further code: log-probs within 2e-5 of transformers' on sequences of unequal
lengths packed together, gradients of all weights within 1e-4, shared prompts, saving and loading (`tests/model/families_test.cc`);
decoding equal to training's log-probs (`tests/rollout/families_test.cc`); the fake accelerator (`tests/device/families_test.cc`); LoRA
there and back, and 8 and 4 bits (`tests/adapter/families_test.cc`); two steps of sft, dpo and grpo (`tests/apps/families.sh`);
GGUF and back (`tests/apps/families_gguf.sh`).

## Families

| `model_type` | class | beside llama | GGUF |
|---|---|---|---|
"""


def listed(program, kind):
    return json.loads(subprocess.run([program, "list", kind], capture_output=True, text=True, check=True).stdout)


def main():
    out = [OPENING]
    for family in listed(sys.argv[1], "family"):
        keys = ", ".join(f"`{k}`" for k in family["keys"] if k not in ("bos_token_id", "eos_token_id", "pad_token_id"))
        traits = "; ".join(family["traits"])
        gguf = f"`{family['gguf']}`" if family["gguf"] else "not yet"
        out.append(f"| `{family['name']}` | {family['summary']} | {traits + '. ' if traits else ''}Reads {keys} | {gguf} |\n")
    print("".join(out).rstrip())


if __name__ == "__main__":
    main()
