"""transformers' side of the rows of decoding and of the first token. Runs with a Python that has transformers.

  hf_decode.py decode MODEL bf16|f32 BATCH PROMPT SHORT LONG THREADS     seconds of LONG new tokens less those of SHORT
  hf_decode.py first MODEL bf16|f32 THREADS                              seconds from the folder to the first token, without imports
"""
import json
import sys
import time

import torch
from transformers import AutoModelForCausalLM

what, folder, dtype = sys.argv[1:4]
numbers = [int(x) for x in sys.argv[4:]]
torch.set_num_threads(numbers[-1])
start = time.monotonic()
model = AutoModelForCausalLM.from_pretrained(folder, dtype={"bf16": torch.bfloat16, "f32": torch.float32}[dtype])


def seconds(ids, n):
    begun = time.monotonic()
    model.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=n, min_new_tokens=n, do_sample=True, top_k=0)
    return time.monotonic() - begun


with torch.no_grad():
    if what == "first":
        seconds(torch.tensor([[3, 4, 5]]), 1)
        print(json.dumps({"seconds": time.monotonic() - start}))
    else:
        batch, prompt, short, long = numbers[:4]
        ids = torch.randint(3, min(12000, model.config.vocab_size), (batch, prompt))
        first = seconds(ids, short)
        print(json.dumps({"seconds": seconds(ids, long) - first}))
