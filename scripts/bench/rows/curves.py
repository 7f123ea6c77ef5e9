"""What a step of Temper costs, one size changed at a time: curves.json and a small drawing a curve. No peer takes part.

Every model has random weights in bf16 and a tokenizer of bytes (gpu.write_model), so that prompts are as long as they are meant to be."""
import json
import random

import gpu

from .base import machine, median
from .training import config_of, train

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 360, 220, 52, 16, 34, 40
BASE = dict(family="llama", hidden=576, intermediate=1536, layers=30, heads=9, kv_heads=3, vocab=49152)  # SmolLM2-135M
SHAPES = {  # by millions of weights
    135: BASE,
    360: dict(BASE, hidden=960, intermediate=2560, layers=32, heads=15, kv_heads=5),
    500: dict(family="qwen2", hidden=896, intermediate=4864, layers=24, heads=14, kv_heads=2, vocab=151936),
    1500: dict(family="qwen2", hidden=1536, intermediate=8960, layers=28, heads=12, kv_heads=2, vocab=151936),
}
TOY = dict(gpu.SHAPES["tiny"], vocab=512)


class Point:
    """A GRPO step: prompts x group completions, each of so many tokens."""

    def __init__(self, prompts=4, group=8, prompt=128, new=64, shape=BASE, threads=0):
        self.prompts, self.group, self.prompt, self.new, self.shape, self.threads = prompts, group, prompt, new, shape, threads


def curves(toy, cores):
    """name: (what x is, {x: its point})."""
    if toy:
        small = dict(prompts=1, group=2, prompt=8, new=4, shape=TOY)
        return {"group": ("completions of a prompt", {g: Point(**{**small, "group": g}) for g in (2, 4)}),
                "vocabulary": ("vocabulary", {v: Point(**{**small, "shape": dict(TOY, vocab=v)}) for v in (300, 600)})}  # fmt: skip
    threads = [t for t in (1, 2, 4, 8, 16, 32) if t <= cores]
    return {
        "group": ("completions of a prompt", {g: Point(group=g) for g in (2, 4, 8, 16, 32)}),
        "sequences": ("prompts of a step, of 8 completions", {p: Point(prompts=p) for p in (1, 2, 4, 8)}),
        "prompt": ("tokens of a prompt", {n: Point(prompt=n) for n in (32, 128, 512, 1024)}),
        "completion": ("tokens of a completion", {n: Point(new=n) for n in (16, 64, 128, 256)}),
        "vocabulary": ("vocabulary", {v: Point(shape=dict(BASE, vocab=v)) for v in (512, 16384, 49152, 151936)}),
        "size": ("millions of weights; one prompt x 4 x 16", {m: Point(1, 4, 128, 16, shape) for m, shape in SHAPES.items()}),
        "threads": ("threads", {t: Point(threads=t) for t in threads}),
    }


def model_of(work, shape):
    """Made once a sitting; the last one stays alone, as large ones take disk."""
    name = "curve-" + "-".join(str(shape[key]) for key in ("hidden", "layers", "vocab"))
    folder = work.folder / name
    if not (folder / "model.safetensors").exists():
        for old in work.folder.glob("curve-*/model.safetensors"):
            old.unlink()
        if folder.exists():
            for file in folder.iterdir():
                file.unlink()
            folder.rmdir()
        gpu.write_model(folder, shape)
    return folder


def measure_point(work, point):
    rng = random.Random(0)
    data = work.write("curve.jsonl", [{"prompt": "".join(rng.choice("abcdefgh ") for _ in range(point.prompt))}
                                      for _ in range(point.prompts * work.args.steps)])  # fmt: skip
    config = config_of(
        work, "rl", "auto", work.args.steps, model={"path": str(model_of(work, point.shape))},
        data={"train": [str(data)], "order": "sequential", "max_tokens": 8192, "chat_prompts": False},
        rollout={"prompts_per_step": point.prompts, "group_size": point.group, "max_new_tokens": point.new, "min_new_tokens": point.new},
        rewards=[{"kind": "contains", "texts": ["a", "e"]}], algorithm={"name": "grpo"}, train={"batch_size": point.prompts},
        threads=point.threads or work.threads)  # fmt: skip
    out = train(work, "curve", config)
    return {key: out[key] for key in ("value", "peak", "rollout_s", "train_s", "phases", "others_s")}


def measure(args, work):
    path = args.out / "curves.json"
    kept = json.loads(path.read_text()) if path.exists() else {"machine": machine(), "curves": {}}
    for name, (what, points) in curves(args.toy, work.threads).items():
        if args.rows != "all" and name not in args.rows.split(","):
            continue
        curve = kept["curves"].setdefault(name, {"what": what, "points": {}})
        for x, point in points.items():
            runs = curve["points"].setdefault(str(x), [])
            while len(runs) < args.runs:
                runs.append(measure_point(work, point))
                path.write_text(json.dumps(kept, indent=1) + "\n")
                print(f"{name} {x}: {runs[-1]['value']:.3f} s, {runs[-1]['peak'] / 1e9:.2f} GB", flush=True)
        (args.out / f"curve-{name}.svg").write_text(draw(name, curve))


def nice(high):
    """Up to five round numbers from 0 to `high`."""
    step = next(m * 10**e for e in range(-4, 9) for m in (1, 2, 5) if high / (m * 10**e) <= 4.5)
    return [i * step for i in range(int(high / step) + 1)]


def draw(name, curve):
    """Seconds of a step over x, with what of them is sampling and what training."""
    points = sorted((float(x), runs) for x, runs in curve["points"].items() if runs)
    lines = {"step": ("value", "#2266bb"), "sampling": ("rollout_s", "#cc5511"), "training": ("train_s", "#228844")}
    right, high = points[-1][0], max(median(run["value"] for run in runs) for _, runs in points) * 1.05

    def x(value):
        return LEFT + (WIDTH - LEFT - RIGHT) * value / right

    def y(value):
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / high

    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="11">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>', f'<text x="8" y="16" font-size="13">{name}: seconds of a GRPO step</text>']  # fmt: skip
    for tick in nice(high):
        svg.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(tick):.1f}" y2="{y(tick):.1f}" stroke="#ddd"/>'
                   f'<text x="{LEFT - 6}" y="{y(tick) + 4:.1f}" text-anchor="end">{tick:g}</text>')  # fmt: skip
    last = -100.0
    for value, _ in points:
        if x(value) - last > 26:
            svg.append(f'<text x="{x(value):.1f}" y="{HEIGHT - BOTTOM + 15}" text-anchor="middle">{value:g}</text>')
            last = x(value)
    svg.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle" fill="#555">{curve["what"]}</text>')
    for i, (title, (key, colour)) in enumerate(lines.items()):
        shown = [(value, median(run[key] for run in runs)) for value, runs in points]
        path = " ".join(f"{x(value):.1f},{y(seconds):.1f}" for value, seconds in shown)
        svg.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        svg += [f'<circle cx="{x(value):.1f}" cy="{y(seconds):.1f}" r="3" fill="{colour}"/>' for value, seconds in shown]
        svg.append(f'<circle cx="{LEFT + 12 + 76 * i}" cy="28" r="3" fill="{colour}"/><text x="{LEFT + 19 + 76 * i}" y="32">{title}</text>')
    return "\n".join([*svg, "</svg>"]) + "\n"
