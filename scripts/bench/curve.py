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


class Drawing:
    """Steps to the right, shares of the height upwards; a legend beside it."""

    def __init__(self, title, steps, levels, legend):
        """levels: (share, label on the left, label on the right); legend: its distance from the axes."""
        self.steps, self.legend_x, self.legend_y = steps, WIDTH - RIGHT + legend, TOP + 16
        self.svg = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12">',
                    f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
                    f'<text x="{LEFT}" y="20" font-size="14">{title}</text>']
        for share, left, right in levels:
            at = self.y(share)
            self.svg.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" stroke="#ddd"/>'
                            f'<text x="{LEFT - 6}" y="{at + 4:.1f}" text-anchor="end">{left}</text>'
                            f'<text x="{WIDTH - RIGHT + 4}" y="{at + 4:.1f}" fill="#555">{right}</text>')
        for step in range(0, steps + 1, max(1, steps // 4)):
            self.svg.append(f'<text x="{self.x(step):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{step}</text>')
        self.svg.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 6}" text-anchor="middle">step</text>')

    def x(self, step):
        return LEFT + (WIDTH - LEFT - RIGHT) * step / self.steps

    @staticmethod
    def y(share):
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * share

    def line(self, steps, shares, colour, opacity):
        points = " ".join(f"{self.x(step):.1f},{self.y(share):.1f}" for step, share in zip(steps, shares))
        self.svg.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-opacity="{opacity}" stroke-width="1.5"/>')

    def dot(self, step, share, colour, aside=0, interval=None):
        """aside: so many pixels to the right, where runs share a step; interval: (low, high)."""
        at = self.x(step) + aside
        if interval:
            low, high = interval
            self.svg.append(f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{self.y(low):.1f}" y2="{self.y(high):.1f}" stroke="{colour}"/>')
        self.svg.append(f'<circle cx="{at:.1f}" cy="{self.y(share):.1f}" r="4" fill="{colour}"/>')

    def name(self, text, colour):
        self.svg.append(f'<circle cx="{self.legend_x + 4}" cy="{self.legend_y}" r="4" fill="{colour}"/>'
                        f'<text x="{self.legend_x + 14}" y="{self.legend_y + 4}">{text}</text>')
        self.legend_y += 20

    def write(self, path, notes):
        for i, note in enumerate(notes):
            self.svg.append(f'<text x="{self.legend_x}" y="{self.legend_y + 20 + 16 * i}" fill="#555">{note}</text>')
        path.write_text("\n".join([*self.svg, "</svg>"]) + "\n")
        print(path)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--title", default="")
    parser.add_argument("runs", nargs="+", metavar="NAME=FOLDER")
    args = parser.parse_args()
    runs = [(name, rows(folder)) for name, _, folder in (run.rpartition("=") for run in args.runs)]
    last = max(row["step"] for _, r in runs for row in r["train"])
    drawing = Drawing(args.title, last, [(tenth / 10, f"{10 * tenth} %", "") for tenth in range(0, 11, 2)], legend=14)
    for i, (name, r) in enumerate(runs):
        colour = COLOURS[i % len(COLOURS)]
        drawing.line([row["step"] for row in r["train"]], smooth([row["reward"] for row in r["train"]]), colour, 0.45)
        for row in r["eval"]:
            drawing.dot(row["step"], row["accuracy"], colour, 3 * (i - (len(runs) - 1) / 2), (row["low"], row["high"]))
        drawing.name(name, colour)
    drawing.write(args.out, ("dots: held-out accuracy,", "greedy, 95 % interval", "lines: training reward,", "temperature 1"))


if __name__ == "__main__":
    main()
