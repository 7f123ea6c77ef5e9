"""LoRA on all linears of every family (of mixtures: of attention) by PEFT: its files, and the log-probs of the model with it.

Reads tests/model/golden/families, writes tests/adapter/golden/families/<name>/: adapter_config.json, adapter_model.safetensors,
golden.json ({"ids": [...], "logprobs": [...]}). Models whose text stands inside another are left out: their text part is a family of
its own here. Of mixtures there are further folders, with routers and experts adapted too.
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
ATTENTION = r".*\.self_attn\..*_proj(_with_mqa)?"
GPT_OSS = ["mlp.experts.gate_up_proj", "mlp.experts.down_proj", "mlp.router.weight"]
# PEFT turns "all-linear" of mixtures into LoRA on attention, the routers' and the experts' tensors, but of gpt-oss, whose experts are
# no linears in files either. What a further folder is called, and what its LoRA stands on.
EXPERTS = {
    "deepseek_v3": {"experts": {"target_modules": "all-linear"},
                    # The linears that PEFT then leaves out.
                    "shared": {"target_modules": "all-linear", "target_parameters": ["gate_proj.weight", "up_proj.weight", "down_proj.weight"],
                               "rank_pattern": {"shared_experts.down_proj.weight": 3}}},
    "gemma4_moe": {},
    "glm4_moe": {"experts": {"target_modules": "all-linear"}},
    "gpt_oss": {"experts": {"target_modules": ATTENTION, "target_parameters": GPT_OSS}},
    "mixtral": {"experts": {"target_modules": "all-linear", "use_rslora": True}},
    "qwen3_5_moe_text": {},
    "qwen3_moe": {"experts": {"target_modules": "all-linear"},
                  "down": {"target_modules": [], "target_parameters": ["experts.down_proj"], "alpha_pattern": {"down_proj": 6}}},
}


def write(name, folder, lora):
    source, out = f"{ROOT}/model/golden/families/{name}", f"{ROOT}/adapter/golden/families/{folder}"
    model = AutoModelForCausalLM.from_pretrained(source, dtype=torch.float32, attn_implementation="eager")
    model = get_peft_model(model, LoraConfig(r=2, lora_alpha=4, task_type="CAUSAL_LM", **lora)).eval()
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
    for key in ("target_modules", "target_parameters"):
        if isinstance(config[key], list):
            config[key].sort()
    json.dump(config, open(f"{out}/adapter_config.json", "w"), indent=2)
    json.dump({"ids": ids, "logprobs": [round(x, 7) for x in logp.tolist()]}, open(f"{out}/golden.json", "w"))
    print(folder, config["target_modules"], config["target_parameters"], os.path.getsize(f"{out}/adapter_model.safetensors"))


def main():
    torch.set_num_threads(1)
    names = sys.argv[1:] or sorted(os.listdir(f"{ROOT}/model/golden/families"))
    for name in names:
        if name in INSIDE or name == "gpt_oss_mxfp4":
            continue
        write(name, name, {"target_modules": ATTENTION if name in EXPERTS else "all-linear"})
        for kind, lora in EXPERTS.get(name, {}).items():
            write(name, f"{name}_{kind}", lora)


if __name__ == "__main__":
    main()
