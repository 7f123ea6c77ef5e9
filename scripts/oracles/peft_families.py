"""LoRA on all linears of every family (of mixtures: of attention) by PEFT: its files, and the log-probs of the model with it.

Reads tests/model/golden/families, writes tests/adapter/golden/families/<name>/: adapter_config.json, adapter_model.safetensors,
golden.json ({"ids": [...], "logprobs": [...]}). Models whose text stands inside another are left out: their text part is a family of
its own here.
"""
import json
import os
import shutil
import sys

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM

ROOT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests")
INSIDE = {"gemma3", "gemma4", "mistral3", "qwen3_5_moe"}
# PEFT turns "all-linear" of these into LoRA on the experts' tensors, too.
MIXTURES = {"deepseek_v3", "gemma4_moe", "glm4_moe", "gpt_oss", "mixtral", "qwen3_5_moe_text", "qwen3_moe"}


def main():
    torch.set_num_threads(1)
    names = sys.argv[1:] or sorted(os.listdir(f"{ROOT}/model/golden/families"))
    for name in names:
        if name in INSIDE or name == "gpt_oss_mxfp4":
            continue
        source, out = f"{ROOT}/model/golden/families/{name}", f"{ROOT}/adapter/golden/families/{name}"
        model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32, attn_implementation="eager")
        targets = r".*\.self_attn\..*_proj(_with_mqa)?" if name in MIXTURES else "all-linear"
        model = get_peft_model(model, LoraConfig(r=2, lora_alpha=4, target_modules=targets, task_type="CAUSAL_LM")).eval()
        generator = torch.Generator().manual_seed(3)
        for key, p in model.named_parameters():
            if "lora_" in key:
                p.data = 0.3 * torch.randn(p.shape, generator=generator)
        ids = json.load(open(f"{source}/golden.json"))["sequences"][2]["ids"]
        with torch.no_grad():
            logits = model(torch.tensor([ids])).logits[0].float()
        logp = torch.log_softmax(logits[:-1], -1).gather(1, torch.tensor(ids[1:])[:, None])[:, 0]
        shutil.rmtree(out, ignore_errors=True)
        model.save_pretrained(out)
        for extra in os.listdir(out):
            if extra not in ("adapter_config.json", "adapter_model.safetensors"):
                os.remove(f"{out}/{extra}")
        config = json.load(open(f"{out}/adapter_config.json"))
        config["base_model_name_or_path"] = name
        if isinstance(config["target_modules"], list):
            config["target_modules"].sort()
        json.dump(config, open(f"{out}/adapter_config.json", "w"), indent=2)
        json.dump({"ids": ids, "logprobs": [round(x, 7) for x in logp.tolist()]}, open(f"{out}/golden.json", "w"))
        print(name, config["target_modules"], os.path.getsize(f"{out}/adapter_model.safetensors"))


if __name__ == "__main__":
    main()
