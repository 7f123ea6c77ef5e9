"""The kinds of adapters beside plain LoRA: made, trained five steps by SGD and saved by PEFT on the tiny models, for
tests/adapter/peft_test.cc.

Writes tests/adapter/golden/kinds/<name>/: start/ (the untrained adapter, where it is random), trained/ (after five steps), and
golden.json: {"model": base in tests/model/golden, "ids", "lr", "base": log-probs without the adapter, "losses" and
"grad_norms" of the five steps, "logprobs" with the trained adapter, "merged"}.
With a name: that one alone. With a folder that Temper wrote: peft_adapters.py NAME FOLDER prints the log-probs that PEFT
computes with it, as JSON.
"""
import json
import os
import shutil
import sys
import warnings

import torch
from peft import (
    IA3Config, LoraConfig, PeftModel, PrefixTuningConfig, PromptTuningConfig, VeraConfig, get_peft_model,
)  # fmt: skip
from peft.optimizers import create_loraplus_optimizer
from peft.tuners.lora.config import CordaConfig
from peft.tuners.lora.corda import preprocess_corda
from peft_lora import base, ids_of, logprobs

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "../../tests/adapter/golden/kinds")
# By name: PEFT writes "all-linear" as whole paths, and CorDA's preprocessing does not know it.
NAMES = ["q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"]
LORA = dict(r=4, lora_alpha=8, target_modules=NAMES)


def lora(**more):
    return LoraConfig(task_type="CAUSAL_LM", **{**LORA, **more})


def corda(method):
    return lambda: lora(init_lora_weights="corda", corda_config=CordaConfig(corda_method=method))


# name: (base model, config, learning rate)
KINDS = {
    "gaussian": ("llama3", lambda: lora(init_lora_weights="gaussian"), 0.5),
    "dora": ("qwen2", lambda: lora(use_dora=True), 0.5),
    "dora_rslora": ("llama3", lambda: lora(use_dora=True, use_rslora=True, target_modules=["q_proj", "down_proj"]), 0.5),
    "pissa": ("llama3", lambda: lora(init_lora_weights="pissa"), 0.1),
    "pissa_rslora": ("qwen3", lambda: lora(init_lora_weights="pissa", use_rslora=True), 0.1),
    "olora": ("mistral", lambda: lora(init_lora_weights="olora"), 0.02),
    "corda_ipm": ("llama3", corda("ipm"), 0.1),
    "corda_kpm": ("qwen2", corda("kpm"), 0.1),
    "lora_plus": ("smollm", lora, 0.1),
    "lora_fa": ("qwen3", lora, 0.5),
    # Embedding and head too: untied, tied (each adapted alone), with lengths of their own.
    "vocabulary": ("llama3", lambda: lora(target_modules=["embed_tokens", "lm_head", "q_proj"]), 0.2),
    "vocabulary_tied": ("smollm", lambda: lora(target_modules=["embed_tokens", "lm_head", "v_proj"], use_rslora=True), 0.05),
    "vocabulary_dora": ("llama3", lambda: lora(target_modules=["embed_tokens", "lm_head"], use_dora=True), 0.02),
    "vera": ("llama3", lambda: VeraConfig(task_type="CAUSAL_LM", r=8, target_modules=["q_proj", "v_proj", "down_proj"],
                                          d_initial=0.3), 2.0),
    "ia3": ("qwen2", lambda: IA3Config(task_type="CAUSAL_LM", target_modules=["k_proj", "v_proj", "down_proj"],
                                       feedforward_modules=["down_proj"]), 2.0),
    "prompt": ("llama3", lambda: PromptTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5), 2.0),
    "prefix": ("qwen3", lambda: PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=5), 2.0),
    "prefix_gqa": ("llama3", lambda: PrefixTuningConfig(task_type="CAUSAL_LM", num_virtual_tokens=3), 2.0),
}  # fmt: skip
CHANGES_BASE = {"pissa", "pissa_rslora", "olora", "corda_ipm", "corda_kpm"}
LORA_PLUS_RATIO = 4.0


def sample_ids(name):
    """The sequences that CorDA's covariance is taken from: those of the base's golden file."""
    from peft_lora import MODELS

    return [s["ids"] for s in json.load(open(f"{MODELS}/{name}/golden.json"))["sequences"]]


def attach(name):
    model_name, config, lr = KINDS[name]
    torch.manual_seed(11)
    model, config = base(model_name), config()
    if name.startswith("corda"):

        def run():
            with torch.no_grad():
                for ids in sample_ids(model_name):
                    if ids:
                        model(torch.tensor([ids]))

        preprocess_corda(model, config, run_model=run)
    model = get_peft_model(model, config).eval()
    model.base_model.config._name_or_path = model_name
    model.peft_config["default"].base_model_name_or_path = model_name
    if name == "lora_fa":
        for n, p in model.named_parameters():
            if "lora_A" in n:
                p.requires_grad_(False)
    return model, lr


def logprobs_of(model, ids):
    """PEFT prepends a soft prompt to the logits too."""
    with torch.no_grad():
        logits = model(input_ids=torch.tensor([ids])).logits[0].float()[-len(ids) :]
    return [round(x, 7) for x in torch.log_softmax(logits[:-1], -1).gather(1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()]


def save(model, folder, **more):
    model.save_pretrained(folder, save_embedding_layers=False, **more)
    os.remove(f"{folder}/README.md")


def combined():
    """Two LoRA of one base, weighted: PEFT's add_weighted_adapter."""
    model_name = KINDS["gaussian"][0]
    ids, weights = ids_of(model_name), [0.7, -0.4]
    model = PeftModel.from_pretrained(base(model_name), f"{OUT}/gaussian/trained", adapter_name="first").eval()
    model.load_adapter(f"{OUT}/pissa/trained", adapter_name="second")
    model.add_weighted_adapter(["first", "second"], weights, "sum", combination_type="cat")
    model.set_adapter("sum")
    json.dump({"model": model_name, "ids": ids, "weights": weights, "logprobs": logprobs_of(model, ids)},
              open(f"{OUT}/combined.json", "w"))  # fmt: skip


def main():
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    if len(sys.argv) == 3:
        name, folder = sys.argv[1:]
        model_name = KINDS[name][0]
        model = PeftModel.from_pretrained(base(model_name), folder).eval()
        print(json.dumps(logprobs_of(model, ids_of(model_name))))
        return
    for name in sys.argv[1:] or KINDS:
        model_name = KINDS[name][0]
        folder = f"{OUT}/{name}"
        shutil.rmtree(folder, ignore_errors=True)
        os.makedirs(folder)
        ids = ids_of(model_name)
        model, lr = attach(name)
        golden = {"model": model_name, "ids": ids, "lr": lr, "base": logprobs(base(model_name), ids)}
        start = f"{folder}/start"
        if name in CHANGES_BASE:  # PEFT wants the untrained adapter to make a plain LoRA of the trained one
            start = "/tmp/peft-adapters-start"
            shutil.rmtree(start, ignore_errors=True)
            model.peft_config["default"].init_lora_weights = True
        save(model, start)
        trained = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.SGD(trained, lr=lr)
        if name == "lora_plus":
            optimizer = create_loraplus_optimizer(model, torch.optim.SGD, lr=lr, loraplus_lr_ratio=LORA_PLUS_RATIO)
        losses, norms = [], []
        for _ in range(5):
            logits = model(input_ids=torch.tensor([ids])).logits[0].float()[-len(ids) :]
            loss = -torch.log_softmax(logits[:-1], -1).gather(1, torch.tensor(ids[1:])[:, None]).mean()
            optimizer.zero_grad()
            loss.backward()
            losses.append(loss.item())
            norms.append(torch.stack([p.grad.double().square().sum() for p in trained]).sum().sqrt().item())
            optimizer.step()
        golden |= {"losses": losses, "grad_norms": norms, "logprobs": logprobs_of(model, ids)}
        if name in CHANGES_BASE:
            model.peft_config["default"].init_lora_weights = name.split("_")[0]
            save(model, f"{folder}/trained", path_initial_model_for_weight_conversion=start)
        else:
            save(model, f"{folder}/trained")
        if hasattr(model, "merge_and_unload") and not name.startswith("pr"):
            # In PEFT's merged model a tied head and embedding, adapted each on its own, are one tensor with both updates.
            golden["merged"] = golden["logprobs"] if name == "vocabulary_tied" else logprobs(model.merge_and_unload(), ids)
        json.dump(golden, open(f"{folder}/golden.json", "w"))
        gap = max(abs(a - b) for a, b in zip(golden["base"], golden["logprobs"]))
        print(f"{name:14} losses {losses[0]:.4f} .. {losses[-1]:.4f}, changed by {gap:.3f}", flush=True)
    if len(sys.argv) == 1:
        combined()


if __name__ == "__main__":
    main()
