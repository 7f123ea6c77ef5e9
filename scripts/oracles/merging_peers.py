"""Merges the same tiny folders by temper-convert and by mergekit, and compares every tensor.

  python scripts/oracles/merging_peers.py build/bin/temper-convert       needs torch, transformers, mergekit

The models are fp32, since equal magnitudes, of which bf16 has many, are cut by mergekit where the sort happens to leave
them. What differs by design, and is not compared:
  - DARE's draws; and mergekit scales what is left to the magnitude of before instead of by 1 / density. Its `dare_linear`
    at density 1 is task arithmetic there and here.
  - TIES trims each tensor here ("trim": "tensor"), as mergekit does; the paper trims the whole task vector.
  - Model Stock at obtuse angles, and SLERP of a zero vector (lib/merge/model_stock.cc, slerp.cc say what is done).
"""

import json
import os
import subprocess
import sys
import tempfile

import torch
import yaml
from mergekit.config import MergeConfiguration
from mergekit.merge import MergeOptions, run_merge
from safetensors.torch import load_file
from transformers import LlamaConfig, LlamaForCausalLM


def make_models(folder):
    torch.manual_seed(0)
    config = LlamaConfig(vocab_size=211, hidden_size=48, intermediate_size=80, num_hidden_layers=2, num_attention_heads=4,
                         num_key_value_heads=2, tie_word_embeddings=False)
    base = LlamaForCausalLM(config)
    common = {k: 0.01 * torch.randn_like(v) for k, v in base.state_dict().items()}
    paths = {}
    for name in ("base", "a", "b", "c"):
        model = LlamaForCausalLM(config)
        own = 0.0 if name == "base" else 1.0
        model.load_state_dict({k: v + own * (common[k] + 0.01 * torch.randn_like(v)) for k, v in base.state_dict().items()})
        paths[name] = os.path.join(folder, name)
        model.save_pretrained(paths[name])
    return paths


def main():
    convert = os.path.abspath(sys.argv[1])
    work = tempfile.mkdtemp()
    p = make_models(work)
    cases = [  # mergekit's method and parameters; ours; models with weights; whether the base is one of mergekit's models
        ("linear", {}, {"method": "linear"}, {"a": 1.0, "b": 0.5, "c": 2.0}, None),
        ("linear", {"normalize": False}, {"method": "linear", "normalise": False}, {"a": 0.3, "b": 0.3}, None),
        ("slerp", {"t": 0.35}, {"method": "slerp", "t": 0.35}, {"a": None, "b": None}, "a"),
        ("task_arithmetic", {"lambda": 0.7}, {"method": "task_arithmetic", "scale": 0.7}, {"a": 1.0, "b": -0.5}, "base"),
        ("ties", {"density": 0.3, "normalize": True}, {"method": "ties", "trim": "tensor", "density": 0.3}, {"a": 1.0, "b": 1.0, "c": 1.0}, "base"),
        ("ties", {"density": 0.6, "normalize": True, "lambda": 0.5}, {"method": "ties", "trim": "tensor", "density": 0.6, "scale": 0.5},
         {"a": 1.0, "b": 0.5, "c": 0.25}, "base"),
        ("ties", {"density": 0.5, "normalize": False}, {"method": "ties", "trim": "tensor", "density": 0.5, "mean": False}, {"a": 0.5, "b": 0.5}, "base"),
        ("dare_linear", {"density": 1.0}, {"method": "dare", "density": 1.0}, {"a": 0.5, "b": 0.5}, "base"),
        ("dare_ties", {"density": 1.0, "normalize": True}, {"method": "dare", "combine": "ties", "density": 1.0}, {"a": 1.0, "b": 0.5}, "base"),
        ("model_stock", {}, {"method": "model_stock"}, {"a": None, "b": None, "c": None}, "base"),
        ("model_stock", {}, {"method": "model_stock"}, {"a": None, "b": None}, "base"),
    ]
    worst = 0.0
    for n, (method, parameters, ours, models, base) in enumerate(cases):
        theirs = {"merge_method": method, "dtype": "float32", "models": []}
        recipe = {**ours, "models": []}
        shared = {k: v for k, v in parameters.items() if k != "density"}
        for name, weight in models.items():
            own = {} if weight is None else {"weight": weight}
            if "density" in parameters:
                own["density"] = parameters["density"]
            theirs["models"].append({"model": p[name], "parameters": own})
            recipe["models"].append({"path": p[name], **({} if weight is None else {"weight": weight})})
        if base:
            theirs["base_model"] = p[base]
            if base == "base":
                recipe["base"] = p[base]
        if shared:
            theirs["parameters"] = shared
        out = os.path.join(work, f"mergekit-{n}")
        run_merge(MergeConfiguration.model_validate(yaml.safe_load(yaml.safe_dump(theirs))), out_path=out,
                  options=MergeOptions(copy_tokenizer=False, quiet=True))
        path = os.path.join(work, f"{n}.json")
        json.dump(recipe, open(path, "w"))
        subprocess.run([convert, "--merge", path, os.path.join(work, f"temper-{n}")], check=True, capture_output=True)
        a, b = load_file(os.path.join(out, "model.safetensors")), load_file(os.path.join(work, f"temper-{n}", "model.safetensors"))
        assert set(a) == set(b), set(a) ^ set(b)
        largest = max((a[k].double() - b[k].double()).abs().max().item() for k in a)
        worst = max(worst, largest)
        print(f"{method:16} {json.dumps(parameters):60} largest difference {largest:.2g}")
    print(f"worst {worst:.2g}")
    sys.exit(worst > 1e-6)


if __name__ == "__main__":
    main()
