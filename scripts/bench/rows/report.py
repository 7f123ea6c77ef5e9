"""Of what is measured: table.md, ratios.svg and roofline.md."""
import json

from . import roofline
from .base import median

WIDTH, LEFT, RIGHT, TOP, ROW = 760, 190, 120, 58, 22
COLOURS = {"TRL": "#2266bb", "transformers": "#cc5511", "llama.cpp": "#228844", "safetensors": "#884499"}
ITSELF = "#777777"  # Temper beside itself


def read(folder, names):
    """What is kept of the rows, in their order."""
    return [json.loads((folder / f"{name}.json").read_text()) for name in names if (folder / f"{name}.json").exists()]


def values(row, side):
    return [run["value"] for run in row["sides"].get(side, [])]


def beside(row):
    """The other sides that have been measured."""
    return [side for side, runs in row["sides"].items() if side != "Temper" and runs]


def ratios(row, side):
    """How many times as good as the side Temper is, run by run: faster, or less."""
    pairs = zip(values(row, "Temper"), values(row, side))
    return [ours / theirs if row["more"] else theirs / ours for ours, theirs in pairs]


def spread(numbers, form):
    if not numbers:
        return "-"
    middle, low, high = (format(x, form) for x in (median(numbers), min(numbers), max(numbers)))
    return middle if low == high else f"{middle} ({low} to {high})"


def form_of(numbers):
    return ".0f" if numbers and median(numbers) >= 100 else ".1f" if numbers and median(numbers) >= 10 else ".2f"


def peak(row, side):
    peaks = [run["peak"] for run in row["sides"].get(side, []) if "peak" in run]
    return median(peaks) / 1e9 if peaks else None


def gb(number):
    return "-" if number is None else f"{number:.2f}"


def cells_of(row, side):
    """A line of the table; side: None where nothing is beside it."""
    ours, theirs = values(row, "Temper"), values(row, side) if side else []
    ratio = ratios(row, side) if side else []
    memory, other = peak(row, "Temper"), peak(row, side) if side else None
    share = memory / other if memory and other else None
    met = "" if not ratio or row["target"] is None else " met" if median(ratio) >= row["target"] else " missed"
    met_memory = "" if share is None or row["target_memory"] is None else " met" if share <= row["target_memory"] else " missed"
    return [
        row["row"], row["what"], spread(ours, form_of(ours)) if ours else "-", side or "-", spread(theirs, form_of(theirs)), row["unit"],
        spread(ratio, ".2f"), "-" if row["target"] is None else f"{row['target']:g} x{met}",
        gb(memory), gb(other), "-" if share is None else f"{share:.2f}",
        "-" if row["target_memory"] is None else f"{row['target_memory']:.2f}{met_memory}", str(min(len(ours), len(theirs)) or len(ours))]  # fmt: skip


def where(rows):
    """The machine and the days, in a line; several where rows are of several."""
    out = []
    for row in rows:
        m = row["settings"]["machine"]
        text = (f"{m['cpu']}, {row['settings']['threads']} of {m['cores']} cores, {m['memory_gb']:g} GB, "
                f"{' '.join(m['flags']) or 'no vector units that are told'}")  # fmt: skip
        if text not in out:
            out.append(text)
    runs = [run for row in rows for side in row["sides"].values() for run in side]
    days, commits = sorted({r["date"] for r in runs if "date" in r}), sorted({r["commit"] for r in runs if "commit" in r})
    return f"{'; '.join(out)}. {' to '.join(dict.fromkeys([days[0], days[-1]]))}, commit {', '.join(commits)}."


def busy(rows):
    """Runs during which other processes took more than a twentieth of the time."""
    return [f"{row['row']} {side} {number + 1}" for row in rows for side, runs in row["sides"].items() for number, run in enumerate(runs)
            if run.get("others_s", 0) > 3]  # fmt: skip


def planned(rows):
    """What --plan said of each run's peak, beside the process's largest resident set."""
    runs = {row["row"]: [run for run in row["sides"].get("Temper", []) if "planned" in run] for row in rows}
    lines = [f"| {name} | {median(r['planned'] for r in kept) / 1e9:.2f} | {median(r['peak'] for r in kept) / 1e9:.2f} | "
             f"{median(r['planned'] / r['peak'] for r in kept):.2f} |" for name, kept in runs.items() if kept]  # fmt: skip
    return ["", "| row | GB planned | GB at the peak | planned / peak |", "|---|---|---|---|", *lines] if lines else []


def table(rows):
    titles = ["row", "what", "Temper", "beside", "it", "unit", "ratio", "target", "GB", "its GB", "share", "target", "runs"]
    out = [where(rows), "", "Medians, lowest to highest; the ratio is how many times as good Temper is, of paired runs; memory is the largest "
           "resident set of the process.", "", "| " + " | ".join(titles) + " |", "|" + "---|" * len(titles)]  # fmt: skip
    for row in rows:
        for side in beside(row) or [None]:
            out.append("| " + " | ".join(cells_of(row, side)) + " |")
    out += planned(rows)
    if disturbed := busy(rows):
        out += ["", f"Other processes used more than 3 s of CPU during: {', '.join(disturbed)}."]
    return "\n".join(out) + "\n"


def bars(rows):
    """A bar a comparison: how many times as good as the other side, with the spread of the runs and the target."""
    lines = [(row, side, ratios(row, side)) for row in rows for side in beside(row)]
    lines = [line for line in lines if line[2]]
    longest = max([1.5, *(max(ratio) for _, _, ratio in lines), *(row["target"] or 0 for row, _, _ in lines)])
    height = TOP + ROW * len(lines) + 14

    def x(ratio):
        return LEFT + (WIDTH - LEFT - RIGHT) * ratio / longest

    svg = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">',
           f'<rect width="{WIDTH}" height="{height}" fill="white"/>',
           '<text x="8" y="20" font-size="14">How many times as good as the other side: faster, or with less memory</text>']  # fmt: skip
    at, shown = 8, dict.fromkeys(side if side in COLOURS else "itself" for _, side, _ in lines)
    for side in shown:
        svg.append(f'<circle cx="{at + 4}" cy="36" r="4" fill="{COLOURS.get(side, ITSELF)}"/><text x="{at + 12}" y="40">{side}</text>')
        at += 30 + 7 * len(side)
    svg.append(f'<path d="M{at + 6} 30v12" stroke="#111" stroke-width="2"/><text x="{at + 14}" y="40">target</text>')
    step = next(s for s in (0.25, 0.5, 1, 2, 5, 10, 20, 50, 100, 1000) if longest / s <= 8)
    for i in range(int(longest / step) + 1):
        svg.append(f'<line x1="{x(i * step):.1f}" x2="{x(i * step):.1f}" y1="{TOP - 4}" y2="{height - 12}" stroke="#ddd"/>'
                   f'<text x="{x(i * step):.1f}" y="{height - 1}" text-anchor="middle" fill="#555" font-size="10">{i * step:g}</text>')  # fmt: skip
    svg.append(f'<line x1="{x(1):.1f}" x2="{x(1):.1f}" y1="{TOP - 4}" y2="{height - 12}" stroke="#888"/>')
    for i, (row, side, ratio) in enumerate(lines):
        y, middle = TOP + ROW * i, median(ratio)
        svg.append(f'<text x="{LEFT - 6}" y="{y + 13}" text-anchor="end">{row["row"]}</text>'
                   f'<rect x="{LEFT}" y="{y + 2}" width="{x(middle) - LEFT:.1f}" height="{ROW - 8}" fill="{COLOURS.get(side, ITSELF)}"/>'
                   f'<line x1="{x(min(ratio)):.1f}" x2="{x(max(ratio)):.1f}" y1="{y + 9}" y2="{y + 9}" stroke="#111"/>')  # fmt: skip
        if row["target"] is not None:
            svg.append(f'<path d="M{x(row["target"]):.1f} {y}v{ROW - 4}" stroke="#111" stroke-width="2"/>')
        end = max(x(max(ratio)), x(row["target"] or 0))
        name = "" if side in COLOURS else f" of {side}"
        svg.append(f'<text x="{end + 6:.1f}" y="{y + 13}">{middle:.2f} x{name}</text>')
    return "\n".join([*svg, "</svg>"]) + "\n"


def write(folder, names):
    rows = [row for row in read(folder, names) if values(row, "Temper") or beside(row)]
    if not rows:
        raise SystemExit(f"{folder}: nothing is measured there yet")
    text = table(rows)
    (folder / "table.md").write_text(text)
    (folder / "ratios.svg").write_text(bars(rows))
    roofline.write(folder, rows)
    print(text, end="")
