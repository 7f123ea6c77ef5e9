r"""Goldens of room reward, written to tests/reward/golden.

math.jsonl: pairs of a reference and a completion with the verdict they deserve. The verdict comes from the numbers that
the texts were made from (fractions.Fraction), and for hand-written cases from hand. Beside it stands what the
`math-verify` package (with sympy) says of the same two numbers, each in $\boxed{}$, where it reads most; of hand-written
completions as they are. `--differences` prints where it disagrees.
shaping.json: TRL's own length and repetition rewards on a grid.

  pip install math-verify==0.9.0 trl==1.16.0
  python scripts/oracles/rewards.py [--differences]
"""

import json
import logging
import os
import random
import re
import sys
from fractions import Fraction
from pathlib import Path

logging.disable(logging.CRITICAL)
GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "reward" / "golden"


def spellings(value, rng):
    """Ways to write one exact number, each with the reading it must get."""
    sign = "-" if value < 0 else ""
    size = abs(value)
    out = []
    if size.denominator == 1:
        n = size.numerator
        out += [f"{sign}{n}", f"{sign}{n}.0", f"{sign}{n}.", f"{sign}${n}", f"${sign}{n}$", f"{sign}{n}/1",
                f"{sign}\\frac{{{n * 3}}}{{3}}", f"{sign}{n} apples", f"{sign}{n}\\text{{ cm}}", f"{sign}{n}\\ \\mathrm{{m}}^2",
                f"{sign}\\${n}", f"{sign}{n}^\\circ", f"\\text{{{sign}{n}}}", f"x = {sign}{n}", f"\\textbf{{{sign}{n}}}"]
        if n >= 1000:
            grouped = f"{n:,}"
            out += [f"{sign}{grouped}", f"{sign}${grouped}.00", sign + grouped.replace(",", "{,}"),
                    sign + grouped.replace(",", "\\,"), sign + grouped.replace(",", "\u202f"), f"{sign}{grouped} dollars"]
        if n and n % 1000 == 0:
            out += [f"{sign}{n // 1000} \\times 10^3", f"{sign}{n // 1000}e3", f"{sign}{n // 1000} \\cdot 10^{{3}}",
                    f"{sign}{n // 1000}×10³"]
        if n == 1024:
            out += ["2^{10}", "2^10", "4^5", "2^{3} \\cdot 2^7"]
    else:
        a, b = size.numerator, size.denominator
        out += [f"{sign}{a}/{b}", f"{sign}\\frac{{{a}}}{{{b}}}", f"{sign}\\dfrac{{{a}}}{{{b}}}", f"{sign}\\tfrac{{{a}}}{{{b}}}",
                f"{sign}{2 * a}/{2 * b}", f"{sign}\\frac{{{7 * a}}}{{{7 * b}}}", f"\\frac{{{sign}{a}}}{{{b}}}"]
        if a < 10 and b < 10:
            out += [f"{sign}\\frac{a}{b}", f"{sign}\\frac {a} {b}"]
        whole, rest = divmod(a, b)
        if whole:
            out += [f"{sign}{whole}\\frac{{{rest}}}{{{b}}}", f"{sign}{whole} {rest}/{b}", f"{sign}{whole} \\frac{{{rest}}}{{{b}}}"]
        p = b
        while p % 2 == 0:
            p //= 2
        while p % 5 == 0:
            p //= 5
        if p == 1 and b <= 10**6:
            digits = 0
            while (size * 10**digits).denominator != 1:
                digits += 1
            n = (size * 10**digits).numerator
            text = str(n).rjust(digits + 1, "0")
            decimal = text[:-digits] + "." + text[-digits:]
            out += [f"{sign}{decimal}", f"{sign}{decimal}0", f"{sign}${decimal}", f"{sign}{decimal} kg",
                    f"{sign}{n} \\times 10^{{-{digits}}}", f"{sign}{n}e-{digits}"]
            if decimal.startswith("0."):
                out += [f"{sign}{decimal[1:]}"]
    rng.shuffle(out)
    return out


FRAMES = [
    ("auto", "We add them up.\n#### {}"),
    ("hash", "1 + 1 = 2\n#### {}"),
    ("auto", "So the total is $\\boxed{{{}}}$."),
    ("boxed", "First \\boxed{{0}}, no: \\boxed{{{}}}"),
    ("auto", "After 3 steps we are done. The answer is {}"),
    ("auto", "She has 3 and 4 left.\n**Answer:** {}"),
    ("auto", "The final answer is: ${}$"),
    ("tag", "<think>3 or 4?</think><answer>{}</answer>"),
    ("auto", "<think>is it 17?</think>\n<answer> {} </answer>"),
    ("auto", "{}"),
]

VALUES = [Fraction(s) for s in
          "0 1 7 -3 42 72 100 365 1024 1080 -1500 25000 1234567 109200000 1000000000 1/2 -1/2 3/4 1/3 22/7 7/3 -11/4 5/8 0.1 "
          "10.5 -0.05 3.14 99.99 1234.5 0.001 10833/1000 1/7".split()]

# reference, completion, place, verdict (None: the reference is no number), and why where it needs a word.
HAND = [
    ("72", "The answer is 72.", "auto", True),
    ("72", "The answer is 72 apples, which is more than 50.", "auto", True),
    ("72", "48 + 24 = 72", "auto", True),
    ("72", "The answer is 48 + 24 = 72.", "auto", True),
    ("72", "The answer is 48 + 24", "auto", True),
    ("72", "\\boxed{48+24}", "auto", True),
    ("72", "\\boxed{72", "auto", True, "an unclosed box is no mark, so the last number counts"),
    ("72", "\\boxed{\\boxed{72}}", "auto", True),
    ("72", "\\boxed{71} or rather \\boxed{72}", "auto", True),
    ("72", "\\boxed{72} or rather \\boxed{71}", "auto", False),
    ("72", "\\boxed{71, 72}", "auto", False),
    ("72", "\\boxed{72 \\text{ or } 71}", "auto", False),
    ("72", "#### 72\n\n#### 71", "hash", False),
    ("72", "#### 71\n#### 72", "auto", True),
    ("72", "I cannot say.", "auto", False),
    ("72", "", "auto", False),
    ("72", "####", "auto", False),
    ("72", "\\boxed{}", "auto", False),
    ("72", "<think>72</think>", "auto", False, "an answer in the thoughts is none"),
    ("72", "<think>it must be 72", "auto", False, "thoughts that never end hold no answer"),
    ("72", "<think>\\boxed{71}</think> #### 72", "auto", True),
    ("72", "The answer is 7 2", "auto", False),
    ("-72", "The answer is -72", "auto", True),
    ("-72", "The answer is \u221272", "auto", True),
    ("-72", "The answer is 72", "auto", False),
    ("72", "10 - 72", "last", True, "a minus between two numbers is no sign"),
    ("-72", "it falls by -72 degrees", "last", True),
    ("-72", "it falls to (-72)", "last", True),
    ("72", "pages 10-72", "last", True),
    ("50%", "50", "auto", True),
    ("50", "\\boxed{50\\%}", "auto", True),
    ("0.5", "\\boxed{50\\%}", "auto", True),
    ("1/2", "50 percent", "auto", True),
    ("50%", "0.5%", "auto", False),
    ("50%", "50.0%", "auto", True),
    ("0.5", "50", "auto", False),
    ("3000000", "The answer is 3 million", "auto", True),
    ("3", "The answer is 3 million", "auto", True, "the question may have asked for millions"),
    ("3 million", "3 billion", "auto", False),
    ("24", "two dozen, so 2 dozen", "auto", True),
    ("1/3", "0.3333333", "auto", True),
    ("1/3", "0.333", "auto", False),
    ("1/3", "\\boxed{0.\\overline{3}}", "auto", True),
    ("1/6", "\\boxed{0.1\\overline{6}}", "auto", True),
    ("41/333", "\\boxed{0.\\overline{123}}", "auto", True),
    ("2", "\\boxed{\\frac{1}{\\frac{1}{2}}}", "auto", True),
    ("2", "\\boxed{\\dfrac{4}{2}}", "auto", True),
    ("5/6", "\\boxed{\\left(\\frac{5}{6}\\right)}", "auto", True),
    ("-5/6", "\\boxed{-\\left(\\frac{5}{6}\\right)}", "auto", True),
    ("1", "\\boxed{1/0}", "auto", False),
    ("1", "\\boxed{\\frac{1}{0}}", "auto", False),
    ("0", "\\boxed{-0}", "auto", True),
    ("0", "\\boxed{0.000}", "auto", True),
    ("1000000", "\\boxed{10^6}", "auto", True),
    ("0.001", "\\boxed{10^{-3}}", "auto", True),
    ("36", "\\boxed{2^2 \\cdot 3^2}", "auto", True),
    ("36", "\\boxed{6^2}", "auto", True),
    ("36", "\\boxed{4 \\times 9}", "auto", True),
    ("36", "36 = 4 x 9", "hash", False),
    ("299792458", "2.99792458 \\times 10^8", "auto", True),
    ("6.02e23", "\\boxed{6.02 \\times 10^{23}}", "auto", True),
    ("602000000000000000000000", "6.02e23", "auto", True),
    ("123456789012345678901234567890", "\\boxed{123456789012345678901234567890}", "auto", True),
    ("123456789012345678901234567890", "\\boxed{123456789012345678901234567891}", "auto", False),
    ("9007199254740993", "9007199254740992", "auto", False, "doubles would call these equal"),
    ("0.1", "0.1000000000000000055511151231257827", "auto", False, "doubles would call these equal"),
    ("12", "The answer is 12,", "auto", True),
    ("12", "\\boxed{12,34}", "auto", False),
    ("1234", "\\boxed{1,234}", "auto", True),
    ("1234", "The answer is 1 234 euros", "auto", True),
    ("1234", "\\boxed{01,234}", "auto", False),
    ("5", "\\boxed{5x}", "auto", False),
    ("5", "\\boxed{5\\pi}", "auto", False),
    ("5", "\\boxed{5\\sqrt{2}}", "auto", False),
    ("5", "\\boxed{5i}", "auto", False),
    ("5", "\\boxed{\\pm 5}", "auto", False),
    ("5", "\\boxed{5 \\text{ m/s}^2}", "auto", True),
    ("5", "\\boxed{5 km/h}", "auto", True),
    ("5", "\\boxed{x = 5}", "auto", True),
    ("5", "\\boxed{x \\approx 5}", "auto", True),
    ("5", "\\boxed{5 < x}", "auto", False),
    ("5", "\\boxed{(5, 6)}", "auto", False),
    ("5", "\\boxed{[5]}", "boxed", True),
    ("5", "\\boxed{5!}", "auto", False),
    ("5", "The answer is 5!", "auto", True),
    ("5", "The answer is: \n\n5", "auto", True),
    ("5", "The answer to 2 + 3 is 5", "auto", True),
    ("5", "What is the answer? It is 5", "auto", True),
    ("5", "ANSWER: 5", "auto", True),
    ("5", "Answer = 5", "auto", True),
    ("5", "The answer is that 3 of them and 2 more make 5.", "auto", False, "the sentence lists numbers"),
    ("5", "The answer is 5 or 6", "auto", False, "two answers are none"),
    ("5", "The answer is 5, 6", "auto", False, "two answers are none"),
    ("5", "The answer is $5 per hour", "auto", True),
    ("5", "The answer is $5/hour", "auto", True),
    ("5", "A: 5", "auto", True),
    ("5", "My answer is correct. So it is 5", "auto", True),
    ("18", "16 - 3 - 4 = <<16-3-4=9>>9\nA: 18", "auto", True),
    ("100", "H2O boils at 100 C", "auto", True),
    ("2", "100 m^2", "last", False),
    ("3.5", "3½", "auto", True),
    ("5 eggs", "5", "auto", True),
    ("$1,080.00", "1080", "auto", True),
    ("Janet makes 9 * 2 = $18.\n#### 18", "18", "auto", True),
    ("so \\boxed{\\frac{3}{4}} it is", "0.75", "auto", True),
    ("A: 18", "18", "auto", True),
    ("yes", "5", "auto", False),
    ("", "5", "auto", None),
    ("x^2 + 1", "5", "auto", False),
    ("(3, 4)", "3", "auto", False),
    ("3, 4", "3", "auto", False),
    ("1/0", "5", "auto", None),
    ("5\\pi", "5", "auto", False),
    ("2 + 3", "5", "auto", True),
    ("10^99999999999", "5", "auto", False),
    ("1" + "0" * 2000, "5", "auto", None, "too large to hold"),
    ("5", "\\boxed{" + "9" * 3000 + "}", "auto", False),
    ("5", "\\boxed{10^{10^{10}}}", "auto", False),
    ("5", "\\boxed{9^9^9^9}", "auto", False),
    ("5", "\\boxed{1e999999999}", "auto", False),
    ("12:30", "12", "auto", False),
    ("5", "#### five", "auto", False),
    ("5", "It is 5%.", "last", True),
    ("2.5", "5/2", "auto", True),
    ("2.5", "\\boxed{2\\frac12}", "auto", True),
    ("-2.5", "\\boxed{-2\\frac{1}{2}}", "auto", True),
    ("-2.5", "-2 1/2", "auto", True),
    ("6", "\\boxed{\\text{six}}", "auto", False),
    ("6", "**6**", "auto", True),
    ("6", "*Answer*: **6**", "auto", True),
    ("6", "\\[ \\boxed{6} \\]", "auto", True),
    ("6", "The answer is \\(6\\).", "auto", True),
    ("6", "The answer is $$6$$", "auto", True),
    ("1000", "10**3", "auto", True),
    ("6", "answer: \\fbox{6}", "auto", True),
    ("45", "\\boxed{45^\\circ}", "auto", True),
    ("45", "\\boxed{45^{\\circ}}", "auto", True),
    ("45", "45°", "auto", True),
]


def math_verify_says(reference, completion):
    from math_verify import parse, verify
    try:
        gold = parse(f"$\\boxed{{{reference}}}$", parsing_timeout=5)
        if not gold:
            return None
        return bool(verify(gold, parse(completion, parsing_timeout=5), timeout_seconds=5))
    except Exception:
        return None


def other_units(reference, completion):
    """Whether both have units and not the same: 365 apples is no answer to 365 cm."""
    units = [set(re.findall(r"apples|cm|dollars|\\\$|\\mathrm\{m\}|circ|%", text)) for text in (reference, completion)]
    return all(units) and units[0] != units[1]


def math_rows():
    rng = random.Random(1)
    rows = []
    for i, value in enumerate(VALUES):
        forms = spellings(value, rng)
        for j, form in enumerate(forms):
            place, frame = FRAMES[(i + j) % len(FRAMES)]
            if form.endswith(".") and "answer>" not in frame:
                frame = FRAMES[0][1]
                place = FRAMES[0][0]
            reference = rng.choice([str(value), rng.choice(forms)])
            if not other_units(reference, form):
                rows.append((reference, frame.format(form), place, True, "", form))
            other = VALUES[rng.randrange(len(VALUES))]
            if other != value and other * 100 != value and value * 100 != other:
                rows.append((str(other), frame.format(form), place, False, "", form))
    rows += HAND
    out = []
    for row in rows:
        reference, completion, place, verdict = row[:4]
        line = {"reference": reference, "completion": completion, "answer_in": place, "verdict": verdict,
                "math_verify": math_verify_says(reference, f"$\\boxed{{{row[5]}}}$" if len(row) > 5 else completion)}
        if len(row) > 4 and row[4]:
            line["why"] = row[4]
        out.append(line)
    return out


def shaping():
    from trl.rewards import get_cosine_scaled_reward, get_repetition_penalty_reward, get_soft_overlong_punishment, think_format_reward
    cosine = []
    for max_len in (1, 100, 1000):
        for length in (0, 1, 25, 50, 99, 100, 101, 5000):
            right, wrong = get_cosine_scaled_reward(max_len)(
                [[{"content": "\\boxed{1}"}], [{"content": "\\boxed{2}"}]], ["1", "1"], [[1] * length] * 2)
            cosine.append([max_len, length, right, wrong])
    overlong = [[m, c, n, get_soft_overlong_punishment(m, c)([[1] * n])[0]]
                for m, c in ((100, 20), (100, 0), (100, 100), (7, 3)) for n in (0, 1, 4, 5, 6, 7, 8, 79, 80, 81, 90, 99, 100, 101, 500)]
    rng = random.Random(2)
    repetition = []
    for ids in [[], [5], [5] * 5, [1, 2, 3, 4], [1, 2, 1, 2, 1, 2]] + [[rng.randrange(4) for _ in range(n)] for n in (7, 40, 200)]:
        for n in (1, 2, 3, 5):
            for penalty in (-1.0, -0.3):
                repetition.append([ids, n, penalty, get_repetition_penalty_reward(n, penalty)([ids])[0]])
    texts = ["<think>\na\n</think>\nb", "<think></think>", "<think>a", "a<think>b</think>c", "<think>a<think>b</think></think>",
             "<think>a</think>b</think>", " <think>a</think>", "<think>a</think>\n<think>b</think>", "", "x\n<think>a</think>b"]
    think = [[text, think_format_reward([[{"content": text}]])[0]] for text in texts]
    return {"cosine": cosine, "overlong": overlong, "repetition": repetition, "think": think}


def main():
    GOLDEN.mkdir(parents=True, exist_ok=True)
    rows = math_rows()
    with open(GOLDEN / "math.jsonl", "w") as out:
        for row in rows:
            out.write(json.dumps(row, ensure_ascii=False) + "\n")
    os.environ["HF_HUB_OFFLINE"] = "1"
    with open(GOLDEN / "shaping.json", "w") as out:
        json.dump(shaping(), out)
    different = [r for r in rows if bool(r["math_verify"]) != bool(r["verdict"])]
    print(f"{len(rows)} math cases; math-verify differs in {len(different)}")
    if "--differences" in sys.argv:
        for row in different:
            print(json.dumps(row, ensure_ascii=False)[:300])


if __name__ == "__main__":
    main()
