"""Measures rows of the speed table, Temper and its peers in turn, in one sitting that may be interrupted: what is measured is kept and
not measured again.

  run.sh [--rows grpo-full-bf16,sft-fp32] [--runs 5] [--out bench] --peer-python PYTHON --gsm8k GSM8K/train.jsonl
  run.sh --list                          the rows
  run.sh --no-peer                       Temper alone
  run.sh --toy --no-peer --runs 1        a tiny model, to see that all works; takes neither a peer nor GSM8K
  run.sh report [--out bench]            the table, the bars and the roofline page of what is measured so far
  run.sh curves [--out bench]            what a step of Temper costs, by size, length, group and threads
"""
import argparse
import datetime
import json
import os
import signal
import sys
import time
from pathlib import Path

from measuring import CACHE, ROOT, Failed

from . import curves, decoding, loading, process, report, roofline, training
from .base import Work, commit, machine

ALL = {row.name: row for module in (training, decoding, loading, process) for row in module.ROWS}


def parse_args():
    p = argparse.ArgumentParser(prog="run.sh", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("what", nargs="?", choices=["measure", "report", "curves"], default="measure")
    p.add_argument("--rows", default="all", help="names with commas between them; a beginning stands for all that begin so")
    p.add_argument("--list", action="store_true", help="the rows' names, and stop")
    p.add_argument("--runs", type=int, default=5, help="of each side, in turn")
    p.add_argument("--out", type=Path, default=Path("bench"), help="folder of what is measured")
    p.add_argument("--bin", type=Path, default=Path(os.environ.get("TEMPER_BIN", ROOT / "build/bin")))
    p.add_argument("--peer-python", type=Path, default=os.environ.get("TEMPER_PEER_PYTHON"),
                   help="a Python with torch, transformers, trl, peft and xllamacpp [TEMPER_PEER_PYTHON]")  # fmt: skip
    p.add_argument("--no-peer", action="store_true", help="Temper alone")
    p.add_argument("--no-temper", action="store_true", help="the peers alone")
    p.add_argument("--gsm8k", type=Path, help="GSM8K's train.jsonl")
    p.add_argument("--model", type=Path, help="in place of the shape of SmolLM2-135M with random weights, which the peer's Python makes")
    p.add_argument("--cache", type=Path, default=CACHE, help="where that model is kept")
    p.add_argument("--threads", type=int, default=0, help="of both sides; 0: all cores")
    p.add_argument("--steps", type=int, default=4, help="Temper's of a run; the first is not counted")
    p.add_argument("--peer-steps", type=int, default=3)
    p.add_argument("--micro-batch-tokens", type=int, default=1400)
    p.add_argument("--set", action="append", default=[], help="further --set of temper-train")
    p.add_argument("--lock", type=Path, help="file to lock (flock) while a process is measured")
    p.add_argument("--toy", action="store_true")
    args = p.parse_args()
    if args.peer_python is not None:
        args.peer_python = Path(args.peer_python).absolute()  # not resolved: a virtual environment is found by the link
    if args.what == "measure" and not args.list:
        if args.peer_python is None and not args.no_peer:
            p.error("give --peer-python (or TEMPER_PEER_PYTHON), or --no-peer")
        if args.gsm8k is None and not args.toy:
            p.error("give --gsm8k, GSM8K's train.jsonl")
        if args.gsm8k and not args.gsm8k.exists():
            p.error(f"--gsm8k {args.gsm8k}: is not there")
    return args


def chosen(args):
    if args.rows == "all":
        return list(ALL.values())
    out = []
    for name in args.rows.split(","):
        found = [row for row in ALL.values() if row.name == name] or [row for row in ALL.values() if row.name.startswith(name)]
        if not found:
            sys.exit(f"--rows {name}: no such row; there are {', '.join(ALL)}")
        out += [row for row in found if row not in out]
    return out


def settings_of(args, work):
    """What makes two runs comparable."""
    return {"machine": machine(), "model": str(work.model), "threads": work.threads, "steps": args.steps, "peer_steps": args.peer_steps,
            "micro_batch_tokens": args.micro_batch_tokens, "set": args.set, "toy": args.toy}  # fmt: skip


def is_peer(name):
    return name in ("TRL", "transformers", "llama.cpp", "safetensors")


def keep(path, kept):
    part = path.with_suffix(".part")
    part.write_text(json.dumps(kept, indent=1) + "\n")
    part.replace(path)


def measure_row(row, args, work, settings):
    path = args.out / f"{row.name}.json"
    kept = {"row": row.name, "what": row.what, "unit": row.unit, "more": row.more, "target": row.target,
            "target_memory": row.target_memory, "settings": settings, "sides": {}}  # fmt: skip
    if path.exists():
        before = json.loads(path.read_text())
        if before["settings"] != settings:
            differs = [key for key in settings if before["settings"].get(key) != settings[key]]
            sys.exit(f"{path}: was measured with other settings ({', '.join(differs)}); give another --out, or remove it")
        kept["sides"] = before["sides"]
    sides = {name: side for name, side in row.sides.items()
             if not (args.no_peer and is_peer(name)) and not (args.no_temper and not is_peer(name))}  # fmt: skip
    failed = []
    for run in range(args.runs):
        # The other way round every second time: what drifts hits both alike.
        for name in list(sides) if run % 2 == 0 else list(reversed(sides)):
            done = kept["sides"].setdefault(name, [])
            if len(done) > run or name in failed:
                continue
            try:
                result = sides[name](work)
            except Failed as e:
                print(f"{row.name} {name}: {e}", file=sys.stderr)
                failed.append(name)
                continue
            for other, value in result.pop("beside", {}).items():
                kept["sides"].setdefault(other, []).append({"value": value})
            done.append({**result, "date": datetime.date.today().isoformat(), "commit": commit()})
            keep(path, kept)
            peak = f", peak {result['peak'] / 1e9:.2f} GB" if "peak" in result else ""
            print(f"{row.name} {run + 1}/{args.runs} {name}: {result['value']:.4g} {row.unit}{peak}", file=sys.stderr, flush=True)
    return [f"{row.name} {name}" for name in failed]


def main():
    args = parse_args()
    if args.list:
        for row in ALL.values():
            print(f"{row.name:22}{row.what} ({', '.join(row.sides)})")
        return
    signal.signal(signal.SIGTERM, lambda *_: sys.exit("stopped"))
    args.out.mkdir(parents=True, exist_ok=True)
    if args.what == "report":
        report.write(args.out, list(ALL))
        return
    work = Work(args, (args.out / "work").resolve())
    if args.what == "curves":
        curves.measure(args, work)
        return
    start, failed = time.monotonic(), []
    roofline.measure_machine(args.out, work)
    for row in chosen(args):
        failed += measure_row(row, args, work, settings_of(args, work))
    report.write(args.out, list(ALL))
    print(f"{(time.monotonic() - start) / 60:.0f} minutes; {args.out}/table.md", file=sys.stderr)
    if failed:
        sys.exit(f"failed: {', '.join(failed)}")


main()
