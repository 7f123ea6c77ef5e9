#!/usr/bin/env python3
"""Draws a figure of finished runs in rounds over their rounds, a line a run, one colour a label, as a small SVG.

  scripts/bench/rounds_curve.py --out configs/rounds/collapse.svg --title "held-out loss on real solutions" --figure train/held_out_loss \\
      replace=runs/r1 replace=runs/r2 accumulate=runs/a1
"""
import argparse
import json
from pathlib import Path

from curve import COLOURS, Drawing


def points(run, figure):
    """(round, value) of the rounds that have the figure; round 0 of a training's held-out loss is what its base began with."""
    out = []
    for line in (Path(run) / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        if figure in row:
            out.append((row["step"], row[figure]))
    first = Path(run) / "rounds/01"
    for metrics in sorted(first.glob("*/run/metrics.jsonl")):
        row = json.loads(metrics.read_text().splitlines()[0])
        if row["split"] == "eval" and row["step"] == 0 and figure.endswith("held_out_loss"):
            out.insert(0, (0, row["loss"]))
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True)
    parser.add_argument("--title", required=True)
    parser.add_argument("--figure", required=True)
    parser.add_argument("runs", nargs="+", help="label=run folder")
    options = parser.parse_args()
    labelled = [run.split("=", 1) for run in options.runs]
    lines = [(label, points(run, options.figure)) for label, run in labelled]
    values = [y for _, line in lines for _, y in line]
    low, high = min(values), max(values)
    low, high = low - 0.05 * (high - low), high + 0.05 * (high - low)
    share = lambda y: (y - low) / (high - low)
    rounds = max(x for _, line in lines for x, _ in line)
    levels = [(i / 4, f"{low + i / 4 * (high - low):.3f}", "") for i in range(5)]
    drawing = Drawing(options.title, rounds, levels, 24)
    labels = list(dict.fromkeys(label for label, _ in lines))
    for label, line in lines:
        colour = COLOURS[labels.index(label) % len(COLOURS)]
        drawing.line([x for x, _ in line], [share(y) for _, y in line], colour, 0.9)
        for x, y in line:
            drawing.dot(x, share(y), colour)
    for i, label in enumerate(labels):
        drawing.name(label, COLOURS[i % len(COLOURS)])
    drawing.svg = [part.replace(">step</text>", ">round</text>") for part in drawing.svg]
    drawing.write(Path(options.out), [])


if __name__ == "__main__":
    main()
