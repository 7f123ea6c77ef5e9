"""Makes the model that the benchmarks run: SmolLM2-135M's shape with random weights, and a BPE tokenizer trained
on GSM8K. Runs with a Python that has transformers.

  make_model.py GSM8K.jsonl FOLDER
"""
import json
import sys

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

gsm8k, folder = sys.argv[1:]
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
model = LlamaForCausalLM(LlamaConfig(
    vocab_size=49152, hidden_size=576, intermediate_size=1536, num_hidden_layers=30, num_attention_heads=9,
    num_key_value_heads=3, max_position_embeddings=8192, rope_theta=100000, tie_word_embeddings=True,
    rms_norm_eps=1e-5, bos_token_id=1, eos_token_id=2, pad_token_id=0))
model.save_pretrained(folder)
tokenizer.save_pretrained(folder)
