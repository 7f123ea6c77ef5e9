#!/usr/bin/env python3
"""Grade-school arithmetic in words: records with a question, a worked answer that ends in "#### N", and the answer.

    scripts/data/arithmetic.py OUT [--train 4000] [--test 200] [--seed 1] [--max 50] [--style prompt|chat]

Writes OUT/train.jsonl and OUT/test.jsonl, which share no question. The same options give the same bytes. Only the
standard library is used.
"""
import argparse
import json
import os
import random

NAMES = ["Anna", "Ben", "Carla", "David", "Emma", "Felix", "Greta", "Hugo", "Iris", "Jonas", "Klara", "Leo"]
THINGS = ["apples", "books", "coins", "pens", "shells", "stamps", "cards", "eggs", "keys", "nuts"]


def question(rng, most):
    """One question, its working and its answer; every number and result is between 0 and `most` or a small product."""
    name, other = rng.sample(NAMES, 2)
    thing = rng.choice(THINGS)
    kind = rng.randrange(7)
    a = rng.randint(2, most)
    if kind == 0:
        b = rng.randint(2, most)
        return f"{name} has {a} {thing} and finds {b} more. How many {thing} does {name} have now?", f"{a} + {b} = {a + b}", a + b
    if kind == 1:
        b = rng.randint(1, a)
        return f"{name} has {a} {thing} and gives {b} to {other}. How many {thing} are left?", f"{a} - {b} = {a - b}", a - b
    if kind == 2:
        x, y = rng.randint(2, 9), rng.randint(2, 9)
        return f"{name} has {x} boxes with {y} {thing} in each. How many {thing} is that?", f"{x} * {y} = {x * y}", x * y
    if kind == 3:
        x, y = rng.randint(2, 9), rng.randint(2, 9)
        return f"{name} shares {x * y} {thing} among {x} friends. How many {thing} does each get?", f"{x * y} / {x} = {y}", y
    if kind == 4:
        b, c = rng.randint(2, most), 0
        c = rng.randint(1, a + b)
        return (f"{name} has {a} {thing}, buys {b} and loses {c}. How many {thing} does {name} have?",
                f"{a} + {b} = {a + b}, {a + b} - {c} = {a + b - c}", a + b - c)
    if kind == 5:
        b = rng.randint(2, most)
        hi, lo = max(a, b), min(a, b)
        return (f"{name} has {hi} {thing} and {other} has {lo}. How many more {thing} does {name} have?", f"{hi} - {lo} = {hi - lo}", hi - lo)
    b = rng.randint(1, most)
    return (f"{name} has {a} {thing} and {other} has {b} more than that. How many {thing} does {other} have?", f"{a} + {b} = {a + b}", a + b)


def record(rng, args):
    text, working, answer = question(rng, args.max)
    if args.style == "chat":
        return text, {"prompt": [{"role": "user", "content": text}],
                      "completion": [{"role": "assistant", "content": f"{working} #### {answer}"}], "answer": str(answer)}
    return text, {"prompt": f"Question: {text}\nAnswer:", "completion": f" {working} #### {answer}", "answer": str(answer)}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("out")
    parser.add_argument("--train", type=int, default=4000)
    parser.add_argument("--test", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--max", type=int, default=50)
    parser.add_argument("--style", choices=["prompt", "chat"], default="prompt")
    args = parser.parse_args()
    rng = random.Random(args.seed)
    seen, records = set(), []
    tries = 0
    while len(records) < args.train + args.test:
        text, row = record(rng, args)
        tries += 1
        if tries > 100 * (args.train + args.test):
            raise SystemExit(f"arithmetic.py: --max {args.max} gives too few different questions for {args.train + args.test} records")
        if text not in seen:
            seen.add(text)
            records.append(row)
    os.makedirs(args.out, exist_ok=True)
    for name, rows in (("test", records[:args.test]), ("train", records[args.test:])):
        path = os.path.join(args.out, name + ".jsonl")
        with open(path + ".tmp", "w") as f:
            for row in rows:
                f.write(json.dumps(row) + "\n")
        os.replace(path + ".tmp", path)


if __name__ == "__main__":
    main()
