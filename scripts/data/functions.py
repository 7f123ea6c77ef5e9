#!/usr/bin/env python3
"""Writes small functions in Python as JSONL: train.jsonl and test.jsonl, which share no question.

  {"prompt": "f(a, b): the sum of a and b, times 3\\n", "completion": "def f(a, b):\\n    return (a + b) * 3",
   "tests": ["assert f(2, 5) == 21", ...]}

The tests are made by running the completion. The same options give the same files. Needs nothing but Python 3.8 or later.

  python3 scripts/data/functions.py --out data/functions --train 1200 --test 100
"""
import argparse
import json
import os
import random
import sys

# What a part of a function says and is; {c} is a small number.
STARTS = [("the sum of a and b", "a + b"), ("a minus b", "a - b"), ("the product of a and b", "a * b"),
          ("the larger of a and b", "max(a, b)"), ("the smaller of a and b", "min(a, b)"),
          ("the distance of a and b", "abs(a - b)"), ("the square of a, plus b", "a * a + b"),
          ("a plus twice b", "a + 2 * b")]
ENDS = [("", "{x}"), (", times {c}", "({x}) * {c}"), (", plus {c}", "({x}) + {c}"), (", less {c}", "({x}) - {c}"),
        (", modulo {c}", "({x}) % {c}"), (", whether it is above {c}", "({x}) > {c}"),
        (", whether it is divisible by {c}", "({x}) % {c} == 0"), (", but at most {c}", "min({x}, {c})"),
        (", but at least {c}", "max({x}, {c})")]
ARGUMENTS = [(2, 5), (7, 3), (4, 4), (0, 9), (12, 1), (3, 8)]
NAMES = ["f", "g", "h"]


class Draw:
    """Random choices from random() alone, whose sequence Python promises to keep."""

    def __init__(self, seed):
        self.source = random.Random(seed)

    def number(self, low, high):
        return low + int(self.source.random() * (high - low + 1))

    def pick(self, items):
        return items[self.number(0, len(items) - 1)]


def record(d):
    (start, code), (end, whole), name, c = d.pick(STARTS), d.pick(ENDS), d.pick(NAMES), d.number(2, 12)
    says = start + end.format(c=c)
    expression = whole.format(x=code, c=c)
    completion = f"def {name}(a, b):\n    return {expression}"
    function = {}
    exec(completion, function)
    tests = [f"assert {name}({a}, {b}) == {function[name](a, b)!r}" for a, b in ARGUMENTS]
    return {"prompt": f"{name}(a, b): {says}\n", "completion": completion, "tests": tests}


def generate(options):
    """test + train records, each question once; the test questions are drawn first."""
    d, seen, out, misses = Draw(options.seed), set(), [], 0
    while len(out) < options.test + options.train:
        one = record(d)
        misses = misses + 1 if one["prompt"] in seen else 0
        if misses > 2000:
            sys.exit(f"functions.py: only {len(seen)} different questions found, {options.test + options.train} wanted")
        if misses == 0:
            seen.add(one["prompt"])
            out.append(one)
    return out[options.test:], out[:options.test]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="data/functions", help="folder of train.jsonl and test.jsonl")
    parser.add_argument("--train", type=int, default=1200, help="records to train on")
    parser.add_argument("--test", type=int, default=100, help="held-out records")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    if min(options.train, options.test) < 0 or options.train + options.test == 0:
        parser.error("--train and --test count records")
    train, test = generate(options)
    os.makedirs(options.out, exist_ok=True)
    for name, records in (("train", train), ("test", test)):
        path = os.path.join(options.out, name + ".jsonl")
        with open(path + ".part", "w", encoding="utf-8", newline="\n") as file:
            for one in records:
                file.write(json.dumps(one, ensure_ascii=False, separators=(",", ":")) + "\n")
        os.replace(path + ".part", path)
        print(f"{path}: {len(records)} records")


if __name__ == "__main__":
    main()
