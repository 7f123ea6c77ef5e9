#!/usr/bin/env python3
r"""Time and memory of the reward math, by temper-inspect, on easy answers, on MATH's and on hostile ones.

  scripts/bench/math_reward.py [--inspect build/bin/temper-inspect] [--gsm8k 1000000] [--math 100000] [--hostile 10000] [--peer]

GSM8K-like: sentences that end with #### n or \boxed{n}, references that are numbers. MATH-like: the last boxes of MATH's
test split, each against itself or another problem's. Hostile: deep nesting, towers of powers, endless digits, unclosed
environments, long sets, products of binomials, ..., as the reference, as the answer and as both. Times are CPU seconds,
from which a run of the reward contains on the same file is taken (reading and printing). Of the hostile lines, the worst
single one is found by halving the slowest chunks; a chunk that fails or passes --limit is halved too, and named. 0 leaves
a workload out.
--peer: math-verify (0.9.0) on 2,000 of each of the first two, in this process, and how many times Temper's time it takes.
"""
import argparse
import json
import os
import random
import subprocess
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]

# --- the workloads: pairs of a reference and a completion -------------------------------------------------------------

SENTENCES = ["First she has {a} and buys {b} more, so {a} + {b} = <<{a}+{b}={c}>>{c}.\nThen {c} are shared.",
             "We need {a} boxes of {b}.\nThat is {c} in all.",
             "Let x be the price. Then {a}x = {b}, and {c} is left over after 3 days."]


def gsm8k_like(count):
    rng = random.Random(1)
    for _ in range(count):
        a, b = rng.randrange(1, 500), rng.randrange(1, 500)
        n = rng.choice([rng.randrange(100), rng.randrange(1000), rng.randrange(100000)])
        answer = n if rng.random() < 0.5 else n + rng.randrange(1, 20)
        shown = rng.choice([str(answer), f"{answer:,}", f"{answer}.00", f"${answer}" if rng.random() < 0.3 else str(answer)])
        text = rng.choice(SENTENCES).format(a=a, b=b, c=a + b)
        yield str(n), text + (f"\n#### {shown}" if rng.random() < 0.6
                              else f"\nSo the answer is $\\boxed{{{shown}}}$.".replace("{$", "{\\$"))


def last_box(text):
    start = text.rfind("\\boxed{")
    depth = 0
    for i in range(max(start, 0), len(text)):
        depth += {"{": 1, "}": -1}.get(text[i], 0)
        if depth == 0 and text[i] == "}":
            return text[start + 7 : i]
    return None


def math_like(count, file):
    rng = random.Random(2)
    boxes = [box for line in open(file) if (box := last_box(json.loads(line)["solution"]))]
    for i in range(count):
        box = boxes[i % len(boxes)]
        yield box, f"Hence the value is $\\boxed{{{box if rng.random() < 0.5 else rng.choice(boxes)}}}$, as we wanted."


def nested(left, inner, right, n):
    return left * n + inner + right * n


def numbers(n, rng, form="{}", between=", "):
    return between.join(form.format(k) for k in rng.sample(range(1, n + 1), n))


# Name: the largest n, and the text of size n.
SHAPES = {
    "braces": (20000, lambda n, r: nested("{", "5", "}", n)),
    "parentheses": (20000, lambda n, r: nested("(", "5", ")", n)),
    "left and right": (5000, lambda n, r: nested(r"\left(", "x", r"\right)", n)),
    "text in text": (5000, lambda n, r: nested(r"\text{", "5", "}", n)),
    "boxes": (5000, lambda n, r: nested(r"\boxed{", "5", "}", n)),
    "fractions down": (10000, lambda n, r: nested(r"\frac{1}{1+", "2", "}", n)),
    "fractions up": (10000, lambda n, r: nested(r"\frac{", "1", "}{2}", n)),
    "fractions of x": (2000, lambda n, r: nested(r"\frac{1}{x+", "x", "}", n)),
    "roots": (5000, lambda n, r: nested(r"\sqrt{2+", "2", "}", n)),
    "sines": (5000, lambda n, r: nested(r"\sin(", "x", ")", n)),
    "logs": (5000, lambda n, r: nested(r"\log_2(", "5", ")", n)),
    "absolute values": (5000, lambda n, r: nested("|", "x", "|", n)),
    "tower": (3000, lambda n, r: nested("9^{", "9", "}", n)),
    "tower without braces": (3000, lambda n, r: "^".join(["9"] * n)),
    "tower of x": (3000, lambda n, r: nested("x^{", "x", "}", n)),
    "four nines": (1, lambda n, r: "9^{9^{9^9}}"),
    "power of ten": (10**9, lambda n, r: f"10^{{{n}}}"),
    "power of a power": (10**6, lambda n, r: f"(10^{{{n}}})^{{{n}}}"),
    "power of a power of ten": (12, lambda n, r: f"10^{{10^{n}}}"),
    "exponent": (10**9, lambda n, r: f"1e{n}"),
    "negative exponent": (10**9, lambda n, r: f"2^{{-{n}}} + 3^{{-{n}}}"),
    "power of a decimal": (10**9, lambda n, r: f"1.0000001^{{{n}}}"),
    "power of i": (10**9, lambda n, r: f"(1+i)^{{{n}}}"),
    "power of a surd": (10**7, lambda n, r: rf"(1+\sqrt{{2}})^{{{n}}}"),
    "digits": (10**6, lambda n, r: "7" * n),
    "decimals": (10**5, lambda n, r: "0." + "3" * n),
    "quotient of digits": (10**5, lambda n, r: "1" * n + "/" + "7" * n),
    "product of digits": (30000, lambda n, r: "7" * n + r"\cdot " + "3" * n),
    "groups": (30000, lambda n, r: "1" + ",234" * n),
    "repeating": (10**5, lambda n, r: rf"0.\overline{{{'142857' * (n // 6 + 1)}}}"),
    "factorial": (10**8, lambda n, r: f"{n}!"),
    "factorials": (2000, lambda n, r: "9" + "!" * n),
    "factorial of a factorial": (2000, lambda n, r: nested("(", "9", "!)", n)),
    "binomial": (10**8, lambda n, r: rf"\binom{{{n}}}{{{n // 2}}}"),
    "root of high degree": (10**9, lambda n, r: rf"\sqrt[{n}]{{{n + 1}}}"),
    "root of many digits": (10**4, lambda n, r: rf"\sqrt{{{'7' * n}}}"),
    "logarithm": (10**5, lambda n, r: rf"\log_{{{'3' * (n % 50 + 1)}}} {'7' * n}"),
    "base": (30000, lambda n, r: "1" * n + "_2"),
    "huge base": (10**9, lambda n, r: f"12_{{{n}}}"),
    "base of a base": (3000, lambda n, r: "1" + "_{2" * n + "}" * n),
    "unclosed matrices": (5000, lambda n, r: r"\begin{pmatrix}" * n),
    "unclosed matrices with cells": (3000, lambda n, r: r"\begin{pmatrix} 1 & 2 \\ " * n),
    "matrices in matrices": (2000, lambda n, r: nested(r"\begin{pmatrix}", "1", r"\end{pmatrix}", n)),
    "closed but never opened": (3000, lambda n, r: r"\end{pmatrix}" * n),
    "wide matrix": (2000, lambda n, r: r"\begin{pmatrix}" + numbers(n, random.Random(n), between=" & ") + r"\end{pmatrix}"),
    "tall matrix": (2000, lambda n, r: r"\begin{pmatrix}" + numbers(n, random.Random(n), r"\sqrt{{{}}}",
                                                                    r" \\ ") + r"\end{pmatrix}"),
    "determinant": (60, lambda n, r: r"\begin{vmatrix}" + r"\\".join("&".join(f"x_{{{i}{j}}}" for j in range(n))
                                                                     for i in range(n)) + r"\end{vmatrix}"),
    "set": (1000, lambda n, r: r"\{" + numbers(n, r) + r"\}"),
    "set of surds": (1000, lambda n, r: r"\{" + numbers(n, r, r"\sqrt{{{}}}") + r"\}"),
    "set of sums": (1000, lambda n, r: r"\{" + numbers(n, r, r"\sqrt{{2}}+\frac{{{}}}{{7}}") + r"\}"),
    "set of polynomials": (1000, lambda n, r: r"\{" + numbers(n, r, "(x+{})^2") + r"\}"),
    "list": (1000, lambda n, r: numbers(n, r)),
    "list of equations": (1000, lambda n, r: numbers(n, r, "x = {}", r" \text{ or } ")),
    "list of equal sines": (1000, lambda n, r: ", ".join([r"\sin x", r"\cos x"] * n)),
    "plus and minus": (1000, lambda n, r: "".join(rf"\pm {k}" for k in range(1, n + 1))),
    "list of plus and minus": (1000, lambda n, r: numbers(n, r, r"{} \pm \sqrt{{2}}")),
    "tuple": (1000, lambda n, r: "(" + ",".join(map(str, range(n))) + ")"),
    "tuples in tuples": (5000, lambda n, r: nested("(1,", "2", ")", n)),
    "sets in sets": (3000, lambda n, r: nested(r"\{1,", "2", r"\}", n)),
    "sum of radicals": (1000, lambda n, r: numbers(n, r, r"\sqrt{{{}}}", "+")),
    "sum of cube roots": (300, lambda n, r: numbers(n, r, r"\sqrt[3]{{{}}}", "-")),
    "product of sums of radicals": (30, lambda n, r: numbers(n, r, r"(1+\sqrt{{{}}})", "")),
    "quotient by a sum of radicals": (30, lambda n, r: r"\frac{1}{" + numbers(n, r, r"\sqrt{{{}}}", "+") + "}"),
    "close radicals": (10**15, lambda n, r: rf"\sqrt{{{n + 1}}}-\sqrt{{{n}}}"),
    "sum": (10**4, lambda n, r: numbers(n, r, between="+")),
    "sum of fractions": (1000, lambda n, r: numbers(n, r, r"\frac{{1}}{{{}}}", "+")),
    "product": (10**4, lambda n, r: numbers(n, r, between=r"\cdot ")),
    "minuses": (20000, lambda n, r: "-" * n + "5"),
    "letters": (20000, lambda n, r: "x" * n),
    "many letters": (2000, lambda n, r: "+".join(f"{'abcdfghjklmnpqrstuvwxyz'[k % 23]}_{{{k}}}" for k in range(n))),
    "polynomial": (2000, lambda n, r: numbers(n, r, "{0}x^{{{0}}}", "+")),
    "binomials": (99, lambda n, r: numbers(n, r, "(x+{})", "")),
    "powers of binomials": (20, lambda n, r: numbers(n, r, "(x+{})^{{99}}", "")),
    "high power of a binomial": (10**7, lambda n, r: f"(x+1)^{{{n}}}"),
    "powers of powers of x": (200, lambda n, r: nested("(", "x+1", ")^{9}", n)),
    "power of many letters": (60, lambda n, r: f"(a+b+c+d+k+m+n+p)^{{{n}}}"),
    "difference of powers": (400, lambda n, r: f"(x+1)^{{{n}}}-(x-1)^{{{n}}}"),
    "high power of x": (10**9, lambda n, r: rf"\frac{{x^{{{n}}}-1}}{{x-1}}"),
    "sum of quotients": (200, lambda n, r: numbers(n, r, r"\frac{{1}}{{x+{}}}", "+")),
    "equation of powers": (99, lambda n, r: f"(x+y)^{{{n}}} = (x-y)^{{{n}}}"),
    "chain of equations": (3000, lambda n, r: "=".join(["x"] * n) + "=5"),
    "chain of inequalities": (3000, lambda n, r: "<".join(["x"] * n) + "<5"),
    "intervals": (1000, lambda n, r: numbers(n, r, r"({0},{0}.5)", r" \cup ")),
    "touching intervals": (1000, lambda n, r: r" \cup ".join(f"[{k},{k + 1})" for k in r.sample(range(n), n))),
    "intervals of surds": (500, lambda n, r: r" \cup ".join(rf"(\sqrt{{{k}}},\sqrt{{{k + 1}}})" for k in r.sample(range(n), n))),
    "inequalities": (1000, lambda n, r: numbers(n, r, "x > {}", r" \text{ or } ")),
    "unbalanced": (10000, lambda n, r: "".join(r.choice(["(", "[", "{", "}", "]", ")", r"\{", r"\}", r"\left", r"\right", "|",
                                                         "1", ","]) for _ in range(n))),
    "noise": (10000, lambda n, r: "".join(r.choice([r"\frac", r"\sqrt", r"\pm", "^", "_", "{", "}", "x", "2", "(", ")", r"\sin",
                                                    r"\cup", ",", "=", "<", "&", r"\\", "!", "%", "$", "é", "√", " "])
                                          for _ in range(n))),
    "fracs without arguments": (10000, lambda n, r: r"\frac" * n),
    "roots without arguments": (10000, lambda n, r: r"\sqrt" * n),
    "carets": (10000, lambda n, r: "2" + "^" * n + "2"),
    "superscripts": (10000, lambda n, r: "2" + "²" * n),
    "unicode roots": (5000, lambda n, r: "√" * n + "2"),
    "spaces": (10**5, lambda n, r: " " * n + "5" + r"\," * (n // 4)),
    "dollars": (10000, lambda n, r: "$" * n + "5" + "$" * n),
    "ratio": (1000, lambda n, r: ":".join(str(k) for k in range(1, n + 1))),
    "colons of fractions": (300, lambda n, r: ":".join(rf"\frac{{1}}{{{k}}}" for k in range(1, n + 1))),
    "words": (10000, lambda n, r: r"\text{" + "even odd " * n + "}"),
    "units": (5000, lambda n, r: "5" + r"\text{ km}" * n),
    "percents": (10000, lambda n, r: "5" + r"\%" * n),
    "nothing": (5, lambda n, r: ["1/0", "0^0", r"\frac{0}{0}", r"\infty-\infty", r"\tan\frac{\pi}{2}", r"\log 0"][n - 1]),
    "sine of much": (10**18, lambda n, r: rf"\sin({n}^{{9}})"),
    "identity of sines": (40, lambda n, r: "+".join(rf"\sin^{{{2 * k}}} x \cos^{{2}} x" for k in range(1, n + 1))),
    "e to the pi": (300, lambda n, r: rf"e^{{\pi\sqrt{{{n}}}}}"),
}
EASY = ["5", r"\frac{1}{2}", r"\sqrt{2}", "x+1", "(1,2)", r"\{1,2\}", "[0,1)", r"\begin{pmatrix} 1 & 2 \end{pmatrix}", "x > 3",
        "y = 2x+1", "1, 2", "3:2", "204_5", r"\text{even}"]


ROLES = ["the reference", "the answer", "both", "both, other sizes"]


def hostile(count):
    """(reference, completion, name and size); sizes spread over the orders of magnitude, the largest in one line of twelve."""
    names = list(SHAPES)
    for i in range(count):
        rng = random.Random(i)
        name = names[i % len(names)]
        most, make = SHAPES[name]
        turn, low = i // len(names), min(most, 10**4) if rng.random() < 0.9 else most
        n = most if turn // 4 % 12 == 0 else max(1, round(low ** rng.random()))
        text, role = make(n, rng), turn % 4
        if role == 0:
            answer, box = text, rng.choice(EASY)
        elif role == 1:
            answer, box = rng.choice(EASY), text
        else:  # the same, or one a little larger
            answer, box = text, make(n, rng) if role == 2 else make(min(n + 1, most), rng)
        yield answer, f"\\boxed{{{box}}}", f"{name}, size {n}, as {ROLES[role]}"


# --- measuring --------------------------------------------------------------------------------------------------------


def write(rows, file):
    count = 0
    with open(file, "w") as out:
        for row in rows:
            out.write(json.dumps({"completion": row[1], "answer": row[0]}) + "\n")
            count += 1
    return count


class Run:
    """One run of temper-inspect: CPU seconds, largest resident set in MB, whether it failed or took too long."""

    def __init__(self, program, reward, file, limit=None):
        command = [program, "reward", reward, "--input", str(file)] + (["--set", 'texts=["zzz"]'] if reward == "contains" else [])
        begin = time.time()
        child = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        self.fault = ""
        while True:
            pid, status, usage = os.wait4(child.pid, os.WNOHANG)
            if pid:
                break
            if limit and time.time() - begin > limit and not self.fault:
                self.fault = f"more than {limit} s"
                os.kill(child.pid, 9)
            time.sleep(0.002)
        code = os.waitstatus_to_exitcode(status)
        child.returncode = code
        if code and not self.fault:
            self.fault = f"exit code {code}"
        self.seconds, self.megabytes = usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024

    def cost(self):
        return (bool(self.fault), self.seconds)


def row(title, count, ours, base):
    net = ours.seconds - base.seconds
    print(f"| {title} | {count:,} | {ours.seconds:.2f} | {base.seconds:.2f} | {net / count * 1e6:.2f} | "
          f"{ours.megabytes:.0f} | {base.megabytes:.0f} |" + (f" failed: {ours.fault}" if ours.fault else ""), flush=True)
    return net / count


def worst_lines(args, rows, folder):
    """Chunks of 100, the slowest of which are halved down to a line."""
    file = folder / "chunk.jsonl"

    def run(lines, reward="math"):
        write(lines, file)
        return Run(args.inspect, reward, file, args.limit)

    start = min(run([("5", "\\boxed{5}")]).seconds for _ in range(5))
    chunks = [rows[i : i + 100] for i in range(0, len(rows), 100)]
    costs = [(run(chunk), i) for i, chunk in enumerate(chunks)]
    costs.sort(key=lambda c: c[0].cost(), reverse=True)
    total = sum(run.seconds - start for run, _ in costs)
    failed, most = sum(bool(r.fault) for r, _ in costs), max(r.megabytes for r, _ in costs)
    print(f"\nHostile, in chunks of 100: {total:.2f} s less the start of each; {failed} chunks failed; "
          f"largest resident set {most:.0f} MB\n")
    print("| the worst line of the slowest chunks | bytes | reward ms | contains ms | MB |\n|---|---|---|---|---|")
    worst = []
    for _, at in costs[: args.worst]:
        lines = chunks[at]
        while len(lines) > 1:
            halves = [lines[: len(lines) // 2], lines[len(lines) // 2 :]]
            lines = max(halves, key=lambda half: run(half).cost())
        tries = [run(lines) for _ in range(3)]
        one, base = min(tries, key=Run.cost), min((run(lines, "contains") for _ in range(3)), key=Run.cost)
        worst.append((one, base, lines[0]))
    for one, base, (answer, completion, name) in sorted(worst, key=lambda w: w[0].cost(), reverse=True):
        fault = " " + one.fault if one.fault else ""
        print(f"| {name} | {len(answer) + len(completion):,} | {(one.seconds - start) * 1e3:.0f}{fault} | "
              f"{(base.seconds - start) * 1e3:.0f} | {one.megabytes:.0f} |")


def peer_seconds(rows):
    """math-verify's CPU seconds a comparison."""
    import logging
    import warnings
    from math_verify import parse, verify
    logging.disable(logging.CRITICAL)
    warnings.filterwarnings("ignore")

    def compare(answer, completion):
        try:
            verify(parse(f"${answer}$", parsing_timeout=None), parse(completion, parsing_timeout=None), timeout_seconds=None)
        except Exception:
            pass
    for pair in rows[:20]:
        compare(*pair)
    begin = time.process_time()
    for pair in rows:
        compare(*pair)
    return (time.process_time() - begin) / len(rows)


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--inspect", default=str(ROOT / "build/bin/temper-inspect"))
    p.add_argument("--data", type=Path, default=ROOT.parent / "shared/data/math/test.jsonl")
    p.add_argument("--gsm8k", type=int, default=1_000_000)
    p.add_argument("--math", type=int, default=100_000)
    p.add_argument("--hostile", type=int, default=10_000)
    p.add_argument("--repeat", type=int, default=3, help="runs of each workload, of which the quickest counts")
    p.add_argument("--worst", type=int, default=5, help="how many of the slowest chunks are halved")
    p.add_argument("--limit", type=float, default=60, help="seconds after which a chunk has failed")
    p.add_argument("--peer", type=int, nargs="?", const=2000, default=0, help="comparisons of each workload by math-verify")
    args = p.parse_args()
    ours = {}
    with tempfile.TemporaryDirectory() as folder:
        folder = Path(folder)
        print("| workload | comparisons | math, s | contains, s | difference, µs each | math, MB | contains, MB |\n"
              "|---|---|---|---|---|---|---|")
        for title, count, rows in (("GSM8K-like", args.gsm8k, gsm8k_like),
                                   ("MATH-like", args.math, lambda n: math_like(n, args.data)),
                                   ("hostile", args.hostile, hostile)):
            if count:
                file = folder / "rows.jsonl"
                write(rows(count), file)
                runs = [[Run(args.inspect, reward, file, 1800) for _ in range(args.repeat)] for reward in ("math", "contains")]
                ours[title] = row(title, count, *(min(tries, key=Run.cost) for tries in runs))
                file.unlink()
        if args.hostile:
            worst_lines(args, list(hostile(args.hostile)), folder)
    if args.peer:
        print("\n| workload | math-verify, µs each | Temper, µs each | times |\n|---|---|---|---|")
        for title, rows in (("GSM8K-like", list(gsm8k_like(args.peer))), ("MATH-like", list(math_like(args.peer, args.data)))):
            if ours.get(title, 0) > 0:
                theirs = peer_seconds(rows)
                print(f"| {title} | {theirs * 1e6:.0f} | {ours[title] * 1e6:.2f} | {theirs / ours[title]:.0f} |", flush=True)


if __name__ == "__main__":
    main()
