"""Makes the models that the benchmarks run: SmolLM2-135M's shape with random weights, or Qwen2.5-0.5B's with random
weights in bf16, and a BPE tokenizer trained on GSM8K. Runs with a Python that has transformers.

  make_model.py GSM8K.jsonl FOLDER [smollm2-135m | qwen2.5-0.5b]
"""
import json
import sys

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import (LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast, Qwen2Config,
                          Qwen2ForCausalLM)

gsm8k, folder = sys.argv[1:3]
shape = (sys.argv[3:] or ["smollm2-135m"])[0]
rows = [json.loads(line) for line in open(gsm8k)]
bpe = Tokenizer(models.BPE())
bpe.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
bpe.decoder = decoders.ByteLevel()
bpe.train_from_iterator(
    (f"{r['question']} {r['answer']}" for r in rows),
    trainers.BpeTrainer(vocab_size=12000, special_tokens=["<|endoftext|>", "<|im_start|>", "<|im_end|>"],
                        initial_alphabet=pre_tokenizers.ByteLevel.alphabet()))
tokenizer = PreTrainedTokenizerFast(tokenizer_object=bpe, eos_token="<|im_end|>", pad_token="<|endoftext|>",
                                    bos_token="<|im_start|>")
tokenizer.chat_template = (
    "{% for m in messages %}{{'<|im_start|>'+m['role']+'\n'+m['content']+'<|im_end|>\n'}}{% endfor %}"
    "{% if add_generation_prompt %}{{'<|im_start|>assistant\n'}}{% endif %}")
torch.manual_seed(0)
if shape == "qwen2.5-0.5b":
    model = Qwen2ForCausalLM(Qwen2Config(
        vocab_size=151936, hidden_size=896, intermediate_size=4864, num_hidden_layers=24, num_attention_heads=14,
        num_key_value_heads=2, max_position_embeddings=32768, rope_theta=1000000, tie_word_embeddings=True,
        rms_norm_eps=1e-6, bos_token_id=1, eos_token_id=2, pad_token_id=0)).to(torch.bfloat16)
else:
    model = LlamaForCausalLM(LlamaConfig(
        vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
        num_key_value_heads=3, max_position_embeddings=8192, rope_theta=100000, tie_word_embeddings=True,
        rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2, pad_token_id=0))
model.save_pretrained(folder)
tokenizer.save_pretrained(folder)
