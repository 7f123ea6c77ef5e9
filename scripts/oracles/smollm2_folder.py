"""Checks models/smollm2 (scripts/fetch_smollm2.sh) against the GGUF it was made from, by independent means.

smollm2_folder.py FOLDER FILE.gguf [TOKENIZER_FOLDER TEXT.jsonl]: weights equal the gguf package's dequantisation, rounded
to the folder's dtype; transformers loads the folder and answers a chat; the tokenizer gives the ids of another folder's.
"""
import json
import sys

import gguf
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer


def hf_name(name):
    table = {"token_embd": "model.embed_tokens", "output_norm": "model.norm", "output": "lm_head", "attn_q": "self_attn.q_proj",
             "attn_k": "self_attn.k_proj", "attn_v": "self_attn.v_proj", "attn_output": "self_attn.o_proj",
             "ffn_gate": "mlp.gate_proj", "ffn_up": "mlp.up_proj", "ffn_down": "mlp.down_proj", "attn_norm": "input_layernorm",
             "ffn_norm": "post_attention_layernorm"}
    parts = name.split(".")
    if parts[0] == "blk":
        return f"model.layers.{parts[1]}.{table[parts[2]]}.{parts[3]}"
    return f"{table[parts[0]]}.{parts[1]}"


def main():
    folder, path = sys.argv[1:3]
    model = AutoModelForCausalLM.from_pretrained(folder).eval()
    state = model.state_dict()
    reader = gguf.GGUFReader(path)
    worst, count = 0.0, 0
    for t in reader.tensors:
        name = hf_name(t.name)
        value = torch.from_numpy(gguf.dequantize(t.data, t.tensor_type).astype("float32")).reshape(state[name].shape)
        heads = {"q_proj": model.config.num_attention_heads, "k_proj": model.config.num_key_value_heads}.get(name.split(".")[-2])
        if heads:
            value = value.view(heads, -1, 2, value.shape[1]).transpose(1, 2).reshape(value.shape)
        worst = max(worst, (value.to(state[name].dtype).float() - state[name].float()).abs().max().item())
        count += 1
    print(f"{count} tensors, {model.dtype}, largest difference from gguf's dequantisation {worst}")
    tokenizer = AutoTokenizer.from_pretrained(folder)
    ids = tokenizer.apply_chat_template([{"role": "user", "content": "What is the capital of France?"}], add_generation_prompt=True,
                                        return_tensors="pt", return_dict=False)
    out = model.generate(ids, max_new_tokens=24, do_sample=False)
    print(repr(tokenizer.decode(out[0, ids.shape[1]:])))
    if len(sys.argv) > 3:
        other = AutoTokenizer.from_pretrained(sys.argv[3])
        lines = [json.loads(line) for line in open(sys.argv[4], encoding="utf-8")]
        texts = [v for line in lines for v in line.values() if isinstance(v, str)]
        texts += ["naïve\u0301 \u2581 12345 ½ \r\n\t x  y", "日本語テキスト 🙂👩‍👩‍👧", "<|im_start|>user\nhi<|im_end|>", "  lead", "tail  "]
        different = sum(tokenizer(t).input_ids != other(t).input_ids for t in texts)
        print(f"{len(texts)} texts tokenised, {different} differ; decoded again: {sum(tokenizer.decode(tokenizer(t).input_ids) != t for t in texts)} differ")


if __name__ == "__main__":
    main()
