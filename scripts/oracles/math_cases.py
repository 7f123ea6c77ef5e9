#!/usr/bin/env python3
"""What the math reward says of cases whose verdict is known: faults of the past, and GSM8K with OpenAI's own verdicts.

  math_cases.py build/bin/temper-inspect [--cases cases.jsonl] [--gsm8k FOLDER]

--cases: lines of id, gold (the reference), pred (the completion), want (1, 0 or null) and math_verify (what it said, 1
or 0). Where want is null, a 0 is right too if math-verify said 0: the reference is read by now, the answer is another.
--gsm8k: a folder with train.jsonl, test.jsonl and example_model_solutions.jsonl. Every reference must be the number
behind its ####, and every verdict the file's own is_correct. Ends with 1 where anything differs.
"""
import argparse
import json
import subprocess
import sys
import tempfile
from fractions import Fraction
from pathlib import Path


def lines_of(file):
    return [json.loads(line) for line in open(file)]


def inspect(program, rows):
    """The reward's reading of (reference, completion)."""
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as lines:
        for answer, completion in rows:
            lines.write(json.dumps({"completion": completion, "answer": answer}) + "\n")
        lines.flush()
        out = subprocess.run([program, "reward", "math", "--input", lines.name], capture_output=True, text=True,
                             check=True).stdout
    return [json.loads(line) for line in out.splitlines()]


def tally(what, right, total, differences, show):
    print(f"{right:,} of {total:,} {what}")
    for line in differences[:show]:
        print(f"  {line}")
    if len(differences) > show:
        print(f"  ... and {len(differences) - show:,} more")
    return right == total


def cases(program, file, show):
    rows = lines_of(file)
    differences, read_now = [], 0
    for row, got in zip(rows, inspect(program, [(r["gold"], r["pred"]) for r in rows])):
        if got["score"] == row["want"]:
            continue
        if row["want"] is None and row["math_verify"] == 0 and got["score"] == 0:
            read_now += 1
        else:
            differences.append(f"{row['id']}: reference {row['gold']!r}, completion {row['pred']!r}: {got['score']}, "
                               f"want {row['want']}; read as {got.get('answer')} and {got['references']}")
    return tally(f"cases ({read_now} of them 0 where null was wanted: the reference is read by now)",
                 len(rows) - len(differences), len(rows),
                 differences, show)


def number(text):
    return Fraction(text.strip().replace(",", "").replace("$", ""))


def as_fraction(text):
    try:
        return number(str(text))
    except (ValueError, ZeroDivisionError):
        return None


def references(program, folder, show):
    texts = [row["answer"] for name in ("train", "test") for row in lines_of(folder / f"{name}.jsonl")]
    truths = [text.rsplit("####", 1)[1].strip() for text in texts]
    wrong = []
    for truth, got, right in zip(truths, inspect(program, [(t, "") for t in texts]), inspect(program, zip(texts, truths))):
        read = got["references"][0]
        if as_fraction(read) != number(truth) or right["score"] != 1:
            wrong.append(f"#### {truth} is read as {read}, its own number scores {right['score']}")
    return tally("references", len(texts) - len(wrong), len(texts), wrong, show)


def verdicts(program, folder, show):
    rows, flags = [], []
    for row in lines_of(folder / "example_model_solutions.jsonl"):
        for model, given in row.items():
            if isinstance(given, dict):
                rows.append((row["ground_truth"], given["solution"]))
                flags.append((model, given["is_correct"]))
    wrong = [f"{model}: is_correct is {flag}, the score {got['score']}: ...{completion[-60:]!r} read as {got.get('answer')}, "
             f"...{answer[-30:]!r} as {got['references']}"
             for (answer, completion), (model, flag), got in zip(rows, flags, inspect(program, rows))
             if got["score"] != float(flag)]
    return tally("verdicts", len(rows) - len(wrong), len(rows), wrong, show)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("inspect")
    p.add_argument("--cases", type=Path)
    p.add_argument("--gsm8k", type=Path)
    p.add_argument("--show", type=int, default=20)
    args = p.parse_args()
    fine = []
    if args.cases:
        fine.append(cases(args.inspect, args.cases, args.show))
    if args.gsm8k:
        fine += [references(args.inspect, args.gsm8k, args.show), verdicts(args.inspect, args.gsm8k, args.show)]
    sys.exit(0 if all(fine) else 1)


if __name__ == "__main__":
    main()
