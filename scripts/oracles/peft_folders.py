"""Folders that PEFT writes around the embedding and the head, and with features that few use, for tests/adapter/folders_test.cc.

Writes tests/adapter/golden/folders/<name>/: adapter_model.safetensors, adapter_config.json, and golden.json: {"model": base in
tests/model/golden, "ids", "logprobs": what PEFT computes with the folder loaded onto the base}. Of those with "rows" the base
is resized to so many tokens first, as PEFT asks for. The bases' matrices in a folder (save_embedding_layers) are written in
bf16, which holds the tiny models' values exactly.
Writes tests/adapter/golden/tuners.json: {"configs": [adapter_config.json of each of PEFT's tuners]}.
With a name and a folder: peft_folders.py NAME FOLDER prints the log-probs that PEFT computes with that folder, as JSON.
"""
import copy
import dataclasses
import json
import os
import shutil
import sys
import warnings

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from peft.mapping import PEFT_TYPE_TO_CONFIG_MAPPING
from peft_lora import base, ids_of, logprobs
from safetensors.torch import load_file, save_file

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "../../tests/adapter/golden/folders")
EMBED, HEAD, BOTH = ["embed_tokens"], ["lm_head"], ["embed_tokens", "lm_head"]

# name: (base, LoraConfig's options, {"rows": tokens of the resized base, "save": save_embedding_layers})
# smollm and qwen2 are tied, the rest is not.
FOLDERS = {
    "head": ("llama3", dict(target_modules=HEAD + ["q_proj"]), {}),
    "head_alone": ("llama3", dict(target_modules=HEAD), {"save": False}),
    "embedding": ("llama3", dict(target_modules=EMBED + ["v_proj"]), {}),
    "embedding_alone": ("mistral", dict(target_modules=EMBED), {"save": False}),
    "both": ("qwen3", dict(target_modules=BOTH + ["o_proj"], use_rslora=True, rank_pattern={"lm_head": 3},
                           alpha_pattern={"embed_tokens": 5}), {"save": False}),
    "regex": ("llama3", dict(target_modules=r".*(lm_head|embed_tokens|layers\.1\..*\.k_proj)"), {"save": False}),
    "tied_head": ("smollm", dict(target_modules=HEAD + ["q_proj"]), {}),
    "tied_embedding": ("smollm", dict(target_modules=EMBED), {}),
    "tied_both": ("qwen2", dict(target_modules=BOTH), {}),
    "tied_both_ensured": ("qwen2", dict(target_modules=BOTH, ensure_weight_tying=True), {}),
    "tied_embedding_ensured": ("smollm", dict(target_modules=EMBED + ["q_proj"], ensure_weight_tying=True), {}),
    "tied_head_ensured": ("smollm", dict(target_modules=HEAD + ["down_proj"], ensure_weight_tying=True), {"save": False}),
    "untied_ensured": ("llama3", dict(target_modules=HEAD, ensure_weight_tying=True), {"save": False}),
    "dora_head": ("llama3", dict(target_modules=HEAD + ["k_proj"], use_dora=True), {"save": False}),
    "dora_embedding": ("llama3", dict(target_modules=EMBED + ["k_proj"], use_dora=True), {"save": False}),
    "saved_head_tied": ("smollm", dict(target_modules=["q_proj"], modules_to_save=HEAD), {}),
    "saved_embedding_tied": ("smollm", dict(target_modules=["q_proj"], modules_to_save=EMBED), {}),
    "saved_both_tied": ("qwen2", dict(target_modules=["q_proj"], modules_to_save=BOTH), {}),
    "saved_head_ensured": ("smollm", dict(target_modules=["q_proj"], modules_to_save=HEAD, ensure_weight_tying=True), {}),
    "saved_both_ensured": ("qwen2", dict(target_modules=["q_proj"], modules_to_save=BOTH, ensure_weight_tying=True), {}),
    "saved_both": ("llama3", dict(target_modules=["q_proj"], modules_to_save=BOTH + ["norm"]), {}),
    "saved_head_lora_embedding": ("smollm", dict(target_modules=EMBED + ["q_proj"], modules_to_save=HEAD), {}),
    "saved_embedding_lora_head": ("smollm", dict(target_modules=HEAD + ["q_proj"], modules_to_save=EMBED), {"save": False}),
    "tokens": ("llama3", dict(target_modules=["q_proj"], trainable_token_indices=[2, 5, 119]), {}),
    "tokens_tied": ("smollm", dict(target_modules=["q_proj"], trainable_token_indices=[2, 5, 119]), {}),
    "tokens_both": ("llama3", dict(target_modules=["q_proj"], trainable_token_indices={"embed_tokens": [3], "lm_head": [5, 4]}), {}),
    "tokens_head_tied": ("smollm", dict(target_modules=["q_proj"], trainable_token_indices={"lm_head": [5, 4]}), {}),
    "tokens_both_tied": ("qwen2", dict(target_modules=["q_proj"], trainable_token_indices={"embed_tokens": [3], "lm_head": [5, 4]}), {}),
    "tokens_same_tied": ("qwen2", dict(target_modules=["q_proj"], trainable_token_indices={"embed_tokens": [3, 7], "lm_head": [3, 7]}), {}),
    "kept": ("llama3", dict(target_modules=["q_proj"]), {"save": True}),
    "grown": ("llama3", dict(target_modules=["q_proj"]), {"rows": 124, "save": True}),
    "grown_tied": ("smollm", dict(target_modules=["q_proj"]), {"rows": 124, "save": True}),
    "grown_saved": ("llama3", dict(target_modules=["q_proj"], modules_to_save=BOTH), {"rows": 124, "save": True}),
    "grown_saved_bare": ("llama3", dict(target_modules=["q_proj"], modules_to_save=BOTH), {"rows": 124, "save": False}),
    "grown_saved_tied": ("smollm", dict(target_modules=["q_proj"], modules_to_save=EMBED), {"rows": 124, "save": True}),
    "grown_lora": ("llama3", dict(target_modules=BOTH), {"rows": 124, "save": True}),
    "grown_lora_tied": ("smollm", dict(target_modules=BOTH), {"rows": 124, "save": True}),
    "grown_tokens": ("smollm", dict(target_modules=["q_proj"], trainable_token_indices=[120, 121, 122, 123]), {"rows": 124, "save": True}),
    "shrunk": ("llama3", dict(target_modules=["q_proj"]), {"rows": 112, "save": True}),
    "bias_all": ("llama_linear", dict(target_modules=["q_proj", "down_proj"], bias="all"), {}),
    "bias_lora_only": ("qwen2", dict(target_modules=["q_proj", "o_proj"], bias="lora_only"), {}),
    "layers": ("smollm", dict(target_modules=["q_proj", "up_proj"], layers_to_transform=[0, 2], layers_pattern="layers"), {}),
    "exclude": ("smollm", dict(target_modules=["q_proj", "lm_head"], exclude_modules=r".*layers\.1\..*|lm_head"), {}),
    "orthogonal": ("smollm", dict(target_modules=["q_proj"], init_lora_weights="orthogonal"), {}),
    "mica": ("smollm", dict(target_modules=["q_proj"], init_lora_weights="mica"), {}),
    # Refused, with the feature's name.
    "lora_bias": ("smollm", dict(target_modules=["q_proj"], lora_bias=True), {}),
    "layer_replication": ("smollm", dict(target_modules=["q_proj"], layer_replication=[[0, 2], [1, 3]]), {}),
    "target_parameters": ("smollm", dict(target_modules=[], target_parameters=["q_proj.weight"]), {}),
    "alora": ("smollm", dict(target_modules=["q_proj"], alora_invocation_tokens=[5, 6]), {}),
    "saved_linear": ("smollm", dict(target_modules=["q_proj"], modules_to_save=["down_proj"]), {}),
}  # fmt: skip


def resized(name, rows):
    model = base(name)
    if rows:
        torch.manual_seed(5)
        model.resize_token_embeddings(rows, mean_resizing=False)
        with torch.no_grad():  # bf16 holds them
            for layer in (model.get_input_embeddings(), model.get_output_embeddings()):
                layer.weight.copy_(layer.weight.bfloat16().float())
    return model


def ids(name, rows):
    out = [i % rows if rows else i for i in ids_of(name)]
    if rows > 120:
        out[3:6] = [120, rows - 1, 121]
    return out[:24]


def noise(model):
    generator = torch.Generator().manual_seed(3)
    for n, p in model.named_parameters():
        if p.requires_grad:
            random = torch.randn(p.shape, generator=generator)
            lora = "lora_" in n and "magnitude" not in n
            p.data.copy_(random * 0.2 if lora else p.data + random * 0.05)  # in place: some share memory


def computed(name, folder):
    model_name, _, flags = FOLDERS[name]
    rows = flags.get("rows", 0)
    return logprobs(PeftModel.from_pretrained(resized(model_name, rows), folder).eval(), ids(model_name, rows))


def small(folder):
    """The base's own matrices in bf16, if that holds them."""
    path = f"{folder}/adapter_model.safetensors"
    tensors = load_file(path)
    for key, value in tensors.items():
        if value.numel() > 2000 and torch.equal(value.bfloat16().float(), value):
            tensors[key] = value.bfloat16()
    save_file(tensors, path, metadata={"format": "pt"})


def tuners():
    """Every peft_type of PEFT, with its config's defaults."""
    configs = []
    for type, config in PEFT_TYPE_TO_CONFIG_MAPPING.items():
        try:
            values = dataclasses.asdict(config(task_type="CAUSAL_LM"))
        except Exception as e:
            print(type, e)
            values = {"task_type": "CAUSAL_LM"}
        values = {k: sorted(v) if isinstance(v, set) else v for k, v in values.items()}
        configs.append({**values, "peft_type": str(getattr(type, "value", type))})
    json.dump({"configs": configs}, open(f"{OUT}/../tuners.json", "w"), default=str, indent=0)


def main():
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if len(sys.argv) == 3:
        print(json.dumps(computed(*sys.argv[1:])))
        return
    for name, (model_name, options, flags) in FOLDERS.items():
        folder, rows = f"{OUT}/{name}", flags.get("rows", 0)
        shutil.rmtree(folder, ignore_errors=True)
        model = resized(model_name, rows)
        before = logprobs(model, ids(model_name, rows))
        model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **{"r": 2, "lora_alpha": 3, **copy.deepcopy(options)})).eval()
        noise(model)
        memory = logprobs(model, ids(model_name, rows))
        model.base_model.model.config._name_or_path = model_name
        model.peft_config["default"].base_model_name_or_path = model_name
        model.save_pretrained(folder, save_embedding_layers=flags.get("save", "auto"))
        os.remove(f"{folder}/README.md")
        small(folder)
        golden = {"model": model_name, "rows": rows, "ids": ids(model_name, rows), "logprobs": computed(name, folder)}
        json.dump(golden, open(f"{folder}/golden.json", "w"))
        gap = max(abs(a - b) for a, b in zip(golden["logprobs"], memory))
        change = max(abs(a - b) for a, b in zip(golden["logprobs"], before))
        print(f"{name:24} changes {change:.3f}; loaded and in memory differ by {gap:.1e}", flush=True)
    tuners()


if __name__ == "__main__":
    main()
