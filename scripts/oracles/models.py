"""Tiny random models of every family and transformers' per-token log-probs of them, for tests/model/logits_test.cc.

Writes tests/model/golden/<name>/: config.json, generation_config.json, *.safetensors, golden.json
({"sequences": [{"ids": [...], "logprobs": [...]}], "parameters": n}; logprobs[t-1] = log p(ids[t] | ids[<t]), fp32).
"""
import json
import os
import shutil

import torch
from transformers import AutoModelForCausalLM, LlamaConfig, MistralConfig, Qwen2Config, Qwen3Config

OUT = os.path.join(os.path.dirname(os.path.abspath(__file__)), "../../tests/model/golden")
SHAPE = dict(vocab_size=120, hidden_size=32, intermediate_size=56, num_hidden_layers=2, num_attention_heads=4,
             num_key_value_heads=2, max_position_embeddings=256, bos_token_id=1, eos_token_id=2)


def old_spelling(config):
    """rope_theta beside rope_scaling, as transformers 4 wrote it."""
    rope = config.pop("rope_parameters")
    config["rope_theta"] = rope.pop("rope_theta")
    config["rope_scaling"] = None if rope.get("rope_type", "default") == "default" else rope
    config["torch_dtype"] = config.pop("dtype")
    return config


MODELS = {
    # name: (config, dtype of the file, shard size, change of config.json)
    "llama3": (LlamaConfig(**{**SHAPE, "eos_token_id": [2, 7]}, rope_parameters={
        "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64}), torch.float32, None, old_spelling),
    "llama_linear": (LlamaConfig(**SHAPE, attention_bias=True, mlp_bias=True, rope_parameters={
        "rope_type": "linear", "rope_theta": 10000.0, "factor": 4.0}), torch.bfloat16, None, None),
    "smollm": (LlamaConfig(**{**SHAPE, "num_attention_heads": 6, "num_key_value_heads": 3, "hidden_size": 48,
                              "num_hidden_layers": 3}, tie_word_embeddings=True, rms_norm_eps=1e-5),
               torch.bfloat16, "30KB", old_spelling),
    "mistral": (MistralConfig(**SHAPE, sliding_window=8, head_dim=12, rope_parameters={
        "rope_type": "default", "rope_theta": 1000000.0}), torch.float16, None, None),
    "qwen2": (Qwen2Config(**{**SHAPE, "num_hidden_layers": 3}, tie_word_embeddings=True, use_sliding_window=True, sliding_window=10,
                          max_window_layers=1, rope_parameters={"rope_type": "default", "rope_theta": 1000000.0}),
              torch.bfloat16, None, old_spelling),
    "qwen3": (Qwen3Config(**SHAPE, head_dim=16, rope_parameters={"rope_type": "default", "rope_theta": 1000000.0}),
              torch.bfloat16, None, None),
}


def randomise(model):
    generator = torch.Generator().manual_seed(7)
    for name, p in model.named_parameters():
        noise = torch.randn(p.shape, generator=generator)
        p.data = 1 + 0.3 * noise if "norm" in name else noise * 0.2


def logprobs(model, ids):
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].float()
    return torch.log_softmax(logits[:-1], -1).gather(1, torch.tensor(ids[1:])[:, None])[:, 0].tolist()


def main():
    torch.set_num_threads(1)
    for name, (config, dtype, shard, change) in MODELS.items():
        folder = f"{OUT}/{name}"
        shutil.rmtree(folder, ignore_errors=True)
        model = AutoModelForCausalLM.from_config(config, attn_implementation="eager")
        randomise(model)
        model = model.to(dtype)
        model.save_pretrained(folder, **({"max_shard_size": shard} if shard else {}))
        if change:
            path = f"{folder}/config.json"
            changed = change(json.load(open(path)))
            json.dump(changed, open(path, "w"), indent=2)
        model = AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager").eval()
        generator = torch.Generator().manual_seed(1)
        sequences = []
        for length in (1, 2, 23, 100):
            ids = torch.randint(0, config.vocab_size, (length,), generator=generator).tolist()
            sequences.append({"ids": ids, "logprobs": [round(x, 7) for x in logprobs(model, ids)]})
        count = sum(p.numel() for p in model.parameters())
        json.dump({"parameters": count, "sequences": sequences}, open(f"{folder}/golden.json", "w"))
        print(name, count, os.popen(f"du -sk {folder}").read().split()[0], "KB", sequences[2]["logprobs"][:4])


if __name__ == "__main__":
    main()
