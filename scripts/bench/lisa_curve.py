#!/usr/bin/env python3
"""Trains the quickstart's supervised task three times at equal steps - every weight, LoRA and LISA - and draws training loss and
held-out accuracy as one small SVG.

  scripts/bench/lisa_curve.py --out configs/sft/lisa.svg [--work FOLDER]

From random weights, one thread each, the learning rate of the quickstart for all three. LoRA on random frozen weights, its
embedding and head frozen too, is far from what it is for; it stands here as a mark.
"""
import argparse
import json
import os
import subprocess
import tempfile
from pathlib import Path

from curve import BOTTOM, COLOURS, HEIGHT, LEFT, RIGHT, TOP, WIDTH, smooth

ROOT = Path(__file__).resolve().parents[2]
RUNS = {
    "full": ["adapter.kind=full"],
    "LISA, 2 of 6 blocks": [],
    "LoRA, rank 16": ['adapter={"kind": "lora", "rank": 16, "alpha": 32}'],
}


def train(name, sets, folder):
    config = ROOT / "configs/sft" / ("lisa.json" if name.startswith("LISA") else "quickstart.json")
    binary = Path(os.environ.get("TEMPER_BIN", ROOT / "build/bin")) / "temper-train"
    command = [binary, config, "--run", folder, "--quiet", "--set", "threads=1", "--set", "eval.every=30"]
    for one in sets:
        command += ["--set", one]
    subprocess.run(command, check=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    rows = [json.loads(line) for line in open(folder / "metrics.jsonl")]
    return {split: [row for row in rows if row["split"] == split] for split in ("train", "eval")}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--work", type=Path)
    args = parser.parse_args()
    with tempfile.TemporaryDirectory() as temporary:
        work = args.work or Path(temporary)
        runs = {name: train(name, sets, work / str(i)) for i, (name, sets) in enumerate(RUNS.items())}
    for name, rows in runs.items():
        last, evals = rows["train"][-1], rows["eval"]
        print(f"{name:<20} loss {smooth([r['loss'] for r in rows['train']])[-1]:.3f}  accuracy " +
              " ".join(f"{100 * r['accuracy']:.1f}%@{r['step']}" for r in evals) +
              f"  peak {last['time']['memory_gb']:.2f} GB")
    steps = max(row["step"] for rows in runs.values() for row in rows["train"])
    highest = max(row["loss"] for rows in runs.values() for row in rows["train"])

    def x(step):
        return LEFT + (WIDTH - LEFT - RIGHT) * step / steps

    def y(share):
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
           f'<text x="{LEFT}" y="20" font-size="14">Quickstart, supervised, from random weights</text>']
    for quarter in range(5):
        at = y(quarter / 4)
        svg.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" stroke="#ddd"/>'
                   f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{highest * quarter / 4:.1f}</text>'
                   f'<text x="{WIDTH - RIGHT + 4}" y="{at + 4:.1f}" fill="#555">{25 * quarter} %</text>')
    for step in range(0, steps + 1, max(1, steps // 4)):
        svg.append(f'<text x="{x(step):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{step}</text>')
    svg.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">step</text>')
    for i, (name, rows) in enumerate(runs.items()):
        colour = COLOURS[i]
        losses = smooth([row["loss"] for row in rows["train"]])
        points = " ".join(f"{x(row['step']):.1f},{y(v / highest):.1f}" for row, v in zip(rows["train"], losses))
        svg.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        for row in rows["eval"]:
            svg.append(f'<circle cx="{x(row["step"]) + 3 * (i - 1):.1f}" cy="{y(row["accuracy"]):.1f}" r="4" fill="{colour}"/>')
        svg.append(f'<circle cx="{WIDTH - RIGHT + 44}" cy="{TOP + 16 + 20 * i}" r="4" fill="{colour}"/>'
                   f'<text x="{WIDTH - RIGHT + 54}" y="{TOP + 20 + 20 * i}">{name}</text>')
    note = TOP + 36 + 20 * len(runs)
    for line in ("lines: training loss,", "left axis", "dots: held-out accuracy", "at temperature 1, right"):
        svg.append(f'<text x="{WIDTH - RIGHT + 40}" y="{note}" fill="#555">{line}</text>')
        note += 16
    svg.append("</svg>")
    args.out.write_text("\n".join(svg) + "\n")
    print(args.out)


if __name__ == "__main__":
    main()
