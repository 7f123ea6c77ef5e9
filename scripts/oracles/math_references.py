#!/usr/bin/env python3
"""What the math reward reads of a file of references, beside math-verify's reading of the same.

  math_references.py build/bin/temper-inspect MATH.jsonl [--column solution] [--show 20]

Prints the share that is read, and every reference of which the two read different values. Needs pip install math-verify==0.9.0.
"""
import argparse
import json
import subprocess
import tempfile

from math_verify import parse, verify


def last_box(text):
    start = text.rfind("\\boxed")
    if start < 0:
        return text
    depth, i = 0, text.index("{", start)
    for j in range(i, len(text)):
        depth += {"{": 1, "}": -1}.get(text[j], 0)
        if depth == 0:
            return text[i + 1 : j]
    return text


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("inspect")
    p.add_argument("file")
    p.add_argument("--column", default="solution")
    p.add_argument("--show", type=int, default=20)
    args = p.parse_args()
    texts = [json.loads(line)[args.column] for line in open(args.file)]
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as lines:
        for text in texts:
            lines.write(json.dumps({"completion": "", "answer": text}) + "\n")
        lines.flush()
        out = subprocess.run([args.inspect, "reward", "math", "--input", lines.name], capture_output=True, text=True, check=True).stdout
    read = differ = 0
    for text, line in zip(texts, out.splitlines()):
        value = json.loads(line)["references"][0]
        if value is None:
            continue
        read += 1
        box = last_box(text)
        theirs, ours = parse(f"${box}$", parsing_timeout=None), parse(f"${value}$", parsing_timeout=None)
        if not verify(theirs, ours, timeout_seconds=None):
            differ += 1
            if differ <= args.show:
                print(f"differs: {box!r} is read as {value}; math-verify reads {theirs}")
    print(f"{read} of {len(texts)} references are read ({100 * read / len(texts):.1f} %), {differ} otherwise than by math-verify")


if __name__ == "__main__":
    main()
