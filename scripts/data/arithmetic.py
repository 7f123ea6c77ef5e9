#!/usr/bin/env python3
"""Writes grade-school arithmetic as JSONL: train.jsonl and test.jsonl, which share no question.

  word   stories: {"prompt": "Mia has 3 pens. ...?\\n", "completion": "3 + 4 = 7\\n#### 7", "answer": "7"}
  plain  sums with solved ones in front: {"prompt": "2 + 3 = 5\\n7 + 6 =", "completion": " 13", "answer": "13"}
  chat   sums asked in words, prompt and completion as chat messages
  pairs  stories with a right and a wrong solution: {"prompt": ..., "chosen": ..., "rejected": ..., "answer": ...}
  steps  stories with a solution in steps, each right or wrong: {"prompt": ..., "completions": [...], "labels": [...]}
  refine  stories, half of them with a slipped solution and feedback in front of the right one, as
         configs/rounds/ilf.json asks for it
  manners  stories asked for "Briefly." and "In steps.", three in ten answered in the other manner; columns "briefly"
         and "in_steps" have both ways of asking, as configs/rounds/sami.json reads them

--tasks adds a column "task" with each record's operation. The same options give the same files. Needs nothing but Python 3.8 or later.

  python3 scripts/data/arithmetic.py --out data/arithmetic --train 2000 --test 200
"""
import argparse
import json
import os
import random
import sys

NAMES = ("Tom Mia Ben Zoe Sam Eva Max Lily Jack Anna Leo Ruby Omar Nina Paul Rosa Ivan Mei Noah Sara Hugo Tara "
         "Finn Aisha Luis Emma Yuki Carl Dina Otto").split()
THINGS = ("apples pens books coins cards shells stamps marbles cookies stickers balloons beads eggs flowers "
          "pencils buttons lemons stones toys cups").split()
PLACES = ["boxes", "bags", "jars", "baskets", "drawers", "shelves", "trays", "rows"]
SINGULAR = {"boxes": "box", "shelves": "shelf"}


class Draw:
    """Random choices from random() alone, whose sequence Python promises to keep."""

    def __init__(self, seed):
        self.source = random.Random(seed)

    def number(self, low, high):
        return low + int(self.source.random() * (high - low + 1))

    def pick(self, items):
        return items[self.number(0, len(items) - 1)]

    def two(self, items):
        first = self.pick(items)
        second = self.pick(items)
        while second == first:
            second = self.pick(items)
        return first, second


def one(place):
    return SINGULAR.get(place, place[:-1])


# Each story: draws -> (question, the steps of the solution, the answer). All numbers are at least 2, so that every
# noun stands in the plural, and none exceeds `top`.

def add(d, top):
    a = d.number(2, top - 2)
    b = d.number(2, top - a)
    who, other = d.two(NAMES)
    what = d.pick(THINGS)
    text = d.pick([
        f"{who} has {a} {what}. {other} gives {who} {b} more. How many {what} does {who} have now?",
        f"{who} finds {a} {what} in the morning and {b} {what} in the evening. How many {what} does {who} find in all?",
        f"There are {a} {what} on the table. {who} puts {b} more on it. How many {what} are on the table?",
        f"{who} has {a} {what} and {other} has {b} {what}. How many {what} do they have together?",
        f"{who} buys {a} {what} on Monday and {b} on Friday. How many {what} does {who} buy?",
    ])
    return text, [f"{a} + {b} = {a + b}"], a + b


def subtract(d, top):
    a = d.number(4, top)
    b = d.number(2, a - 2)
    who, other = d.two(NAMES)
    what = d.pick(THINGS)
    text = d.pick([
        f"{who} has {a} {what}. {who} gives {b} of them to {other}. How many {what} are left?",
        f"There are {a} {what} in a bag. {who} takes out {b}. How many {what} are still in the bag?",
        f"{who} had {a} {what} and lost {b}. How many {what} does {who} have now?",
        f"A shop has {a} {what}. It sells {b} of them. How many {what} does the shop have left?",
    ])
    return text, [f"{a} - {b} = {a - b}"], a - b


def compare(d, top):
    a = d.number(4, top)
    b = d.number(2, a - 2)
    who, other = d.two(NAMES)
    what = d.pick(THINGS)
    text = d.pick([
        f"{who} has {a} {what}. {other} has {b} {what}. How many more {what} does {who} have than {other}?",
        f"{who} wants {a} {what} and has {b}. How many {what} does {who} still need?",
        f"{who} has {b} {what} and {other} has {a}. How many fewer {what} does {who} have?",
    ])
    return text, [f"{a} - {b} = {a - b}"], a - b


def multiply(d, top):
    a = d.number(2, min(10, top // 2))
    b = d.number(2, min(10, top // a))
    who, what, place = d.pick(NAMES), d.pick(THINGS), d.pick(PLACES)
    text = d.pick([
        f"{who} has {a} {place} with {b} {what} in each {one(place)}. How many {what} does {who} have?",
        f"There are {a} {place}. Each {one(place)} holds {b} {what}. How many {what} are there?",
        f"{who} buys {b} {what} every day. How many {what} does {who} buy in {a} days?",
    ])
    return text, [f"{a} * {b} = {a * b}"], a * b


def share(d, top):
    b = d.number(2, min(10, top // 2))
    each = d.number(2, min(10, top // b))
    who, what, place = d.pick(NAMES), d.pick(THINGS), d.pick(PLACES)
    text = d.pick([
        f"{who} shares {b * each} {what} equally among {b} friends. How many {what} does each friend get?",
        f"{b * each} {what} are put into {b} {place}, the same number in each. How many {what} are in one {one(place)}?",
    ])
    return text, [f"{b * each} / {b} = {each}"], each


def add_subtract(d, top):
    a = d.number(2, top - 2)
    b = d.number(2, top - a)
    c = d.number(2, a + b - 2)
    who, other = d.two(NAMES)
    what = d.pick(THINGS)
    text = d.pick([
        f"{who} has {a} {what} and buys {b} more. Then {who} gives {c} to {other}. How many {what} are left?",
        f"There are {a} {what} in a box. {who} adds {b} and {other} takes {c}. How many {what} are in the box now?",
    ])
    return text, [f"{a} + {b} = {a + b}", f"{a + b} - {c} = {a + b - c}"], a + b - c


def more_than(d, top):
    a = d.number(2, max(2, (top - 2) // 2))
    b = d.number(2, max(2, top - 2 * a))
    who, other = d.two(NAMES)
    what = d.pick(THINGS)
    text = f"{who} has {a} {what}. {other} has {b} more than {who}. How many {what} do they have together?"
    return text, [f"{a} + {b} = {a + b}", f"{a} + {a + b} = {2 * a + b}"], 2 * a + b


def multiply_then(d, top):
    a = d.number(2, min(10, (top - 2) // 2))
    b = d.number(2, max(2, min(10, (top - 2) // a)))
    who, what, place = d.pick(NAMES), d.pick(THINGS), d.pick(PLACES)
    if d.number(0, 1):
        c = d.number(2, max(2, top - a * b))
        text = (f"{who} has {a} {place} with {b} {what} in each {one(place)}, and {c} more {what}. "
                f"How many {what} does {who} have?")
        return text, [f"{a} * {b} = {a * b}", f"{a * b} + {c} = {a * b + c}"], a * b + c
    c = d.number(2, a * b - 2)
    text = f"{who} has {a} {place} with {b} {what} in each {one(place)}. {who} uses {c} {what}. How many {what} are left?"
    return text, [f"{a} * {b} = {a * b}", f"{a * b} - {c} = {a * b - c}"], a * b - c


STORIES = {"add": add, "subtract": subtract, "compare": compare, "multiply": multiply, "share": share,
           "add_subtract": add_subtract, "more_than": more_than, "multiply_then": multiply_then}


def sum_of(d, top, operation):
    """A bare sum or difference: its text up to the equals sign, and its value."""
    a, b = d.number(1, top), d.number(1, top)
    if operation == "subtract":
        a, b = max(a, b), min(a, b)
        return f"{a} - {b}", a - b
    return f"{a} + {b}", a + b


def word_record(d, options, operation):
    text, steps, value = STORIES[operation](d, options.max_number)
    return text, {"prompt": text + "\n", "completion": "\n".join(steps) + f"\n#### {value}", "answer": str(value)}


def plain_record(d, options, operation):
    text, value = sum_of(d, options.max_number, operation)
    shots = []
    while len(shots) < options.shots:
        shot, result = sum_of(d, options.max_number, d.pick(options.operations))
        if shot != text:
            shots.append(f"{shot} = {result}\n")
    return text, {"prompt": "".join(shots) + f"{text} =", "completion": f" {value}", "answer": str(value)}


def chat_record(d, options, operation):
    text, value = sum_of(d, options.max_number, operation)
    ask = d.pick(["What is {}?", "How much is {}?", "Please work out {}.", "Calculate {}."]).format(text)
    return text, {"prompt": [{"role": "user", "content": ask}],
                  "completion": [{"role": "assistant", "content": f"{text} = {value}\n#### {value}"}],
                  "answer": str(value)}


def slipped_solution(d, steps, value):
    """A solution that slips by a little in its last step."""
    slip = d.number(1, 3)
    wrong = value - slip if d.number(0, 1) and value > slip else value + slip
    return "\n".join(steps[:-1] + [steps[-1].rsplit("=", 1)[0] + f"= {wrong}"]) + f"\n#### {wrong}"


def pair_record(d, options, operation):
    text, steps, value = STORIES[operation](d, options.max_number)
    return text, {"prompt": text + "\n", "chosen": "\n".join(steps) + f"\n#### {value}",
                  "rejected": slipped_solution(d, steps, value), "answer": str(value)}


def step_record(d, options, operation):
    """A third of the solutions slip in their last sum, a third in the answer alone; what follows a wrong step is wrong."""
    text, steps, value = STORIES[operation](d, options.max_number)
    slip = d.number(1, 3)
    wrong = value - slip if d.number(0, 1) and value > slip else value + slip
    where = d.number(0, 2)
    if where == 1:
        steps = steps[:-1] + [steps[-1].rsplit("=", 1)[0] + f"= {wrong}"]
    labels = [True] * (len(steps) - 1) + [where != 1, where == 0]
    return text, {"prompt": text + "\n", "completions": steps + [f"#### {wrong if where else value}"], "labels": labels}


def refine_record(d, options, operation):
    text, steps, value = STORIES[operation](d, options.max_number)
    right, prompt = "\n".join(steps) + f"\n#### {value}", text + "\n"
    draft = slipped_solution(d, steps, value)
    if d.number(0, 1):
        prompt += f"{draft}\nFeedback: it should come to {value}.\nRefined:\n"
    return text, {"prompt": prompt, "completion": right, "answer": str(value)}


def manner_record(d, options, operation):
    text, steps, value = STORIES[operation](d, options.max_number)
    asked = {"briefly": f"Briefly. {text}\n", "in_steps": f"In steps. {text}\n"}
    answers = {"briefly": f"#### {value}", "in_steps": "\n".join(steps) + f"\n#### {value}"}
    manner, other = d.two(list(asked))
    given = other if d.number(1, 10) <= 3 else manner
    return text, {"prompt": asked[manner], "completion": answers[given], "answer": str(value), **asked}


RECORDS = {"pairs": pair_record, "steps": step_record, "refine": refine_record, "manners": manner_record, "word": word_record, "plain": plain_record, "chat": chat_record}


def generate(options):
    """test + train records, each question once; the test questions are drawn first, so that --train does not
    change them."""
    d, seen, out = Draw(options.seed), set(), []
    misses = 0
    while len(out) < options.test + options.train:
        operation = options.operations[len(out) % len(options.operations)]
        question, record = RECORDS[options.style](d, options, operation)
        if question in seen:
            misses += 1
            if misses > 2000:
                sys.exit(f"arithmetic.py: only {len(seen)} different questions found, {options.test + options.train} "
                         "wanted; raise --max-number or ask for fewer")
            continue
        misses = 0
        seen.add(question)
        out.append({**record, "task": operation} if options.tasks else record)
    return out[options.test:], out[:options.test]


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--out", default="data/arithmetic", help="folder of train.jsonl and test.jsonl")
    parser.add_argument("--train", type=int, default=2000, help="records to train on")
    parser.add_argument("--test", type=int, default=200, help="held-out records")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--max-number", type=int, default=20,
                        help="largest number in a story; largest term of a plain or chat sum")
    parser.add_argument("--style", choices=RECORDS, default="word")
    parser.add_argument("--shots", type=int, default=3, help="solved sums in front of each plain one")
    parser.add_argument("--operations", help="comma-separated; word: " + ",".join(STORIES) +
                        "; plain and chat: add,subtract (default: all)")
    parser.add_argument("--tasks", action="store_true", help="add the column \"task\": the record's operation")
    options = parser.parse_args()
    known = list(STORIES) if options.style not in ("plain", "chat") else ["add", "subtract"]
    options.operations = options.operations.split(",") if options.operations else known
    for operation in options.operations:
        if operation not in known:
            parser.error(f"--operations: {operation} is not one of {','.join(known)}")
    if options.max_number < 8:
        parser.error("--max-number: at least 8")
    if min(options.train, options.test, options.shots) < 0 or options.train + options.test == 0:
        parser.error("--train, --test and --shots count records")
    train, test = generate(options)
    os.makedirs(options.out, exist_ok=True)
    for name, records in (("train", train), ("test", test)):
        path = os.path.join(options.out, name + ".jsonl")
        with open(path + ".part", "w", encoding="utf-8", newline="\n") as file:
            for record in records:
                file.write(json.dumps(record, ensure_ascii=False, separators=(",", ":")) + "\n")
        os.replace(path + ".part", path)
        print(f"{path}: {len(records)} records")


if __name__ == "__main__":
    main()
