"""Writes tests/tensor/golden/python.safetensors with the Python package, for tests/tensor/safetensors_test.cc."""
import os
import torch
from safetensors.torch import save_file

out = os.path.join(os.path.dirname(__file__), "../../tests/tensor/golden")
os.makedirs(out, exist_ok=True)
save_file({
    "w.f32": (torch.arange(12, dtype=torch.float32).view(3, 4) / 8),
    "w.bf16": (torch.arange(6).view(2, 3) - 2).to(torch.bfloat16),
    "w.f16": torch.ones(3, dtype=torch.float16),
    "a.f32": torch.zeros(2, 2),
    "ids": torch.arange(5),
    "flags": torch.tensor([True, False, True]),
    "bytes": torch.arange(4, dtype=torch.uint8),
    "naïve": torch.tensor(1.5, dtype=torch.float64),
}, f"{out}/python.safetensors", metadata={"format": "pt"})
