#!/usr/bin/env python3
"""What gpu_check.sh checks: training on a device beside the CPU, the same bytes twice, resume.

  gpu_checks.py TREE --device cuda      TREE/bin has the programs, TREE/data the arithmetic task
Prints a line a check and exits with 1 where one fails.
"""
import argparse
import concurrent.futures
import json
import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path

for folder in (Path(__file__).resolve().parent, Path(__file__).resolve().parent / "bench"):
    sys.path.insert(0, str(folder))
import gpu  # noqa: E402  (scripts/bench/gpu.py)

p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
p.add_argument("tree", type=Path)
p.add_argument("--device", default="cuda")
p.add_argument("--jobs", type=int, default=max(1, min(4, (os.cpu_count() or 2) // 2)), help="checks at a time")
args = p.parse_args()

LOOSE = {"f32": 2e-3, "bf16": 6e-2}
TINY = dict(hidden=64, intermediate=128, layers=2, heads=4, kv_heads=2, vocab=300)


def make_inputs(work):
    """Models of the families, and the arithmetic task cut into prompts, pairs and completions."""
    for family, window in (("llama", None), ("mistral", 12), ("qwen2", None), ("qwen3", None)):
        gpu.write_model(work / family, dict(TINY, family=family), window=window)
    rows = [json.loads(line) for line in open(args.tree / "data/train.jsonl")][:64]
    text = [json.dumps(r) for r in rows]
    with open(work / "sft.jsonl", "w") as f:
        f.writelines(json.dumps({"prompt": t[:20], "completion": t[20:60]}) + "\n" for t in text)
    with open(work / "pairs.jsonl", "w") as f:
        f.writelines(json.dumps({"prompt": t[:20], "chosen": t[20:50], "rejected": t[15:40]}) + "\n" for t in text)


class Check:
    def __init__(self, work):
        self.work = work

    def config(self, name, task, data, model="llama", dtype="f32", quantise="none", **rest):
        config = {"task": task, "threads": 2,
                  "model": {"path": str(self.work / model), "dtype": dtype, "quantise": quantise},
                  "data": {"train": [str(self.work / data)], "max_tokens": 200, "chat_prompts": False},
                  "optimizer": {"name": "adamw", "lr": 1e-3},
                  "train": {"steps": 4, "batch_size": 8, "micro_batch_tokens": 256}, "checkpoint": {"every": 0}}
        for key, value in rest.items():
            config[key] = {**config.get(key, {}), **value} if isinstance(value, dict) else value
        (self.work / f"{name}.json").write_text(json.dumps(config))
        return name

    def run(self, name, device, run, *more):
        done = subprocess.run([args.tree / "bin/temper-train", self.work / f"{name}.json", "--quiet", "--run",
                               self.work / run, "--set", f"device={device}", *more], capture_output=True, text=True)
        if done.returncode != 0:
            raise RuntimeError(f"exit code {done.returncode}: {done.stderr[-800:]}")
        return self.work / run

    def rows(self, run):
        return [json.loads(line) for line in open(run / "metrics.jsonl")]

    def beside_cpu(self, name, tolerance):
        """The worst relative difference of losses and gradient norms."""
        a, b = (self.rows(self.run(name, d, f"{name}-{d}-run")) for d in ("cpu", args.device))
        worst = max(abs(x[k] - y[k]) / max(1e-2, abs(x[k])) for x, y in zip(a, b) for k in ("loss", "grad_norm") if k in x)
        return len(a) == len(b) and worst <= tolerance, f"worst relative difference {worst:.2g} over {len(a)} steps"

    def ranks_beside_one(self, name):
        """Two processes on one GPU, over Gloo."""
        a = self.rows(self.run(name, args.device, f"{name}-one"))
        b = self.rows(self.run(name, args.device, f"{name}-two", "--ranks", "2"))
        worst = max(abs(x[k] - y[k]) / max(1e-2, abs(x[k])) for x, y in zip(a, b) for k in ("loss", "grad_norm") if k in x)
        return len(a) == len(b) and worst <= LOOSE["f32"], f"worst relative difference {worst:.2g} over {len(a)} steps"

    def same_texts(self, name):
        """Sampled on both: how many completions are the same texts."""
        texts = []
        for d in ("cpu", args.device):
            run = self.run(name, d, f"{name}-{d}-run")
            texts.append([json.loads(line).get("completion") for line in open(run / "samples.jsonl")])
        same = sum(x == y for x, y in zip(*texts))
        return len(texts[0]) == len(texts[1]) and same >= 0.9 * len(texts[0]), f"{same} of {len(texts[0])} completions the same"

    def twice(self, name):
        one, two = (self.weights(self.run(name, args.device, f"{name}-{i}-twice")) for i in (1, 2))
        return one == two, ""

    def weights(self, run):
        return next((run / "final").glob("*model.safetensors")).read_bytes()

    def resumed(self, name):
        """Stopped once its second checkpoint is there, and gone on with."""
        whole = self.weights(self.run(name, args.device, f"{name}-whole", "--set", "checkpoint.every=2"))
        command = [args.tree / "bin/temper-train", self.work / f"{name}.json", "--quiet", "--run", self.work / "stopped",
                   "--set", f"device={args.device}", "--set", "checkpoint.every=2"]
        child = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        while child.poll() is None and not (self.work / "stopped/checkpoints/step-4/DONE").exists():
            time.sleep(0.01)
        child.send_signal(signal.SIGTERM)
        child.wait()
        done = subprocess.run(command, capture_output=True, text=True)
        return done.returncode == 0 and self.weights(self.work / "stopped") == whole, done.stderr[-300:]


def checks(c):
    """(what is checked, a function that gives whether it holds and a note)."""
    def near(what, name, dtype="f32", **more):
        c.config(name, dtype=dtype, **more)
        return what, lambda: c.beside_cpu(name, LOOSE[dtype])
    sft, pairs = dict(task="sft", data="sft.jsonl"), dict(task="preference", data="pairs.jsonl")
    rl = dict(task="rl", data="sft.jsonl", rewards=[{"kind": "contains", "texts": ["1", "a", "e"]}],
              algorithm={"name": "grpo"}, train={"steps": 1, "batch_size": 4},
              rollout={"prompts_per_step": 4, "group_size": 4, "max_new_tokens": 24})
    for family in ("llama", "mistral", "qwen2", "qwen3"):
        yield near(f"sft beside the CPU, {family}, f32", f"sft-{family}", model=family, **sft)
    yield near("sft beside the CPU, bf16", "sft-bf16", "bf16", **sft)
    yield near("sft beside the CPU, windows, bf16", "sft-window", "bf16", model="mistral", **sft)
    yield near("dpo beside the CPU, f32", "dpo", algorithm={"name": "dpo"}, **pairs)
    yield near("reward model beside the CPU, bf16", "rm", "bf16", task="reward_model", data="pairs.jsonl")
    yield near("distillation beside the CPU, f32", "distill", task="distill", data="sft.jsonl",
               teachers=[{"path": str(c.work / "qwen2")}])
    for kind in ("int8", "nf4"):
        yield near(f"lora with dropout on {kind} beside the CPU, f32", f"lora-{kind}",
                   adapter={"kind": "lora", "rank": 4, "dropout": 0.1}, quantise=kind, **sft)
    for optimizer in ("adamw8bit", "muon", "lion", "adafactor"):
        yield near(f"{optimizer} beside the CPU, f32", f"opt-{optimizer}", optimizer={"name": optimizer}, **sft)
    for family in ("llama", "mistral"):
        c.config(f"rl-{family}", model=family, **rl)
        yield f"grpo draws the CPU's tokens, {family}, f32", lambda family=family: c.same_texts(f"rl-{family}")
    for name, more in (("grpo", {}), ("grpo with lora", {"adapter": {"kind": "lora", "rank": 4}})):
        config = c.config(name.replace(" ", "-") + "-bf16", dtype="bf16", **rl, **more)
        yield f"{name} twice the same bytes, bf16", lambda config=config: c.twice(config)
    c.config("ranks", **sft)
    yield "sft in two processes on one device beside one process, f32", lambda: c.ranks_beside_one("ranks")
    c.config("sft-twice", dtype="bf16", **sft)
    yield "sft twice the same bytes, bf16", lambda: c.twice("sft-twice")
    c.config("stop", **{**sft, "train": {"steps": 8}})
    yield "resumed after a stop, the same bytes", lambda: c.resumed("stop")


def main():
    failed = False
    with tempfile.TemporaryDirectory() as folder, concurrent.futures.ThreadPoolExecutor(args.jobs) as pool:
        work = Path(folder)
        make_inputs(work)

        def judged(check):
            try:
                return check()
            except Exception as e:
                return False, str(e)
        waiting = [(what, pool.submit(judged, check)) for what, check in checks(Check(work))]
        for what, future in waiting:
            good, note = future.result()
            failed |= not good
            print(("ok    " if good else "FAIL  ") + what + (f": {note}" if note else ""), flush=True)
    sys.exit(failed)


main()
