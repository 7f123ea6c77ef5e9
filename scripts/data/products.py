#!/usr/bin/env python3
"""Writes products of two-digit numbers as chats: demonstrations.jsonl, train.jsonl and test.jsonl, which share no product.

  demonstrations  {"messages": [...]} to be fine-tuned on: in every second one the answer is written at once, in the others the
                  tool "calculator" is called, in the format "json" of the environment "tools", and its result is repeated
  train, test     {"prompt": [{"role": "user", "content": "What is 34 * 57?"}], "answer": "1938"}

The same options give the same files. Needs nothing but Python 3.8 or later.

  python3 scripts/data/products.py --out data/products
"""
import argparse
import json
import os
import random


def shuffled(items, seed):
    """By random() alone, whose sequence Python promises to keep."""
    source = random.Random(seed)
    return [item for _, item in sorted((source.random(), item) for item in items)]


def question(a, b):
    return {"role": "user", "content": f"What is {a} * {b}?"}


def demonstration(i, a, b):
    said = [question(a, b)]
    if i % 2 == 0:
        call = {"name": "calculator", "arguments": {"expression": f"{a}*{b}"}}
        said += [{"role": "assistant", "content": json.dumps(call)}, {"role": "tool", "content": str(a * b)}]
    return {"messages": said + [{"role": "assistant", "content": f"#### {a * b}"}]}


def write(path, rows):
    with open(path, "w", encoding="utf-8") as out:
        out.writelines(json.dumps(row, separators=(",", ":")) + "\n" for row in rows)


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", required=True, help="folder")
    parser.add_argument("--demonstrations", type=int, default=1000)
    parser.add_argument("--train", type=int, default=2000)
    parser.add_argument("--test", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    o = parser.parse_args()
    # a * b and b * a are one product, of which a file has both or neither.
    products = shuffled([(a, b) for a in range(10, 100) for b in range(a, 100)], o.seed)
    pairs = [pair for a, b in products for pair in ([(a, b), (b, a)] if a != b else [(a, b)])]
    if o.demonstrations + o.train + o.test + 2 > len(pairs):
        parser.error(f"there are {len(pairs)} products in all")
    os.makedirs(o.out, exist_ok=True)
    parts, at = [], 0
    for count in (o.demonstrations, o.train, o.test):
        part = pairs[at:at + count]
        at += count
        if pairs[at][::-1] == part[-1]:  # its other half would stand in the next file
            at += 1
        parts.append(shuffled(part, o.seed + 1))
    write(os.path.join(o.out, "demonstrations.jsonl"), [demonstration(i, a, b) for i, (a, b) in enumerate(parts[0])])
    for name, part in zip(("train", "test"), parts[1:]):
        write(os.path.join(o.out, name + ".jsonl"),
              [{"prompt": [question(a, b)], "answer": str(a * b)} for a, b in part])


if __name__ == "__main__":
    main()
