#!/usr/bin/env python3
"""Time and memory of one GRPO step, Temper beside TRL on the same machine in the same sitting.

4 prompts of GSM8K x 8 completions x 64 new tokens, one update, no reference model, AdamW, on the shape of
SmolLM2-135M with random weights (made on first use). Both sides take the same prompts in the same order and the
same reward. Prints a table; times are medians over steps without the first, memory is the process's largest
resident set.

  scripts/bench/grpo.py                                 all three rows, Temper and TRL
  scripts/bench/grpo.py --rows full-bf16 --no-peer      Temper alone, one row
"""
import argparse
import contextlib
import datetime
import fcntl
import json
import os
import re
import signal
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent.parent
CACHE = Path.home() / ".cache/temper"
ROWS = ["full-bf16", "full-f32", "lora-bf16"]
NEW_TOKENS = 64


def parse_args():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rows", nargs="+", default=ROWS, choices=[*ROWS, "lora-f32"])
    p.add_argument("--no-peer", action="store_true", help="Temper alone")
    p.add_argument("--no-temper", action="store_true", help="TRL alone")
    p.add_argument("--temper", type=Path, default=ROOT / "build/bin/temper-train")
    p.add_argument("--peer-python", type=Path, default=CACHE / "oracle-venv/bin/python")
    p.add_argument("--model", type=Path, default=CACHE / "bench/m135")
    p.add_argument("--gsm8k", type=Path, default=ROOT.parent / "shared/data/gsm8k/train.jsonl")
    p.add_argument("--steps", type=int, default=4, help="Temper's steps")
    p.add_argument("--peer-steps", type=int, default=3)
    p.add_argument("--micro-batch-tokens", type=int, default=1400)
    p.add_argument("--set", action="append", default=[], help="further --set of temper-train")
    p.add_argument("--lock", type=Path, help="file to lock (flock) while a process is measured")
    p.add_argument("--keep", type=Path, help="folder for the runs; default: a temporary one")
    return p.parse_args()


@contextlib.contextmanager
def locked(path):
    if path is None:
        yield
        return
    with open(path, "w") as f:
        fcntl.flock(f, fcntl.LOCK_EX)
        yield


def measure(command, lock):
    """Runs command; its output and its largest resident set in bytes. Tells when others used the machine."""
    env = dict(os.environ, HF_HUB_OFFLINE="1", CUDA_VISIBLE_DEVICES="", PYTHONPATH=str(HERE))
    with locked(lock), tempfile.TemporaryFile("w+") as out, tempfile.TemporaryFile("w+") as err:
        busy_before = busy_seconds()
        process = subprocess.Popen([str(c) for c in command], stdout=out, stderr=err, env=env)
        try:
            _, status, usage = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        finally:
            if process.returncode is None:  # interrupted: leave nothing running
                process.kill()
                process.wait()
        others = busy_seconds() - busy_before - usage.ru_utime - usage.ru_stime
        out.seek(0)
        err.seek(0)
        if process.returncode != 0:
            sys.exit(f"{' '.join(map(str, command))}\nexited with {process.returncode}\n{err.read()[-3000:]}")
        if others > 3:
            print(f"  warning: other processes used {others:.0f} s of CPU meanwhile", file=sys.stderr)
        return out.read(), usage.ru_maxrss * 1024


def busy_seconds():
    """CPU seconds of the whole machine outside idle and waiting for disks."""
    user, nice, system, _, _, irq, softirq = map(int, Path("/proc/stat").read_text().split()[1:8])
    return (user + nice + system + irq + softirq) / os.sysconf("SC_CLK_TCK")


def run_temper(args, row, folder):
    adapter, dtype = row.split("-")
    run = folder / f"temper-{row}"
    config = {
        "task": "rl",
        "model": {"path": str(args.model), "dtype": dtype},
        "adapter": {"kind": "lora", "rank": 16, "alpha": 32} if adapter == "lora" else {"kind": "full"},
        "data": {"train": [str(folder / "prompts.jsonl")], "order": "sequential"},
        "rollout": {"prompts_per_step": 4, "group_size": 8, "max_new_tokens": NEW_TOKENS,
                    "min_new_tokens": NEW_TOKENS},
        "rewards": [{"kind": "process", "command": [sys.executable, str(HERE / "reward.py")]}],
        "algorithm": {"name": "grpo"},
        "optimizer": {"name": "adamw", "lr": 1e-5, "clip_norm": 1.0},
        "schedule": {"name": "constant"},
        "train": {"steps": args.steps, "batch_size": 4, "micro_batch_tokens": args.micro_batch_tokens},
        "checkpoint": {"every": 0},
        "samples_logged": 0,
        "run": str(run),
    }
    path = folder / f"temper-{row}.json"
    path.write_text(json.dumps(config, indent=1))
    sets = [word for s in args.set for word in ("--set", s)]
    _, peak = measure([args.temper, path, *sets], args.lock)
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    steps = [m["time"] for m in metrics if "rollout_s" in m.get("time", {})]
    middle = {key: statistics.median(s[key] for s in steps[1:]) for key in ("seconds", "rollout_s", "train_s")}
    return dict(middle, peak=peak, all=[s["seconds"] for s in steps])


def run_trl(args, row, folder):
    output, peak = measure(
        [args.peer_python, HERE / "trl_grpo.py", folder, args.model, *row.split("-"), args.peer_steps], args.lock)
    lines = [json.loads(line) for line in output.splitlines() if re.match(r'\{"', line)]
    steps = [line["seconds"] for line in lines if "seconds" in line]
    tokens = [line["tokens"] for line in lines if "tokens" in line]
    if min(tokens) < 0.95 * NEW_TOKENS:
        print(f"  warning: TRL's completions had {tokens} tokens on average", file=sys.stderr)
    return {"seconds": statistics.median(steps[1:]), "peak": peak, "all": steps}


def write_prompts(gsm8k, path):
    with open(gsm8k) as lines, open(path, "w") as out:
        for _, line in zip(range(64), lines):
            out.write(json.dumps({"prompt": [{"role": "user", "content": json.loads(line)["question"]}]}) + "\n")


def main():
    args = parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    if not (args.model / "model.safetensors").exists():
        args.model.mkdir(parents=True, exist_ok=True)
        subprocess.run([args.peer_python, HERE / "make_model.py", args.gsm8k, args.model], check=True)
    with contextlib.ExitStack() as stack:
        folder = args.keep or Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="temper-bench-")))
        folder.mkdir(parents=True, exist_ok=True)
        folder = folder.resolve()
        write_prompts(args.gsm8k, folder / "prompts.jsonl")
        table = []
        for row in args.rows:
            results = {}
            for name, run in [("temper", run_temper), ("trl", run_trl)]:
                if args.no_peer and name == "trl" or args.no_temper and name == "temper":
                    continue
                r = results[name] = run(args, row, folder)
                each = ", ".join(f"{s:.2f}" for s in r["all"])
                print(f"{row} {name}: steps {each} s; peak {r['peak'] / 1e9:.2f} GB", file=sys.stderr, flush=True)
            table.append(table_row(row, results.get("temper"), results.get("trl")))
    print(f"{datetime.date.today()}, {os.cpu_count()} cores, micro-batches of {args.micro_batch_tokens} tokens\n")
    print("| row | Temper s/step | (rollout + train) | TRL s/step | faster | Temper GB | TRL GB | memory |")
    print("|---|---|---|---|---|---|---|---|")
    print("\n".join(table))


def table_row(row, ours, peer):
    def of(result, text):
        return text(result) if result else "-"

    both = ours and peer
    return "| " + " | ".join([
        row, of(ours, lambda r: f"{r['seconds']:.2f}"),
        of(ours, lambda r: f"{r['rollout_s']:.2f} + {r['train_s']:.2f}"), of(peer, lambda r: f"{r['seconds']:.1f}"),
        f"{peer['seconds'] / ours['seconds']:.1f} x" if both else "-", of(ours, lambda r: f"{r['peak'] / 1e9:.2f}"),
        of(peer, lambda r: f"{r['peak'] / 1e9:.2f}"), f"1 / {peer['peak'] / ours['peak']:.1f}" if both else "-"
    ]) + " |"


if __name__ == "__main__":
    main()
