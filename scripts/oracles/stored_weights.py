#!/usr/bin/env python3
"""Compares Temper with transformers on every way a causal model's weights can be stored: tied and not, one name of two,
a prefix more or less, shards, safetensors' own save_model.

    python scripts/oracles/stored_weights.py BIN      # the folder of Temper's programs

Where transformers would start with random weights, Temper must refuse.
"""
import json
import os
import subprocess
import sys
import tempfile

import torch
from safetensors.torch import save_file, save_model

os.environ["HF_HUB_OFFLINE"] = "1"
import transformers  # noqa: E402

transformers.logging.set_verbosity_error()
IDS = [3, 4, 5, 6, 7, 1, 2, 30]


def families():
    shapes = dict(vocab_size=32, hidden_size=16, intermediate_size=32, num_hidden_layers=2, num_attention_heads=2,
                  num_key_value_heads=1, head_dim=8, max_position_embeddings=64)
    for name in ("Llama", "Mistral", "Qwen2", "Qwen3"):
        config = getattr(transformers, name + "Config")(**shapes)
        torch.manual_seed(3)
        yield name, getattr(transformers, name + "ForCausalLM")(config).float()


def forms(weights):
    """name, tensors. E stands for the embedding, H for a head of its own."""
    rest = dict(weights)
    e, h = rest.pop("model.embed_tokens.weight"), rest.pop("lm_head.weight")
    both = {"model.embed_tokens.weight": e, "lm_head.weight": h}
    for name, extra in (("both equal", {"model.embed_tokens.weight": e, "lm_head.weight": e.clone()}),
                        ("both differ", both), ("embedding alone", {"model.embed_tokens.weight": e}),
                        ("head alone", {"lm_head.weight": h}), ("neither", {})):
        whole = {**rest, **extra}
        yield name, whole
        yield name + ", no prefix", {k.removeprefix("model."): v for k, v in whole.items()}
        yield name + ", prefix twice", {"model." + k: v for k, v in whole.items()}


def write(folder, tensors, sharded):
    tensors = {k: v.contiguous() for k, v in tensors.items()}
    if not sharded:
        return save_file(tensors, f"{folder}/model.safetensors", metadata={"format": "pt"})
    names = sorted(tensors)
    parts = {"model-00001-of-00002.safetensors": names[::2], "model-00002-of-00002.safetensors": names[1::2]}
    for file, keys in parts.items():
        save_file({k: tensors[k] for k in keys}, f"{folder}/{file}", metadata={"format": "pt"})
    index = {"metadata": {}, "weight_map": {k: file for file, keys in parts.items() for k in keys}}
    json.dump(index, open(f"{folder}/model.safetensors.index.json", "w"))


def theirs(folder):
    """The log-probs, or None where a weight is made up."""
    model, info = transformers.AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32,
                                                                    output_loading_info=True)
    if info["missing_keys"]:
        return None
    with torch.no_grad():
        logp = model(torch.tensor([IDS])).logits[0].log_softmax(-1)
    return [logp[t, IDS[t + 1]].item() for t in range(len(IDS) - 1)]


def ours(folder, program):
    file = f"{folder}/ids.jsonl"
    json.dump({"ids": IDS}, open(file, "w"))
    done = subprocess.run([program, "logprob", "--model", folder, "--dtype", "f32", "--input", file],
                          capture_output=True, text=True)
    if done.returncode != 0:
        assert done.returncode == 2 and "missing" in done.stderr, done.stderr
        return None
    return json.loads(done.stdout)["logprobs"]


def compare(label, folder, program):
    want, got = theirs(folder), ours(folder, program)
    same = (want is None) == (got is None) and (want is None or max(abs(a - b) for a, b in zip(want, got)) < 1e-5)
    if not same:
        print("differs:", label, want, got)
    return same


def main():
    program = f"{sys.argv[1]}/temper-inspect"
    count = wrong = 0
    for family, model in families():
        config = model.config.to_dict()
        config["architectures"] = [family + "ForCausalLM"]
        for form, tensors in forms({k: v.clone() for k, v in model.state_dict().items()}):
            for tie in (True, False, None):
                for sharded in (False, True):
                    with tempfile.TemporaryDirectory() as folder:
                        own = {**config, "tie_word_embeddings": tie}
                        if tie is None:
                            del own["tie_word_embeddings"]
                        json.dump(own, open(f"{folder}/config.json", "w"))
                        write(folder, tensors, sharded)
                        count += 1
                        wrong += not compare((family, form, tie, sharded), folder, program)
        model.config.tie_word_embeddings = True
        model.tie_weights()
        for how in ("save_pretrained", "save_model"):
            with tempfile.TemporaryDirectory() as folder:
                model.config.save_pretrained(folder)
                if how == "save_model":
                    save_model(model, f"{folder}/model.safetensors")
                else:
                    model.save_pretrained(folder)
                count += 1
                wrong += not compare((family, how), folder, program)
    print(f"{count} folders, {wrong} differ")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
