"""Goldens of tests/optim: learning-rate schedules.

  python scripts/oracles/schedules.py tests/optim/golden

Plain ones are transformers'; refined ones are facebookresearch/adaptive_scheduling's, written anew, with scipy's median filter.
"""

import json
import os
import sys

sys.path.pop(0)  # this folder has files named like packages (tokenizers.py)

import numpy as np  # noqa: E402
import torch  # noqa: E402
from scipy.ndimage import median_filter  # noqa: E402
from transformers import get_scheduler  # noqa: E402
from transformers.optimization import (  # noqa: E402
    get_cosine_with_min_lr_schedule_with_warmup,
    get_wsd_schedule,
)


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


def refined(count):
    """README and find_schedule.py of facebookresearch/adaptive_scheduling on norms that fall, with noise and spikes."""
    t = np.arange(count)
    norms = 0.5 + 4 * np.exp(-t / 12) + 0.3 * np.sin(1.7 * t * t) + 5 * (t % 11 == 4)
    width = 2 * (int(0.1 * count) // 2) + 1
    pad = 2 * width
    filtered = median_filter(np.pad(norms, (0, pad), mode="reflect"), size=width, mode="nearest")[:-pad]
    out = {"norms": norms.tolist()}
    for name, power in (("adam", -1.0), ("sgd", -2.0)):
        weights = filtered**power
        tails = np.append(np.flip(np.cumsum(np.flip(weights)))[1:], 0.0)
        factors = weights * tails
        out[name] = (factors / factors.max()).tolist()
    return out


def main():
    total = 40
    cases = [{"name": n, "options": o, "factors": factors(make, total)} for n, o, make in schedules(total)]
    with open(os.path.join(sys.argv[1], "schedules.json"), "w") as f:
        json.dump({"total": total, "cases": cases, "refined": [refined(n) for n in (12, 70)]}, f, indent=0)


if __name__ == "__main__":
    main()
