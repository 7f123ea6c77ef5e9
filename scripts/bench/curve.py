#!/usr/bin/env python3
"""Draws the training reward and the held-out accuracy of finished runs, one colour a run, as a small SVG for the README.

  scripts/bench/curve.py --out configs/rl/smollm2-arithmetic.svg --title "SmolLM2-135M, sums" "LoRA, seed 1"=runs/a "full"=runs/b
"""
import argparse
import json
from pathlib import Path

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 720, 330, 50, 170, 34, 40
COLOURS = ["#2266bb", "#cc5511", "#228844", "#884499", "#996600", "#007788"]
NEIGHBOURS = 4  # steps on each side of a smoothed point


def rows(run):
    out = {"train": [], "eval": []}
    for line in (Path(run) / "metrics.jsonl").read_text().splitlines():
        row = json.loads(line)
        out[row["split"]].append(row)
    return out


def smooth(values):
    out = []
    for i in range(len(values)):
        near = values[max(0, i - NEIGHBOURS):i + NEIGHBOURS + 1]
        out.append(sum(near) / len(near))
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--title", default="")
    parser.add_argument("runs", nargs="+", metavar="NAME=FOLDER")
    args = parser.parse_args()
    runs = [(name, rows(folder)) for name, _, folder in (run.rpartition("=") for run in args.runs)]
    last = max(row["step"] for _, r in runs for row in r["train"])

    def x(step):
        return LEFT + (WIDTH - LEFT - RIGHT) * step / last

    def y(share):
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
           f'<text x="{LEFT}" y="20" font-size="14">{args.title}</text>']
    for tenth in range(0, 11, 2):
        at = y(tenth / 10)
        svg.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" stroke="#ddd"/>'
                   f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{10 * tenth} %</text>')
    for step in range(0, last + 1, max(1, last // 4)):
        svg.append(f'<text x="{x(step):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{step}</text>')
    svg.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">step</text>')
    for i, (name, r) in enumerate(runs):
        colour = COLOURS[i % len(COLOURS)]
        rewards = smooth([row["reward"] for row in r["train"]])
        points = " ".join(f"{x(row['step']):.1f},{y(v):.1f}" for row, v in zip(r["train"], rewards))
        svg.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-opacity="0.45" stroke-width="1.5"/>')
        for row in r["eval"]:
            at = x(row["step"]) + 3 * (i - (len(runs) - 1) / 2)  # side by side where runs share a step
            svg.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{y(row["low"]):.1f}" y2="{y(row["high"]):.1f}" stroke="{colour}"/>'
                       f'<circle cx="{at:.1f}" cy="{y(row["accuracy"]):.1f}" r="4" fill="{colour}"/>')
        svg.append(f'<circle cx="{WIDTH - RIGHT + 18}" cy="{TOP + 16 + 20 * i}" r="4" fill="{colour}"/>'
                   f'<text x="{WIDTH - RIGHT + 28}" y="{TOP + 20 + 20 * i}">{name}</text>')
    note = TOP + 36 + 20 * len(runs)
    for line in ("dots: held-out accuracy,", "greedy, 95 % interval", "lines: training reward,", "temperature 1"):
        svg.append(f'<text x="{WIDTH - RIGHT + 14}" y="{note}" fill="#555">{line}</text>')
        note += 16
    svg.append("</svg>")
    args.out.write_text("\n".join(svg) + "\n")
    print(args.out)


if __name__ == "__main__":
    main()
