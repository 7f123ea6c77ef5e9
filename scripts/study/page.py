#!/usr/bin/env python3
"""Draws a study: OUT/study.html (one page, opens offline), OUT/study.json (its numbers) and OUT/<family>-<name>.svg, one small
curve an objective, for the documentation.

  scripts/study/page.py runs/study/study.json --out lib/objective/study
"""
import argparse
import json
from html import escape
from pathlib import Path

W, H, LEFT, RIGHT, TOP, BOTTOM = 230, 150, 34, 8, 22, 22
READING = Path(__file__).resolve().parent.parent.parent / "lib/objective/study/reading.txt"  # what it says and does not say
BLUE, ORANGE, GREY = "#2266bb", "#cc5511", "#999"
T95 = {2: 12.71, 3: 4.303, 4: 3.182, 5: 2.776}  # Student's t for so many seeds

TASK = {
    "policy": "Word problems with numbers up to ten, answered by a 0.2M-parameter Llama after a little fine-tuning; reward: the exact "
    "answer. 24 steps of 32 questions, 8 answers each, 4 optimizer steps a rollout batch (so that the objectives are off policy and "
    "their clips and weights act).",
    "preference": "Pairs of a right and a wrong answer that the same start gave to the same question. 30 steps of 32 pairs (64 "
    "answers for the losses of single answers).",
}
MEASURE = {
    "policy": "Line: training reward (temperature 1), mean over seeds of a five-step average; band: lowest to highest seed; dots: "
    "held-out accuracy; grey: grpo. dapo's training reward is of the groups that it keeps, so only its dots compare.",
    "preference": "Dots and line: held-out accuracy of answers sampled at temperature 1; dashed: share of held-out pairs whose chosen "
    "answer gained more log-prob over the start than its rejected one (one definition for all losses); bands: lowest to highest "
    "seed; grey: dpo.",
}


def mean(values):
    return sum(values) / len(values)


def smooth(values, near=2):
    return [mean(values[max(0, i - near) : i + near + 1]) for i in range(len(values))]


def summary(values):
    """mean, lowest, highest, half-width of the 95 % interval of the mean over seeds"""
    m = mean(values)
    half = None
    if len(values) in T95:
        spread = (sum((v - m) ** 2 for v in values) / (len(values) - 1)) ** 0.5
        half = T95[len(values)] * spread / len(values) ** 0.5
    return m, min(values), max(values), half


def good(entry):
    return [r for r in entry["runs"] if not r["failed"]]


def value(entry):
    """What the table sorts by; a failed objective stands last."""
    return mean([r["final"] for r in good(entry)]) if good(entry) else -1.0


def curves(entry, family):
    """[(steps, mean, low, high)]: the line with its band, the dots, and for preferences the dashed line"""
    runs = good(entry)
    if not runs:
        return None

    def over(lists):
        columns = list(zip(*lists))
        return [mean(c) for c in columns], [min(c) for c in columns], [max(c) for c in columns]

    def points(key):
        return ([p[0] for p in runs[0][key]], *over([[p[1] for p in r[key]] for r in runs]))

    if family == "policy":
        line = over([smooth(r["reward"]) for r in runs])
        final = over([[r["final"]] for r in runs])
        held = points("held_out") if runs[0]["held_out"] else ([], [], [], [])
        last = len(runs[0]["reward"])
        if held[0] and held[0][-1] == last:  # the final measurement has more questions
            held = tuple(h[:-1] for h in held)
        held = ([*held[0], last], *[[*h, *f] for h, f in zip(held[1:], final)])
        return {"line": (list(range(1, last + 1)), *line), "dots": held}
    held = points("held_out")
    return {"line": held, "dots": held, "dashed": points("implicit")}


class Panel:
    def __init__(self, last, top):
        self.last, self.top, self.parts = last, top, []

    def x(self, step):
        return LEFT + (W - LEFT - RIGHT) * step / self.last

    def y(self, share):
        return H - BOTTOM - (H - TOP - BOTTOM) * min(share, self.top) / self.top

    def polyline(self, steps, values, colour, width=1.6, extra=""):
        at = " ".join(f"{self.x(s):.1f},{self.y(v):.1f}" for s, v in zip(steps, values))
        self.parts.append(f'<polyline points="{at}" fill="none" stroke="{colour}" stroke-width="{width}" {extra}/>')

    def band(self, steps, low, high, colour):
        there = [(self.x(s), self.y(v)) for s, v in zip(steps, high)]
        back = [(self.x(s), self.y(v)) for s, v in zip(steps, low)][::-1]
        at = " ".join(f"{a:.1f},{b:.1f}" for a, b in there + back)
        self.parts.append(f'<polygon points="{at}" fill="{colour}" fill-opacity="0.18"/>')

    def svg(self, title):
        grid = []
        for share in (0, self.top / 2, self.top):
            at = self.y(share)
            grid.append(f'<line x1="{LEFT}" x2="{W - RIGHT}" y1="{at:.1f}" y2="{at:.1f}" stroke="#e3e3e3"/>'
                        f'<text x="{LEFT - 4}" y="{at + 3:.1f}" text-anchor="end" fill="#666">{100 * share:.0f} %</text>')  # fmt: skip
        for step in (0, self.last):
            grid.append(f'<text x="{self.x(step):.1f}" y="{H - 7}" text-anchor="middle" fill="#666">{step}</text>')
        return (f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {W} {H}" width="{W}" height="{H}" '
                f'font-family="sans-serif" font-size="9"><rect width="{W}" height="{H}" fill="white"/>'
                f'<text x="{LEFT}" y="14" font-size="12" font-weight="bold">{escape(title)}</text>{"".join(grid)}'
                f'{"".join(self.parts)}</svg>')  # fmt: skip


def panel(entry, reference, family, last, top):
    p = Panel(last, top)
    if reference:
        p.polyline(reference["line"][0], reference["line"][1], GREY, 1)
    c = curves(entry, family)
    if c is None:
        p.parts.append(f'<text x="{W / 2}" y="{H / 2}" text-anchor="middle">every run failed</text>')
        return p.svg(entry["name"])
    steps, middle, low, high = c["line"]
    p.band(steps, low, high, BLUE)
    p.polyline(steps, middle, BLUE)
    if "dashed" in c:
        steps, middle, low, high = c["dashed"]
        p.band(steps, low, high, ORANGE)
        p.polyline(steps, middle, ORANGE, 1.2, 'stroke-dasharray="4 3"')
    for step, value in zip(c["dots"][0], c["dots"][1]):
        p.parts.append(f'<circle cx="{p.x(step):.1f}" cy="{p.y(value):.1f}" r="2.4" fill="{BLUE}"/>')
    return p.svg(entry["name"])


def percent(value):
    return "–" if value is None else f"{100 * value:.1f}"


def table(entries, family, rates, quick):
    extra = "<th>pairs told apart</th>" if family == "preference" else ""
    out = [f"<table><tr><th>objective</th><th>final accuracy, %</th><th>± (95 %, over seeds)</th><th>lowest to highest seed</th>{extra}"
           f"<th>learning rate</th><th>tried (accuracy with each)</th><th>M tokens</th><th>CPU s</th><th>peak GB</th></tr>"]  # fmt: skip
    for e in entries:
        runs = good(e)
        tried = ", ".join(f"{r:g}: {percent(v)}" for r, v in e["sweep"]) or "–"
        edge = "" if len(rates) < 3 or e["rate"] not in (rates[0], rates[-1]) else " (edge)"
        if not runs:
            out.append(f'<tr><td>{escape(e["name"])}</td><td colspan="9">every run failed: {escape(e["runs"][0]["failed"])}</td></tr>')
            continue
        m, low, high, half = summary([r["final"] for r in runs])
        apart = f"<td>{percent(mean([r['implicit'][-1][1] for r in runs]))}</td>" if family == "preference" else ""
        lost = f" ({len(e['runs']) - len(runs)} failed)" if len(runs) < len(e["runs"]) else ""
        out.append(f'<tr><td>{escape(e["name"])}{lost}</td><td><b>{percent(m)}</b></td><td>{percent(half)}</td><td>{percent(low)} to '
                   f'{percent(high)}</td>{apart}<td>{e["rate"]:g}{edge}</td><td>{tried}</td>'
                   f'<td>{mean([r["tokens"] for r in runs]) / 1e6:.2f}</td><td>{mean([r["cpu_s"] for r in runs]):.0f}</td>'
                   f'<td>{max(r["peak_gb"] for r in runs):.2f}</td></tr>')  # fmt: skip
    return "\n".join([*out, "</table>"])


STYLE = """body{font:14px/1.45 sans-serif;max-width:1180px;margin:24px auto;padding:0 12px;color:#222}
table{border-collapse:collapse;font-size:12px}td,th{border-bottom:1px solid #ddd;padding:3px 8px;text-align:left}
.panels{display:flex;flex-wrap:wrap;gap:6px}h1{font-size:22px}h2{margin-top:32px}.warn{color:#b00}"""


def section(study, family, out):
    part = study[family]
    entries = sorted([e for e in part["entries"] if e["runs"]], key=value, reverse=True)
    every = [curves(e, family) for e in entries]
    drawn = [c for c in every if c]
    last = max((max(c["dots"][0]) for c in drawn), default=1)
    top = max((max(max(line[3]) for line in c.values()) for c in drawn), default=1.0)
    top = min(1.0, (int(top * 10) + 1) / 10)
    reference = next((c for e, c in zip(entries, every) if e["name"] == {"policy": "grpo", "preference": "dpo"}[family]), None)
    panels = []
    for e in entries:
        panels.append(panel(e, reference, family, last, top))
        (out / f"{family}-{e['name']}.svg").write_text(panels[-1] + "\n")
    title = {"policy": "Policy objectives", "preference": "Preference losses"}[family]
    task = "A tiny model of random weights: this says that everything runs and nothing else." if study["quick"] else TASK[family]
    if family == "preference":
        task += f" {part['pairs'][0]} pairs to train on, {part['pairs'][1]} held out."
    counts = sorted({len(e["runs"]) for e in entries})
    seeds = " to ".join(str(c) for c in {counts[0]: 0, counts[-1]: 0}) if counts else "no"
    rates = ", ".join(f"{r:g}" for r in part["rates"])
    refused = "".join(f"<li>{escape(n)}: {escape(why)}</li>" for n, why in part["refused"].items())
    return f"""<h2>{title}</h2><p>{task}</p>
<p>Every preset has its paper's values, but for those that the objectives' README names. The learning rate alone was chosen, in the same way for all: AdamW, constant, gradient norm
clipped at 1, tried at {rates} with one seed of its own on questions of their own; the best of them ran with {seeds} further
seeds. (AdamW's steps do not depend on the scale of a loss, so sums and means need no rates of their own.) The start answers
{percent(study["start"])} % right. Final accuracy: {study["questions"]} held-out questions, one answer each at temperature 1.</p>
<p>{MEASURE[family]}</p><div class="panels">{"".join(panels)}</div>
<h3>By final accuracy</h3>{table(entries, family, part["rates"], study["quick"])}
<p>CPU seconds are of one thread on a machine that did other work as well: good for the order of magnitude only. Tokens: of the
whole run, prompts and answers, resampled ones included.</p>
{f"<p>Left out, because training cannot give them what they need:</p><ul>{refused}</ul>" if refused else ""}"""


def write(study, out):
    out.mkdir(parents=True, exist_ok=True)
    parts = [section(study, family, out) for family in ("policy", "preference") if family in study]
    warning = '<p class="warn">This is the two-minute version.</p>' if study["quick"] else ""
    text = "" if study["quick"] or not READING.exists() else f"<p>{READING.read_text()}</p>"
    (out / "study.html").write_text(
        f'<!doctype html><html lang="en"><meta charset="utf-8"><title>Objectives side by side</title><style>{STYLE}</style>'
        f"<h1>Objectives side by side</h1>{warning}{text}{''.join(parts)}</html>\n"
    )
    (out / "study.json").write_text(json.dumps(study, separators=(",", ":")) + "\n")


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("study", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    options = parser.parse_args()
    write(json.loads(options.study.read_text()), options.out)
    print(options.out / "study.html")


if __name__ == "__main__":
    main()
