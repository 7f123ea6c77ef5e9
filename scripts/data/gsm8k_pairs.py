#!/usr/bin/env python3
"""Preference pairs from GSM8K-style JSONL ({"question", "answer" with <<a+b=c>> marks and a last line "#### c"}).

chosen is the example solution; rejected is the same one with a slip in one of its calculations, carried into the final answer.
Marks are removed from both. The same options give the same file. Needs nothing but Python 3.8 or later.

  python3 scripts/data/gsm8k_pairs.py train.jsonl --out data/gsm8k-pairs --train 2000 --test 200
"""
import argparse
import json
import os
import random
import re

MARK = re.compile(r"<<[^<>=]*=([-0-9.]+)>>")
NUMBER = re.compile(r"(?<![\d.,])-?\d[\d,]*(?:\.\d+)?(?![\d])")


def pair(source, record):
    """A record, or None when its solution has no marked whole result."""
    body, _, final = record["answer"].rpartition("\n#### ")
    marks = [m for m in MARK.finditer(body) if re.fullmatch(r"\d+", m.group(1))]
    if not marks or not re.fullmatch(r"-?\d+", final.strip().replace(",", "")):
        return None
    mark = marks[int(source.random() * len(marks))]
    slip = 1 + int(source.random() * 9)
    wrong = str(int(mark.group(1)) + slip)
    # From the slip on, its result stands wherever the right one did.
    tail = NUMBER.sub(lambda n: wrong if n.group() == mark.group(1) else n.group(), MARK.sub("", body[mark.end():]))
    last = str(int(final.strip().replace(",", "")) + slip)
    chosen, rejected = MARK.sub("", body), MARK.sub("", body[:mark.start()]) + tail
    ask = [{"role": "user", "content": record["question"]}]
    return {"prompt": ask, "chosen": [{"role": "assistant", "content": f"{chosen}\n#### {final.strip()}"}],
            "rejected": [{"role": "assistant", "content": f"{rejected}\n#### {last}"}]}


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("gsm8k")
    parser.add_argument("--out", required=True, help="folder of train.jsonl and test.jsonl")
    parser.add_argument("--train", type=int, default=2000)
    parser.add_argument("--test", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    args = parser.parse_args()
    source = random.Random(args.seed)
    with open(args.gsm8k, encoding="utf-8") as lines:
        pairs = [p for p in (pair(source, json.loads(line)) for line in lines) if p is not None]
    if len(pairs) < args.train + args.test:
        parser.error(f"{args.gsm8k} gives {len(pairs)} pairs, {args.train + args.test} wanted")
    os.makedirs(args.out, exist_ok=True)
    for name, part in (("test", pairs[:args.test]), ("train", pairs[args.test:args.test + args.train])):
        path = os.path.join(args.out, name + ".jsonl")
        with open(path, "w", encoding="utf-8", newline="\n") as out:
            out.writelines(json.dumps(p, ensure_ascii=False) + "\n" for p in part)
        print(f"{path}: {len(part)} pairs")


if __name__ == "__main__":
    main()
