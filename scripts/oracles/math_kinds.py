#!/usr/bin/env python3
r"""Pairs of a reference and the content of a box, of every kind of answer, whose truth is known from how they were made.

  math_kinds.py [build/bin/temper-inspect] [--pairs 4800] [--seed 1] [--show 5] [--no-peer]
  math_kinds.py --write FILE 300

Half of the pairs are two spellings of one value, half are near misses. sympy must agree with every truth that it can
tell. Prints, a row a kind, what temper-inspect and math-verify say of them. `--write` writes a sample of the pairs
instead, balanced over the kinds, as JSON lines: a golden. Needs pip install math-verify==0.9.0.
"""
import argparse
import json
import logging
import multiprocessing
import random
import subprocess
import tempfile
import warnings

from math_pairs import containers, numbers_and_formulas as single
from math_pairs.spelling import Form, Style, expr
from math_pairs.truths import differ, same

KINDS = {"number": (single.number, 11), "expression": (single.expression, 18), "equation": (single.equation, 7),
         "inequality": (containers.inequality, 8), "tuple": (containers.tuples, 7), "list": (containers.lists, 8),
         "set": (containers.sets, 6), "interval": (containers.interval, 9), "matrix": (containers.matrix, 7),
         "base": (single.in_base, 4), "ratio": (single.ratio, 3), "time": (single.time, 3), "choice": (single.choice, 3),
         "word": (single.word, 4)}
ERRORS = ["false reward", "missed", "null on equal", "null on unequal"]


def wrapped(rng, text):
    dollars, stop = "$" * ("$" not in text), "." * (text[-1] not in ".!")
    texts = [text, f" {text} ", rf"\displaystyle {text}", dollars + text + dollars, text + stop]
    return rng.choices(texts, [89, 3, 1, 5, 2])[0]


def make_pair(kind, equal, rng):
    """None where a near miss hit, or both texts are one."""
    forms, others = KINDS[kind][0](rng)
    a, b = (f if isinstance(f, Form) else expr(f) for f in (rng.choice(forms), rng.choice(forms if equal else others)))
    answer, text = a.make(Style(rng, None if rng.random() < 0.3 else "latex")), b.make(Style(rng))
    if equal and not same(a.truth, b.truth):
        raise SystemExit(f"the generator of {kind} is wrong: {answer!r} is not {text!r}")
    if answer == text or not equal and same(a.truth, b.truth):
        return None
    if not equal and rng.random() < 0.2:
        answer, text = text, answer
    how = b.how or (a.how or "spelling" if equal else "near miss")
    units = (a.truth.unit, b.truth.unit)
    return {"kind": kind, "answer": answer, "text": wrapped(rng, text), "equal": equal, "how": how,
            "open": differ(*units) and units[0][0] == units[1][0] == "?",  # whether apples are oranges may stay open
            "told": a.truth.what != "key"}


def make_pairs(count, seed):
    total = sum(weight for _, weight in KINDS.values())
    pairs = {}
    for kind, (_, weight) in KINDS.items():
        rng = random.Random(f"{seed} {kind}")
        end = len(pairs) + max(2, round(count * weight / total))
        while len(pairs) < end:
            pair = make_pair(kind, (end - len(pairs)) % 2 == 0, rng)
            if pair:
                pairs.setdefault((pair["answer"], pair["text"]), pair)
    return list(pairs.values())


def temper_scores(inspect, pairs):
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as lines:
        for p in pairs:
            lines.write(json.dumps({"completion": f"\\boxed{{{p['text']}}}", "answer": p["answer"]}) + "\n")
        lines.flush()
        out = subprocess.check_output([inspect, "reward", "math", "--input", lines.name], text=True)
    return [json.loads(line)["score"] for line in out.splitlines()]


def peer_score(pair):
    from math_verify import parse, verify
    logging.disable(logging.CRITICAL)
    warnings.filterwarnings("ignore")
    gold, found = (parse(t, parsing_timeout=None) for t in (f"${pair['answer']}$", f"\\boxed{{{pair['text']}}}"))
    return verify(gold, found, timeout_seconds=None)


def peer_scores(pairs):
    """math-verify's verdicts; what it fails on or takes 20 s for is not verified."""
    scores, pool = [], multiprocessing.Pool(1)
    for pair in pairs:
        try:
            scores.append(pool.apply_async(peer_score, (pair,)).get(20))
        except Exception as error:
            scores.append(False)
            if isinstance(error, multiprocessing.TimeoutError):
                pool.terminate()
                pool = multiprocessing.Pool(1)
    pool.terminate()
    return scores


def sort_of(pair, score):
    if score is None:
        return "null on equal" if pair["equal"] else "right" if pair["open"] else "null on unequal"
    return "right" if bool(score) == pair["equal"] else "missed" if pair["equal"] else "false reward"


def in_turns(queues, count):
    """One of each queue, and again."""
    return [q for i in range(count) for queue in queues for q in queue[i:i + 1]][:count]


def write_sample(file, count, pairs):
    random.Random("sample").shuffle(pairs)
    sorts = [(kind, equal) for kind in KINDS for equal in (True, False)]
    queues = [[p for p in pairs if (p["kind"], p["equal"]) == sort] for sort in sorts]
    with open(file, "w") as out:
        for p in in_turns(queues, count):
            keys = ("answer", "text", "equal", "kind") + ("open",) * p["open"]
            out.write(json.dumps({k: p[k] for k in keys}, ensure_ascii=False) + "\n")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("inspect", nargs="?", default="build/bin/temper-inspect")
    p.add_argument("--pairs", type=int, default=4800)
    p.add_argument("--seed", type=int, default=1)
    p.add_argument("--show", type=int, default=0, help="examples of each sort of error")
    p.add_argument("--no-peer", action="store_true", help="without math-verify")
    p.add_argument("--write", nargs=2, metavar=("FILE", "N"))
    args = p.parse_args()
    pairs = make_pairs(args.pairs, args.seed)
    if args.write:
        return write_sample(args.write[0], int(args.write[1]), pairs)
    equal, told = (sum(q[key] for q in pairs) for key in ("equal", "told"))
    print(f"{len(pairs)} pairs, {equal} equal; sympy confirms the {told} that it can tell\n")
    ours = [sort_of(q, s) for q, s in zip(pairs, temper_scores(args.inspect, pairs))]
    columns = [("Temper", ours, error) for error in ERRORS]
    if not args.no_peer:
        theirs = [sort_of(q, s) for q, s in zip(pairs, peer_scores(pairs))]
        columns += [("math-verify", theirs, error) for error in ERRORS[:2]]
    titles = [f"{name}: {error}" if error == ERRORS[0] else error for name, _, error in columns]
    print("| kind | pairs |", " | ".join(titles), "|\n" + "|---" * (len(columns) + 2) + "|")
    for kind in [*KINDS, "total"]:
        mine = [i for i, q in enumerate(pairs) if kind in (q["kind"], "total")]
        counts = [sum(sorts[i] == error for i in mine) for _, sorts, error in columns]
        print("|", " | ".join(map(str, [kind, len(mine), *counts])), "|")
    for name, sorts, error in columns if args.show else []:
        print(f"\n{name}, {error}:")
        hits = [q for q, sort in zip(pairs, sorts) if sort == error]
        for q in in_turns([[q for q in hits if q["kind"] == kind] for kind in KINDS], args.show):
            print(f"  {q['kind']} ({q['how']}): reference {q['answer']!r}, box {q['text']!r}")


if __name__ == "__main__":
    main()
