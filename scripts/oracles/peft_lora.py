"""LoRA adapters written by PEFT on the tiny models, and their log-probs, for tests/adapter/lora_test.cc.

Writes tests/adapter/golden/<name>/: adapter_model.safetensors, adapter_config.json, golden.json ({"model": name of the
base in tests/model/golden, "ids": [...], "logprobs": [...] with the adapter, "base": [...] without, "merged": [...]}).
With a folder as argument (an adapter that Temper wrote for one of these models) prints the log-probs PEFT computes with
it on the same ids, as JSON: peft_lora.py NAME FOLDER.
"""
import json
import os
import shutil
import sys
import warnings

import torch
from peft import LoraConfig, PeftModel, get_peft_model
from transformers import AutoModelForCausalLM

HERE = os.path.dirname(os.path.abspath(__file__))
MODELS = os.path.join(HERE, "../../tests/model/golden")
OUT = os.path.join(HERE, "../../tests/adapter/golden")

ADAPTERS = {
    "names": ("llama3", dict(r=4, lora_alpha=8, target_modules=["q_proj", "v_proj", "down_proj"], lora_dropout=0.1)),
    "all_linear": ("qwen3", dict(r=4, lora_alpha=6, target_modules="all-linear", use_rslora=True)),
    "patterns": ("qwen2", dict(r=2, lora_alpha=8, target_modules=r"model\.layers\.[12]\..*_proj", use_rslora=True,
                               rank_pattern={r"model\.layers\.1\.self_attn\..*": 3, "up_proj": 1},
                               alpha_pattern={"k_proj": 32, r"^model\.layers\.2\.mlp\.gate_proj": 1})),
    "saved_modules": ("mistral", dict(r=2, lora_alpha=4, target_modules=["o_proj"], modules_to_save=["lm_head", "embed_tokens"])),
    "saved_tied": ("smollm", dict(r=2, lora_alpha=4, target_modules=["gate_proj"], modules_to_save=["embed_tokens"],
                                  ensure_weight_tying=True)),
}


def base(name):
    return AutoModelForCausalLM.from_pretrained(f"{MODELS}/{name}", dtype=torch.float32, attn_implementation="eager").eval()


def ids_of(name):
    return json.load(open(f"{MODELS}/{name}/golden.json"))["sequences"][2]["ids"]


def logprobs(model, ids):
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].float()
    return [round(x, 7) for x in torch.log_softmax(logits[:-1], -1).gather(1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()]


def main():
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if len(sys.argv) == 3:
        name, folder = sys.argv[1:]
        model = PeftModel.from_pretrained(base(ADAPTERS[name][0]), folder).eval()
        print(json.dumps(logprobs(model, ids_of(ADAPTERS[name][0]))))
        return
    for name, (model_name, options) in ADAPTERS.items():
        folder = f"{OUT}/{name}"
        shutil.rmtree(folder, ignore_errors=True)
        ids = ids_of(model_name)
        model = base(model_name)
        golden = {"model": model_name, "ids": ids, "base": logprobs(model, ids)}
        model = get_peft_model(model, LoraConfig(task_type="CAUSAL_LM", **options)).eval()
        generator = torch.Generator().manual_seed(3)
        for n, p in model.named_parameters():
            if p.requires_grad:
                noise = torch.randn(p.shape, generator=generator)
                p.data = noise * 0.1 if "lora_" in n else p.data + noise * 0.05
        golden["logprobs"] = logprobs(model, ids)
        model.base_model.model.config._name_or_path = model_name
        model.peft_config["default"].base_model_name_or_path = model_name
        model.save_pretrained(folder)
        golden["merged"] = logprobs(model.merge_and_unload(), ids)
        json.dump(golden, open(f"{folder}/golden.json", "w"))
        os.remove(f"{folder}/README.md")
        print(name, max(abs(a - b) for a, b in zip(golden["base"], golden["logprobs"])),
              max(abs(a - b) for a, b in zip(golden["merged"], golden["logprobs"])))


if __name__ == "__main__":
    main()
