"""The peers' side of optimizers.py: prints the mean seconds of a step as JSON.

  optimizers.py NAME STEPS THREADS
"""
import json
import sys
import time

import torch

name, steps, threads = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
torch.set_num_threads(threads)
torch.manual_seed(0)
matrices = [(576, 576), (192, 576), (192, 576), (576, 576), (1536, 576), (1536, 576), (576, 1536)]
hidden = [torch.nn.Parameter(torch.randn(shape) * 0.02) for _ in range(6) for shape in matrices]
rest = [torch.nn.Parameter(torch.randn(12000, 576) * 0.02)] + [torch.nn.Parameter(torch.ones(576)) for _ in range(13)]
everything = hidden + rest


def make():
    if name == "sgd":
        return "torch.optim.SGD, fused", [torch.optim.SGD(everything, lr=1e-4, momentum=0.9, fused=True)]
    if name == "adamw":
        return "torch.optim.AdamW, fused", [torch.optim.AdamW(everything, lr=1e-4, fused=True)]
    if name == "adamw8bit":
        import bitsandbytes

        return "bitsandbytes", [bitsandbytes.optim.AdamW8bit(everything, lr=1e-4)]
    if name == "lion":
        from lion_pytorch import Lion

        return "lion-pytorch", [Lion(everything, lr=1e-4)]
    if name == "adafactor":
        from transformers import Adafactor

        return "transformers", [Adafactor(everything, lr=1e-4, relative_step=False)]
    if name == "muon":
        return "torch.optim.Muon + AdamW", [torch.optim.Muon(hidden, lr=1e-4), torch.optim.AdamW(rest, lr=1e-4, fused=True)]
    import pytorch_optimizer

    if name == "ademamix":
        return "pytorch_optimizer", [pytorch_optimizer.AdEMAMix(everything, lr=1e-4)]
    return "pytorch_optimizer", [pytorch_optimizer.SOAP(everything, lr=1e-4)]


title, optimizers = make()
seconds = []
try:
    for _ in range(steps):
        for p in everything:
            p.grad = torch.randn_like(p) * 1e-3
        start = time.monotonic()
        for optimizer in optimizers:
            optimizer.step()
        seconds.append(time.monotonic() - start)
except Exception as error:  # a peer without a kernel for this machine
    print(json.dumps({"name": title, "error": f"does not run here ({type(error).__name__})"}))
    sys.exit()


def tensors(x):
    """All tensors of a state, however deep."""
    if torch.is_tensor(x):
        return [x]
    if isinstance(x, dict):
        x = x.values()
    return [t for item in x for t in tensors(item)] if isinstance(x, (list, tuple, type({}.values()))) else []


held = sum(t.nbytes for o in optimizers for state in o.state.values() for t in tensors(state))
print(json.dumps({"name": title, "seconds": sum(seconds[2:]) / len(seconds[2:]), "bytes": held}))
