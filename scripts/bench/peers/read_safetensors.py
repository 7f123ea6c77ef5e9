"""safetensors' side of the row of reading: every tensor copied into memory of its own. Runs with a Python that has safetensors and torch.

  read_safetensors.py FILE THREADS     the fastest of three, after one that is not counted
"""
import json
import sys
import time

import torch
from safetensors.torch import load_file

file = sys.argv[1]
torch.set_num_threads(int(sys.argv[2]))
best = None
for i in range(4):
    start = time.monotonic()
    size = sum(t.clone().nbytes for t in load_file(file).values())
    seconds = time.monotonic() - start
    best = seconds if best is None or i == 1 else min(best, seconds)
print(json.dumps({"bytes": size, "seconds": best}))
