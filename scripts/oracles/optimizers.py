"""Goldens of tests/optim: torch.optim's AdamW and SGD over 50 steps, and transformers' schedules.

  python scripts/oracles/optimizers.py tests/optim/golden
"""

import json
import os
import sys

sys.path.pop(0)  # this folder has files named like packages (tokenizers.py)

import torch  # noqa: E402
from transformers import get_scheduler  # noqa: E402
from transformers.optimization import (  # noqa: E402
    get_cosine_with_min_lr_schedule_with_warmup,
    get_wsd_schedule,
)

STEPS = 50


def gradient(step, value):
    """A made-up gradient that C++ computes in the same way: pulls to a target that moves, scale changes by step."""
    index = torch.arange(value.numel(), dtype=torch.float64).reshape(value.shape)
    wave = torch.sin(0.7 * index + 0.3 * step) * (1.0 + 0.1 * step)
    return (value.double() * 0.5 + wave).float()


def run_optimizer(make):
    torch.manual_seed(0)
    start = {"a.weight": torch.randn(3, 4), "norm.weight": torch.randn(5)}
    values = {name: torch.nn.Parameter(v.clone()) for name, v in start.items()}
    optimizer = make(values)
    for step in range(STEPS):
        for v in values.values():
            v.grad = gradient(step, v.detach())
        optimizer.step()
    return {
        "start": {n: v.flatten().tolist() for n, v in start.items()},
        "shape": {n: list(v.shape) for n, v in start.items()},
        "end": {n: v.detach().flatten().tolist() for n, v in values.items()},
        "state": {
            f"{n}/{slot}": optimizer.state[v][slot].flatten().tolist()
            for n, v in values.items()
            for slot in ("exp_avg", "exp_avg_sq", "momentum_buffer")
            if torch.is_tensor(optimizer.state[v].get(slot))
        },
    }


def groups(values, decay):
    return [
        {"params": [values["a.weight"]], "weight_decay": decay},
        {"params": [values["norm.weight"]], "weight_decay": 0.0},
    ]


OPTIMIZERS = [
    ("adamw", {"lr": 0.01}, lambda v: torch.optim.AdamW(groups(v, 0.0), lr=0.01)),
    (
        "adamw",
        {"lr": 0.02, "weight_decay": 0.1, "beta1": 0.8, "beta2": 0.95, "eps": 1e-6},
        lambda v: torch.optim.AdamW(groups(v, 0.1), lr=0.02, betas=(0.8, 0.95), eps=1e-6),
    ),
    ("sgd", {"lr": 0.05}, lambda v: torch.optim.SGD(groups(v, 0.0), lr=0.05)),
    (
        "sgd",
        {"lr": 0.02, "momentum": 0.9, "weight_decay": 0.05},
        lambda v: torch.optim.SGD(groups(v, 0.05), lr=0.02, momentum=0.9),
    ),
    (
        "sgd",
        {"lr": 0.02, "momentum": 0.9, "dampening": 0.3},
        lambda v: torch.optim.SGD(groups(v, 0.0), lr=0.02, momentum=0.9, dampening=0.3),
    ),
    (
        "sgd",
        {"lr": 0.02, "momentum": 0.8, "nesterov": True, "weight_decay": 0.01},
        lambda v: torch.optim.SGD(groups(v, 0.01), lr=0.02, momentum=0.8, nesterov=True),
    ),
]


def factors(make, steps):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=1.0)
    schedule = make(optimizer)
    out = []
    for _ in range(steps):
        out.append(schedule.get_last_lr()[0])
        optimizer.step()
        schedule.step()
    return out


def schedules(total):
    for warmup in (0, 5):
        for name, kind in (("constant", "constant_with_warmup"), ("linear", "linear"), ("cosine", "cosine")):
            yield name, {"warmup": warmup}, lambda o: get_scheduler(kind, o, warmup, total)
        yield (
            "cosine",
            {"warmup": warmup, "floor": 0.1},
            lambda o: get_cosine_with_min_lr_schedule_with_warmup(o, warmup, total, min_lr_rate=0.1),
        )
        for shape in ("linear", "cosine", "1-sqrt"):
            yield (
                "wsd",
                {"warmup": warmup, "decay": 12, "decay_shape": shape, "floor": 0.2},
                lambda o: get_wsd_schedule(
                    o, warmup, 12, num_training_steps=total, decay_type=shape, min_lr_ratio=0.2
                ),
            )
        yield (
            "polynomial",
            {"warmup": warmup, "power": 2.0, "floor": 0.05},
            lambda o: get_scheduler(
                "polynomial", o, warmup, total, scheduler_specific_kwargs={"power": 2.0, "lr_end": 0.05}
            ),
        )
        yield "inverse_sqrt", {"warmup": warmup}, lambda o: get_scheduler("inverse_sqrt", o, warmup, total)


def main():
    folder = sys.argv[1]
    cases = [{"name": n, "options": o, **run_optimizer(make)} for n, o, make in OPTIMIZERS]
    with open(os.path.join(folder, "optimizers.json"), "w") as f:
        json.dump({"steps": STEPS, "cases": cases}, f, indent=0)
    total = 40
    cases = [{"name": n, "options": o, "factors": factors(make, total)} for n, o, make in schedules(total)]
    with open(os.path.join(folder, "schedules.json"), "w") as f:
        json.dump({"total": total, "cases": cases}, f, indent=0)


if __name__ == "__main__":
    main()
