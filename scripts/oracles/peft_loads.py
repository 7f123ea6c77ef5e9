#!/usr/bin/env python3
"""Trains every kind of adapter that PEFT knows for a few steps with temper-train, loads the folder in PEFT and compares the
log-probs of both on held-out text.

  peft_loads.py BIN MODEL DATA.jsonl      BIN: the folder of the programs; MODEL: a small Hugging Face folder
"""
import json
import os
import subprocess
import sys
import tempfile
import warnings

import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM

KINDS = [
    {"kind": "lora"}, {"kind": "rslora"}, {"kind": "dora"}, {"kind": "pissa"}, {"kind": "pissa", "svd_iterations": 4}, {"kind": "olora"},
    {"kind": "corda"}, {"kind": "corda", "corda_mode": "kpm", "corda_data": ["DATA"]}, {"kind": "lora_plus"}, {"kind": "lora_fa"}, {"kind": "increlora"},
    {"kind": "lora", "targets": ["embed_tokens", "lm_head", "q_proj"]}, {"kind": "dora", "targets": ["lm_head"]},
    {"kind": "pissa", "targets": ["lm_head", "v_proj"]}, {"kind": "ist"}, {"kind": "vera"}, {"kind": "ia3"}, {"kind": "prompt"}, {"kind": "prefix"},
]  # fmt: skip
# Where there are experts, which take plain LoRA alone.
OF_MIXTURES = [
    {"kind": "lora"}, {"kind": "rslora"}, {"kind": "dora", "targets": ["o_proj"]}, {"kind": "lora_plus"}, {"kind": "lora_fa"}, {"kind": "increlora"},
    {"kind": "lora", "targets": [], "target_parameters": ["experts.down_proj"]}, {"kind": "lora", "target_parameters": ["experts.gate_up_proj"]},
    {"kind": "ist"}, {"kind": "prompt"},
]  # fmt: skip


def run(*command):
    done = subprocess.run([str(c) for c in command], capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(map(str, command))}\n{done.stderr}")
    return done.stdout


def main():
    bin, model, data = sys.argv[1:]
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    known = {row["name"] for row in json.loads(run(f"{bin}/temper-inspect", "list", "adapter"))}
    worst = 0.0
    with tempfile.TemporaryDirectory() as work:
        config = {
            "task": "sft", "threads": 1, "model": {"path": os.path.abspath(model), "dtype": "f32"}, "data": {"train": [os.path.abspath(data)]},
            "optimizer": {"name": "adamw", "lr": 2e-3}, "schedule": {"name": "constant"}, "train": {"steps": 5, "batch_size": 8},
            "checkpoint": {"every": 0}, "run": "unset",
        }  # fmt: skip
        json.dump(config, open(f"{work}/config.json", "w"))
        shape = json.load(open(f"{model}/config.json"))
        kinds = OF_MIXTURES if any(key in shape for key in ("num_experts", "num_local_experts", "n_routed_experts")) else KINDS
        ids = [[(i * 7919 + 13 * k + 3) % min(300, shape["vocab_size"]) for i in range(40)] for k in range(4)]
        open(f"{work}/ids.jsonl", "w").write("".join(json.dumps({"ids": x}) + "\n" for x in ids))
        for kind in kinds:
            name = " ".join("+".join(v) if isinstance(v, list) else str(v) for k, v in kind.items() if k != "corda_data")
            if "corda_data" in kind:
                kind["corda_data"] = [os.path.abspath(data)]
            if kind["kind"] not in known:
                print(f"{name:16} not there")
                continue
            folder = f"{work}/{name.replace(' ', '-')}"
            run(f"{bin}/temper-train", f"{work}/config.json", "--quiet", "--run", folder, "--set", f"adapter={json.dumps(kind)}")
            out = run(f"{bin}/temper-inspect", "logprob", "--model", model, "--adapter", f"{folder}/final", "--input", f"{work}/ids.jsonl")
            ours = [json.loads(line)["logprobs"] for line in out.splitlines()]
            base = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32, attn_implementation="eager").eval()
            peft = PeftModel.from_pretrained(base, f"{folder}/final").eval()
            gap, change = 0.0, 0.0
            for x, own in zip(ids, ours):
                with torch.no_grad():
                    logits = peft(input_ids=torch.tensor([x])).logits[0].float()[-len(x) :]
                theirs = torch.log_softmax(logits[:-1], -1).gather(1, torch.tensor(x[1:])[:, None])[:, 0]
                own = torch.tensor([v for v in own if v is not None][-len(theirs) :])
                gap = max(gap, (own - theirs).abs().max().item())
            worst = max(worst, gap)
            type = json.load(open(f"{folder}/final/adapter_config.json"))["peft_type"]
            print(f"{name:16} {type:14} largest difference {gap:.1e}", flush=True)
    print(f"worst {worst:.1e}")
    sys.exit(worst > 2e-5)


if __name__ == "__main__":
    main()
