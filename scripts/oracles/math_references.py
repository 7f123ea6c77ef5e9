#!/usr/bin/env python3
"""What the math reward reads of a file of references, beside math-verify's reading of the same.

  math_references.py build/bin/temper-inspect MATH.jsonl [--column solution] [--show 20]

math-verify reads each reference's last box, sympy spells its reading anew, and the reward must find that equal to the reference.
Prints how many are read as what kind, and the references of which the readings differ. Needs pip install math-verify==0.9.0.
"""
import argparse
import collections
import json
import subprocess
import tempfile

import sympy
from math_verify import parse


def last_box(text):
    start = text.rfind("\\boxed")
    if start < 0:
        return text
    depth = 0
    for j in range(text.find("{", start), len(text)):
        depth += {"{": 1, "}": -1}.get(text[j], 0)
        if depth == 0:
            return text[text.index("{", start) + 1 : j]
    return text


def spelled_anew(box):
    """math-verify's reading as sympy writes it; None where it reads nothing but text."""
    found = parse(f"${box}$", parsing_timeout=None)
    if not found or isinstance(found[0], str):
        return None
    return sympy.latex(found[0])


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("inspect")
    p.add_argument("file")
    p.add_argument("--column", default="solution")
    p.add_argument("--show", type=int, default=20)
    args = p.parse_args()
    texts = [json.loads(line)[args.column] for line in open(args.file)]
    anew = [spelled_anew(last_box(text)) for text in texts]
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as lines:
        for text, other in zip(texts, anew):
            lines.write(json.dumps({"completion": f"\\boxed{{{other}}}", "answer": text}) + "\n")
        lines.flush()
        out = subprocess.run([args.inspect, "reward", "math", "--input", lines.name], capture_output=True, text=True, check=True).stdout
    rows = [json.loads(line) for line in out.splitlines()]
    kinds = collections.Counter(row.get("kind", "unread") for row in rows)
    differ = [(last_box(t), row["references"][0], a, row) for t, a, row in zip(texts, anew, rows) if a is not None and row["score"] != 1]
    for box, ours, theirs, row in differ[: args.show]:
        print(f"{row['score']}: {box!r} is read as {ours!r}; math-verify reads {theirs!r}, here {row['answer']!r}")
    read = len(rows) - kinds["unread"]
    print(f"{read} of {len(rows)} references are read ({100 * read / len(rows):.1f} %): {dict(kinds.most_common())}")
    print(f"{sum(a is not None for a in anew)} are read by math-verify as more than text, {len(differ)} of them otherwise")


if __name__ == "__main__":
    main()
