"""Goldens of tests/optim: 50 steps of every optimizer, and the 8-bit block format.

  python scripts/oracles/optimizers.py tests/optim/golden

Where the numbers come from, all in fp32:
  adamw, sgd, muon, adafactor/torch   torch.optim
  adafactor/transformers              transformers
  lion                                lion-pytorch
  soap, lookahead                     pytorch_optimizer (SOAP checked here against the authors' turning moments)
  ademamix                            apple/ml-ademamix, written anew below; without warm-up pytorch_optimizer
  lion-k                              written anew from the paper
  adamw8bit                           bitsandbytes' map and plain quantisation around its CUDA kernel's step (its CPU
                                      library does not always take the nearest code, so it is not used)
Besides torch and transformers it needs: pip install --no-deps lion-pytorch pytorch_optimizer bitsandbytes
"""

import json
import math
import os
import sys

sys.path.pop(0)  # this folder has files named like packages (tokenizers.py)

os.environ["TORCHDYNAMO_DISABLE"] = "1"  # bitsandbytes compiles its plain functions otherwise

import bitsandbytes.functional as bnb  # noqa: E402
import pytorch_optimizer  # noqa: E402
import torch  # noqa: E402
from bitsandbytes.backends.triton.kernels_optim import (  # noqa: E402
    _dequantize_blockwise_pytorch,
    _quantize_blockwise_pytorch,
)
from lion_pytorch import Lion  # noqa: E402
from transformers import Adafactor  # noqa: E402

STEPS = 50
SHAPES = {"tall.weight": (7, 4), "wide.weight": (3, 8), "cube.weight": (2, 3, 4), "norm.weight": (5,)}
LARGE = {"tall.weight": (40, 20), "norm.weight": (5,)}  # of adamw8bit: 800 numbers, 4 blocks


def gradient(step, value):
    """A made-up gradient that C++ computes in the same way: pulls to a target that moves, scale changes by step."""
    index = torch.arange(value.numel(), dtype=torch.float64).reshape(value.shape)
    wave = torch.sin(0.7 * index + 0.11 * index * index + 0.3 * step) * (1.0 + 0.1 * step)
    return (value.double() * 0.5 + wave).float()


def rate(lr, step):
    """A learning rate that changes by step."""
    return lr * (1.0 - step / 60.0)


def start(shapes):
    torch.manual_seed(0)
    return {name: torch.randn(shape) for name, shape in shapes.items()}


def numbers(tensor):
    return [float(f"{x:.9g}") for x in tensor.flatten().tolist()]


def run_optimizer(lr, make, shapes=SHAPES):
    values = {name: torch.nn.Parameter(v) for name, v in start(shapes).items()}
    optimizers = make(values)
    optimizers = optimizers if isinstance(optimizers, list) else [optimizers]
    for step in range(STEPS):
        for v in values.values():
            v.grad = gradient(step, v.detach())
        for optimizer in optimizers:
            for group in optimizer.param_groups:
                if group.get("lr") is not None:
                    group["lr"] = rate(lr, step)
            optimizer.step()
    return {n: numbers(v.detach()) for n, v in values.items()}


def groups(values, decay, names=SHAPES):
    return [
        {"params": [values[n]], "weight_decay": 0.0 if n == "norm.weight" else decay} for n in names if n in values
    ]


class Plain(torch.optim.Optimizer):
    """An update written out: update(p, g, state, group) with state["step"] counted from 1."""

    def __init__(self, params, lr, update):
        super().__init__(params, {"lr": lr})
        self.update = update

    @torch.no_grad()
    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                state = self.state[p]
                state["step"] = state.get("step", 0) + 1
                self.update(p, p.grad, state, group)


def ademamix(beta1, beta2, beta3, alpha, alpha_steps, beta3_steps, eps=1e-8):
    """apple/ml-ademamix, pytorch/ademamix/ademamix.py."""

    def f(beta):
        return math.log(0.5) / math.log(beta + 1e-8) - 1

    def f_inv(t):
        return math.pow(0.5, 1 / (t + 1))

    def update(p, g, state, group):
        for name in ("m1", "m2", "v"):
            state.setdefault(name, torch.zeros_like(p))
        t, lr = state["step"], group["lr"]
        alpha_t = alpha * t / alpha_steps if t < alpha_steps else alpha
        beta3_t = beta3
        if t < beta3_steps:
            beta3_t = f_inv((1 - t / beta3_steps) * f(beta1) + t / beta3_steps * f(beta3))
        if beta1 != 0:
            state["m1"].mul_(beta1).add_(g, alpha=1 - beta1)
        else:
            state["m1"] = g
        state["v"].mul_(beta2).addcmul_(g, g, value=1 - beta2)
        state["m2"].mul_(beta3_t).add_(g, alpha=1 - beta3_t)
        denominator = (state["v"].sqrt() / math.sqrt(1 - beta2**t)).add_(eps)
        step = (state["m1"] / (1 - beta1**t) + alpha_t * state["m2"]) / denominator
        step.add_(p, alpha=group["weight_decay"])
        p.add_(-lr * step)

    return update


def ademamix_without_warmup(values):
    return pytorch_optimizer.AdEMAMix(
        groups(values, 0.1), lr=0.01, betas=(0.9, 0.99, 0.999), alpha=5.0, weight_decouple=True
    )


def lion_k(beta1, beta2, nabla):
    def update(p, g, state, group):
        m = state.setdefault("m", torch.zeros_like(p))
        direction = nabla(beta1 * m + (1 - beta1) * g)
        p.sub_(group["lr"] * (direction + group["weight_decay"] * p))
        m.mul_(beta2).add_(g, alpha=1 - beta2)

    return update


def p_norm(p, rows):
    """The gradient of a p-norm by autograd, over all or summed over rows."""

    def nabla(x):
        with torch.enable_grad():
            leaf = x.clone().requires_grad_(True)
            groups = leaf.flatten(1) if rows and leaf.dim() > 1 else leaf.reshape(1, -1)
            return torch.autograd.grad(groups.norm(p, dim=1).sum(), leaf)[0]

    return nabla


def authors_soap(lr, betas, frequency, decay):
    """nikhilvyas/SOAP for matrices: the first moment turns with the basis and back."""

    def update(p, g, state, group):
        if p.dim() != 2:
            raise ValueError("matrices only")
        if state["step"] == 1:
            state["GG"] = [(1 - betas[1]) * g @ g.T, (1 - betas[1]) * g.T @ g]
            state["Q"] = [torch.linalg.eigh(s + 1e-30 * torch.eye(len(s)))[1].flip(1) for s in state["GG"]]
            state["m"], state["v"] = torch.zeros_like(p), torch.zeros_like(p)
            return
        t, (left, right) = state["step"] - 1, state["Q"]
        turned = left.T @ g @ right
        state["m"].mul_(betas[0]).add_(turned, alpha=1 - betas[0])
        state["v"].mul_(betas[1]).add_(turned.square(), alpha=1 - betas[1])
        size = group["lr"] * math.sqrt(1 - betas[1] ** t) / (1 - betas[0] ** t)
        p.add_(left @ (state["m"] / (state["v"].sqrt() + 1e-8)) @ right.T, alpha=-size)
        p.add_(p, alpha=-group["lr"] * group["weight_decay"])
        back = left @ state["m"] @ right.T
        for s, outer in zip(state["GG"], (g @ g.T, g.T @ g)):
            s.lerp_(outer, 1 - betas[1])
        if t % frequency == 0:
            for side in (0, 1):
                product = state["GG"][side] @ state["Q"][side]
                order = torch.argsort((state["Q"][side] * product).sum(0), descending=True)
                state["v"] = state["v"].index_select(side, order)
                state["Q"][side] = torch.linalg.qr(product[:, order])[0]
        state["m"] = state["Q"][0].T @ back @ state["Q"][1]

    return update


def soap(v, decay, **options):
    """pytorch_optimizer's; one optimizer a parameter, since its step count is one of the whole."""
    return [
        pytorch_optimizer.SOAP([v[n]], weight_decay=0.0 if n == "norm.weight" else decay, **options) for n in v
    ]


def check_soap():
    shapes = {"square.weight": (6, 6)}
    options = {"betas": (0.9, 0.8), "decay": 0.05}
    mine = run_optimizer(
        0.02,
        lambda v: Plain(groups(v, 0.05, shapes), 0.02, authors_soap(0.02, (0.9, 0.8), 4, 0.05)),
        shapes,
    )
    theirs = run_optimizer(
        0.02, lambda v: soap(v, options["decay"], lr=0.02, betas=options["betas"], precondition_frequency=4), shapes
    )
    a, b = (torch.tensor(x["square.weight"]) for x in (mine, theirs))
    error = ((a - b).abs().max() / a.abs().max()).item()
    print(f"soap: authors' form against pytorch_optimizer, relative {error:.1e}")
    assert error < 1e-5


def check_ademamix():
    mine = run_optimizer(0.01, lambda v: Plain(groups(v, 0.1), 0.01, ademamix(0.9, 0.99, 0.999, 5.0, 0, 0)))
    theirs = run_optimizer(0.01, ademamix_without_warmup)
    error = max(
        ((torch.tensor(mine[n]) - torch.tensor(theirs[n])).abs().max() / torch.tensor(mine[n]).abs().max()).item()
        for n in mine
    )
    print(f"ademamix: authors' form against pytorch_optimizer, without warm-up, relative {error:.1e}")
    assert error < 1e-6


def adam8bit(beta1, beta2, eps, min_size):
    """bitsandbytes' kOptimizerStatic8bit2StateBlockwise (csrc/kernels.cu) around its block format."""
    maps = {"m": bnb.create_dynamic_map(signed=True), "v": bnb.create_dynamic_map(signed=False)}

    def update(p, g, state, group):
        blocks = -(-p.numel() // 256)
        small = p.numel() < min_size
        for name in ("m", "v"):
            empty = torch.zeros_like(p), torch.zeros(blocks)
            state.setdefault(name, empty if small else (empty[0].to(torch.uint8), empty[1]))
        m, v = (state[n][0] if small else _dequantize_blockwise_pytorch(*state[n], maps[n], 256, torch.float32) for n in ("m", "v"))
        m = beta1 * m + (1 - beta1) * g
        v = beta2 * v + (1 - beta2) * g * g
        t = state["step"]
        correction2 = math.sqrt(1 - beta2**t)
        size = group["lr"] * correction2 / (1 - beta1**t)
        p.sub_(size * (m / (v.sqrt() + correction2 * eps)))
        p.mul_(1 - group["lr"] * group["weight_decay"])
        if small:
            state["m"], state["v"] = (m, None), (v, None)
            return
        codes, absmax = _quantize_blockwise_pytorch(m, maps["m"], 256)
        kept = maps["m"][codes.long()]
        flipped = torch.signbit(kept) != torch.signbit(m)
        codes = torch.where(flipped, torch.where(m > 0, codes + 1, codes - 1), codes)
        state["m"], state["v"] = (codes, absmax), _quantize_blockwise_pytorch(v, maps["v"], 256)

    return update


def blocks8():
    maps = {name: bnb.create_dynamic_map(signed=name == "signed") for name in ("signed", "unsigned")}
    torch.manual_seed(1)
    x = torch.randn(600) * torch.logspace(-8, 1, 600)
    x[:256] = x[:256][torch.randperm(256)]
    out = {}
    for name, code in maps.items():
        values = x if name == "signed" else x.square()
        codes, absmax = _quantize_blockwise_pytorch(values, code, 256)
        out[name] = {
            "map": numbers(code),
            "x": numbers(values),
            "codes": codes.tolist(),
            "absmax": numbers(absmax),
            "back": numbers(_dequantize_blockwise_pytorch(codes, absmax, code, 256, torch.float32)),
        }
    return out


def optimizers():
    adamw, sgd = torch.optim.AdamW, torch.optim.SGD
    yield "adamw", {"lr": 0.01}, lambda v: adamw(groups(v, 0.0), lr=0.01)
    yield (
        "adamw",
        {"lr": 0.02, "weight_decay": 0.1, "beta1": 0.8, "beta2": 0.95, "eps": 1e-6},
        lambda v: adamw(groups(v, 0.1), lr=0.02, betas=(0.8, 0.95), eps=1e-6),
    )
    yield "sgd", {"lr": 0.05}, lambda v: sgd(groups(v, 0.0), lr=0.05)
    yield (
        "sgd",
        {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.05},
        lambda v: sgd(groups(v, 0.05), lr=0.02, momentum=0.9),
    )
    yield (
        "sgd",
        {"lr": 0.02, "momentum": 0.9, "dampening": 0.3},
        lambda v: sgd(groups(v, 0.0), lr=0.02, momentum=0.9, dampening=0.3),
    )
    yield (
        "sgd",
        {"lr": 0.02, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01},
        lambda v: sgd(groups(v, 0.01), lr=0.02, momentum=0.8, nesterov=True),
    )

    yield "lion", {"lr": 0.01}, lambda v: Lion(groups(v, 0.0), lr=0.01)
    yield (
        "lion",
        {"lr": 0.02, "beta1": 0.95, "beta2": 0.98, "weight_decay": 0.3},
        lambda v: Lion(groups(v, 0.3), lr=0.02, betas=(0.95, 0.98)),
    )
    for norm, p in (("lp", 2.0), ("lp", 3.0), ("rows", 2.0), ("rows", 1.5)):
        yield (
            "lion",
            {"lr": 0.05, "norm": norm, "p": p, "weight_decay": 0.1},
            lambda v: Plain(groups(v, 0.1), 0.05, lion_k(0.9, 0.99, p_norm(p, norm == "rows"))),
        )

    yield (
        "ademamix",
        {"lr": 0.01, "beta2": 0.99, "beta3": 0.999, "alpha": 5.0, "alpha_warmup": 0, "beta3_warmup": 0,
         "weight_decay": 0.1},
        ademamix_without_warmup,
    )
    yield (
        "ademamix",
        {"lr": 0.01, "alpha_warmup": 30, "beta3_warmup": 40, "weight_decay": 0.1},
        lambda v: Plain(groups(v, 0.1), 0.01, ademamix(0.9, 0.999, 0.9999, 8.0, 30, 40)),
    )
    yield (
        "ademamix",
        {"lr": 0.01, "beta1": 0.0, "alpha": 2.0, "alpha_warmup": 0.5, "beta3_warmup": 1.0},
        lambda v: Plain(groups(v, 0.0), 0.01, ademamix(0.0, 0.999, 0.9999, 2.0, STEPS / 2, STEPS)),
    )

    # A side that is longer than the other has a null space at first, whose basis is rounding; with max_size
    # 5 no turned side has one.
    yield (
        "soap",
        {"lr": 0.02, "weight_decay": 0.1, "max_size": 5},
        lambda v: soap(v, 0.1, lr=0.02, max_precondition_dim=5),
    )
    yield (
        "soap",
        {"lr": 0.02, "beta1": 0.9, "beta2": 0.8, "shampoo_beta": 0.9, "frequency": 3, "max_size": 5},
        lambda v: soap(
            v, 0.01, lr=0.02, betas=(0.9, 0.8), shampoo_beta=0.9, precondition_frequency=3, max_precondition_dim=5
        ),
    )

    fixed = {"relative_step": False, "warmup_init": False}
    yield (
        "adafactor",
        {"lr": 0.05, "weight_decay": 0.1},
        lambda v: Adafactor(groups(v, 0.1), lr=0.05, **fixed),
    )
    yield (
        "adafactor",
        {"lr": 0.02, "beta1": 0.9, "scale_parameter": False, "clip": 0.7, "beta2_decay": 0.7},
        lambda v: Adafactor(
            groups(v, 0.0), lr=0.02, beta1=0.9, scale_parameter=False, clip_threshold=0.7, decay_rate=-0.7, **fixed
        ),
    )
    yield (
        "adafactor",
        {"weight_decay": 0.1},
        lambda v: Adafactor(groups(v, 0.1)),  # as it comes
    )
    yield (
        "adafactor",
        {"warmup_init": True},
        lambda v: Adafactor(groups(v, 0.0), relative_step=True, warmup_init=True),
    )
    yield (
        "adafactor",
        {"form": "torch", "lr": 0.05, "weight_decay": 0.1},
        lambda v: torch.optim.Adafactor(groups(v, 0.1), lr=0.05, foreach=False),
    )

    def muon(values, decay, lr, **options):
        hidden = {n: v for n, v in values.items() if v.dim() == 2}
        rest = {n: v for n, v in values.items() if v.dim() != 2}
        return [
            torch.optim.Muon(groups(hidden, decay), lr=lr, **options),
            adamw(groups(rest, decay), lr=lr, betas=(0.9, 0.95)),
        ]

    yield (
        "muon",
        {"lr": 0.02, "weight_decay": 0.1, "scale": "original"},
        lambda v: muon(v, 0.1, 0.02),
    )
    yield (
        "muon",
        {"lr": 0.02, "weight_decay": 0.05, "nesterov": False, "momentum": 0.9, "iterations": 3},
        lambda v: muon(
            v, 0.05, 0.02, nesterov=False, momentum=0.9, ns_steps=3, adjust_lr_fn="match_rms_adamw"
        ),
    )

    for momentum, theirs in (("keep", "none"), ("reset", "reset"), ("pull_back", "pullback")):
        yield (
            "sgd",
            {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.05,
             "lookahead": {"k": 6, "alpha": 0.4, "momentum": momentum}},
            lambda v: pytorch_optimizer.Lookahead(
                sgd(groups(v, 0.05), lr=0.02, momentum=0.9), k=6, alpha=0.4, pullback_momentum=theirs
            ),
        )
    yield (
        "adamw",
        {"lr": 0.02, "lookahead": {"k": 5}},
        lambda v: pytorch_optimizer.Lookahead(adamw(groups(v, 0.0), lr=0.02), k=5),
    )


def case(name, options, make, shapes=SHAPES):
    return {"name": name, "options": options, "end": run_optimizer(options.get("lr", 1.0), make, shapes)}


def write(folder, name, content):
    with open(os.path.join(folder, name), "w") as f:
        json.dump(content, f, separators=(",", ":"))
        f.write("\n")


def main():
    folder = sys.argv[1]
    check_soap()
    check_ademamix()
    write(
        folder,
        "optimizers.json",
        {
            "steps": STEPS,
            "shape": SHAPES,
            "start": {n: numbers(v) for n, v in start(SHAPES).items()},
            "cases": [case(*of) for of in optimizers()],
        },
    )
    options = {"lr": 0.02, "weight_decay": 0.1, "min_size": 256}
    eight = case(
        "adamw8bit", options, lambda v: Plain(groups(v, 0.1, LARGE), 0.02, adam8bit(0.9, 0.999, 1e-8, 256)), LARGE
    )
    write(
        folder,
        "optimizers8.json",
        {
            "steps": STEPS,
            "shape": LARGE,
            "start": {n: numbers(v) for n, v in start(LARGE).items()},
            "cases": [eight],
            "blocks": blocks8(),
        },
    )


if __name__ == "__main__":
    main()
