#!/usr/bin/env python3
"""What one other busy process costs: training tokens/s and decode seconds, alone and beside a loop in Python, for several
bounds of how long OpenMP's threads spin while they wait.

  scripts/bench/neighbour.py [--runs 5] [--steps 60] [--model DIR] [--rows programs 1000 libgomp passive]
  scripts/bench/neighbour.py --bin build/bin --bin /elsewhere/bin         two builds in turn

Rows: "programs" leaves the environment alone (the programs' own bound), a number is GOMP_SPINCOUNT, "passive" is
OMP_WAIT_POLICY=passive, "libgomp" what the library does by itself. Training is configs/sft/quickstart.json for --steps steps
without checkpoints; decoding is 32 answers of 128 tokens to one prompt by that model. All rows are run in turn, --runs times; medians are
printed. Run it on an otherwise idle machine.
"""
import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from measuring import ROOT, Failed

DECODED = 128  # tokens of each answer


def environment(row):
    env = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY", "OMP_NUM_THREADS")}
    if row in ("passive", "libgomp"):
        env["OMP_WAIT_POLICY"] = "passive" if row == "passive" else ""  # set, so that the programs leave it alone, to nothing
    elif row != "programs":
        env["GOMP_SPINCOUNT"] = row
    return env


@contextlib.contextmanager
def neighbour(busy):
    loop = subprocess.Popen([sys.executable, "-c", "while True: pass"]) if busy else None
    try:
        yield
    finally:
        if loop:
            loop.kill()
            loop.wait()


def call(command, env):
    done = subprocess.run([str(c) for c in command], env=env, capture_output=True, text=True)
    if done.returncode != 0:
        raise Failed(f"{' '.join(map(str, command))}\nexited with {done.returncode}\n{done.stderr[-2000:]}")
    return done


def train(bin, folder, steps, env):
    call([bin / "temper-train", ROOT / "configs/sft/quickstart.json", "--quiet", "--run", folder, "--set", f"train.steps={steps}",
          "--set", "eval.every=0", "--set", "checkpoint.every=0"], env)  # fmt: skip
    rows = [json.loads(line) for line in open(folder / "metrics.jsonl")]
    return statistics.median(r["time"]["tokens_per_s"] for r in rows if r["split"] == "train")


def decode(bin, model, env):
    done = call([bin / "temper-generate", "--model", model, "--prompt", "Mia has 3 pens and buys 4.", "--n", "32",
                 "--max-new-tokens", DECODED, "--ignore-end", "--stats"], env)  # fmt: skip
    return json.loads(done.stderr.splitlines()[-1])["seconds"]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--rows", nargs="+", default=["programs", "300", "3000", "10000", "libgomp", "passive"])
    p.add_argument("--runs", type=int, default=5)
    p.add_argument("--steps", type=int, default=40)
    p.add_argument("--bin", type=Path, action="append")
    p.add_argument("--model", type=Path, help="decode with this model instead of the trained one")
    args = p.parse_args()
    bins = args.bin or [ROOT / "build/bin"]
    rows = [(bin, row) for bin in bins for row in args.rows]
    measured = {key: {} for key in rows}
    with tempfile.TemporaryDirectory() as work:
        model = args.model or Path(work) / "first/final"
        if args.model is None:
            train(bins[0], Path(work) / "first", args.steps, environment("programs"))
        for run in range(args.runs):
            for busy in (False, True):
                for number, (bin, row) in enumerate(rows):
                    env = environment(row)
                    with neighbour(busy):
                        tokens = train(bin, Path(work) / f"{run}-{busy}-{number}", args.steps, env)
                        seconds = decode(bin, model, env)
                    values = measured[bin, row].setdefault(busy, ([], []))
                    values[0].append(tokens)
                    values[1].append(seconds)
                    print(f"  {run} {'busy ' if busy else 'alone'} {row}: {tokens:.0f} tokens/s, {seconds:.2f} s", file=sys.stderr)
    print("| spins | tokens/s alone | tokens/s beside a busy process | decode s alone | decode s beside it |\n|---|---|---|---|---|")
    for bin, row in rows:
        alone, busy = (measured[bin, row][b] for b in (False, True))
        name = row if len(bins) == 1 else f"{bin}: {row}"
        cells = [f"{statistics.median(alone[0]):.0f}", f"{statistics.median(busy[0]):.0f}",
                 f"{statistics.median(alone[1]):.2f}", f"{statistics.median(busy[1]):.2f}"]  # fmt: skip
        print(f"| {name} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
