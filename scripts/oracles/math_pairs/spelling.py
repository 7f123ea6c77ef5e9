"""The trees of formulas, and how LaTeX, plain text and Unicode write them."""
import ast
import re
from typing import Callable, NamedTuple

from math_pairs.truths import Truth, value


class Form(NamedTuple):
    make: Callable  # writes it in a Style
    truth: Truth
    how: str = ""


def tree(formula):
    """A number, a name, or an operator and its operands."""
    return cleaned(ast.parse(str(formula), mode="eval").body)


def operator(t):
    return t[0] if isinstance(t, tuple) else ""


def parts(t, op):
    return t[1:] if operator(t) == op else (t,)


def cleaned(node):
    """Without terms 0, factors 1, powers 1 and 0, denominators 1."""
    if isinstance(node, ast.Constant):
        return node.value
    if isinstance(node, ast.Name):
        return node.id
    if isinstance(node, ast.UnaryOp):
        return negated(cleaned(node.operand))
    if isinstance(node, ast.Call):
        return (node.func.id, *map(cleaned, node.args))
    a, b = cleaned(node.left), cleaned(node.right)
    if isinstance(node.op, (ast.Add, ast.Sub)):
        terms = [t for t in (*parts(a, "+"), *parts(b if isinstance(node.op, ast.Add) else negated(b), "+")) if t != 0]
        return ("+", *terms) if len(terms) > 1 else terms[0] if terms else 0
    if isinstance(node.op, ast.Mult):
        return product(a, b)
    if isinstance(node.op, ast.Div):
        return a if b == 1 else ("/", a, b)
    return a if b == 1 else 1 if b == 0 else ("^", a, b)


def negated(t):
    if isinstance(t, (int, float)):
        return -t
    if operator(t) == "neg":
        return t[1]
    return ("*", -t[1], *t[2:]) if operator(t) == "*" and isinstance(t[1], int) else ("neg", t)


def product(a, b):
    if 0 in (a, b):
        return 0
    if b == 1:
        return a
    if a in (1, -1):
        return b if a == 1 else negated(b)
    if operator(a) == "neg":
        return negated(product(a[1], b))
    if operator(a) == "/" and isinstance(a[1], int) and a[1] < 0:
        return negated(product(("/", -a[1], a[2]), b))
    return ("*", *parts(a, "*"), *parts(b, "*"))


SUPERSCRIPTS = str.maketrans("0123456789-", "⁰¹²³⁴⁵⁶⁷⁸⁹⁻")
OPERATORS = {"+": "sum", "*": "product", "/": "quotient", "^": "power"}
FUNCTIONS = ("sin", "cos", "tan", "ln")
SIGNS = {"=": [("=", "=", "=")],
         "<": [("<", "<", "<"), (r"\lt ", "<", "<")], ">": [(">", ">", ">"), (r"\gt ", ">", ">")],
         "<=": [(r"\le ", "≤", "<="), (r"\leq ", "≤", "<="), (r"\leqslant ", "⩽", "<=")],
         ">=": [(r"\ge ", "≥", ">="), (r"\geq ", "≥", ">="), (r"\geqslant ", "⩾", ">=")]}
SUM, SLASH, PRODUCT, POWER, FRACTION, ATOM = 1, 1.5, 2, 3, 3.5, 4  # how tightly a text holds together


class Style:
    """One way to write, with its free choices drawn as it goes."""

    def __init__(self, rng, mode=None):
        self.rng = rng
        self.mode = mode or rng.choices(["latex", "plain", "unicode"], [80, 10, 10])[0]
        self.latex = self.mode == "latex"

    def pick(self, *options):
        return self.rng.choice(options)

    def often(self, chance):
        return self.rng.random() < chance

    def sign(self, latex, unicode, plain):
        return latex if self.latex else unicode if self.mode == "unicode" else plain

    def minus(self):
        return self.sign("-", "−", "-")

    def comma(self):
        return self.pick(",", ", ")

    def word(self, text):
        latex = self.pick(rf"\text{{ {text} }}", rf"\ \text{{{text}}}\ ", rf"\mbox{{ {text} }}")
        return latex if self.latex else f" {text} "

    def paren(self, text, marks="()"):
        if self.latex and self.often(0.4):
            gap = self.pick("", " ")
            return rf"\left{marks[0]}{gap}{text}{gap}\right{marks[1]}"
        return marks[0] + text + marks[1]

    def show(self, formula):
        return self.text(tree(formula))

    def relation(self, *parts):
        """Formulas and signs in turn."""
        gap = self.pick("", " ")
        return "".join(gap + self.sign(*self.pick(*SIGNS[p])) + gap if p in SIGNS else self.show(p) for p in parts)

    # The rest takes trees; write... gives a text and how tightly it holds together.

    def text(self, t):
        return self.write(t)[0]

    def at_least(self, t, level):
        text, own = self.write(t)
        return text if own >= level else self.paren(text)

    def write(self, t):
        if isinstance(t, (int, float)):
            return (str(t), ATOM) if t >= 0 else (self.minus() + str(-t), SUM)
        if isinstance(t, str):
            return {"pi": self.sign(r"\pi", "π", "pi"), "oo": self.sign(r"\infty", "∞", "infinity")}.get(t, t), ATOM
        if t[0] in FUNCTIONS:
            return self.write_function(*t)
        return getattr(self, "write_" + OPERATORS.get(t[0], t[0]))(*t[1:])

    def write_neg(self, a):
        return self.minus() + self.at_least(a, SLASH), SUM

    def write_sum(self, *terms):
        text, gap = "", self.pick("", " ")
        for t in terms:
            one = self.text(t)
            sign = one[0] if one[0] in "-−" else "+"
            text += gap + sign + gap + one.removeprefix(sign) if text else one
        return text, SUM

    def write_product(self, *factors):
        text = ""
        for f in factors:
            if operator(f) in FUNCTIONS:
                one = self.write_function(*f, tight=True)[0]
            elif operator(f) == "log":
                one = self.paren(self.text(f))
            else:
                one = self.text(f) if not text and isinstance(f, int) else self.at_least(f, PRODUCT)
            text = text + self.between(text, one) + one if text else one
        return text, PRODUCT

    def between(self, text, one):
        """What stands between two factors."""
        dot = self.sign(r"\cdot ", "·", "*")
        if one[0].isdigit() or text[-1].isdigit() and re.match(r"\\.?frac\{?\d", one):  # 2\frac13 would be a mixed number
            return self.pick(dot, self.sign(r"\times ", "×", "*"))
        if not self.latex:
            words = self.mode == "plain" and (one[0].isalpha() or text[-1].isalpha()) and len(one + text) > 4
            return dot if words or self.often(0.2) else ""
        gap = self.pick("", "", " ", " ", r"\,", dot)
        return " " if not gap and one[0].isalpha() and re.search(r"\\[a-z]+$", text) else gap

    def write_quotient(self, a, b):
        if (operator(a) == "neg" or isinstance(a, int) and a < 0) and self.often(0.6):
            return self.minus() + self.text(("/", negated(a), b)), SUM
        numbers = isinstance(a, int) and isinstance(b, int)
        if not self.latex or numbers and self.often(0.15):
            return self.at_least(a, SUM if isinstance(a, int) else PRODUCT) + "/" + self.at_least(b, POWER), SLASH
        frac = self.pick(r"\frac", r"\frac", r"\dfrac", r"\tfrac")
        if numbers and 0 < a < 10 and b < 10 and self.often(0.3):
            return f"{frac}{a}{b}", FRACTION
        return f"{frac}{{{self.text(a)}}}{{{self.text(b)}}}", FRACTION

    def write_power(self, a, b):
        power = re.sub("[dt]frac", "frac", self.text(b))
        if self.latex and operator(a) in FUNCTIONS:
            return rf"\{a[0]}^{{{power}}} {self.at_least(a[1], POWER)}", PRODUCT
        base = self.at_least(a, ATOM)
        if self.latex:
            return f"{base}^{power}" if len(power) == 1 and self.often(0.6) else f"{base}^{{{power}}}", POWER
        if self.mode == "unicode" and isinstance(b, int):
            return base + str(b).translate(SUPERSCRIPTS), POWER
        return base + ("^" if self.often(0.8) else "**") + (power if power.isdigit() else f"({power})"), POWER

    def write_sqrt(self, a):
        text = self.text(a)
        if not self.latex:
            return ("√" + text if self.mode == "unicode" and text.isdigit() else f"sqrt({text})"), ATOM
        bare = len(text) == 1 and self.often(0.3)
        return r"\sqrt" + (f"{{{text}}}" if not bare else text if text.isdigit() else " " + text), ATOM

    def write_root(self, a, n):
        if self.latex:
            return rf"\sqrt[{n}]{{{self.text(a)}}}", ATOM
        return self.at_least(a, ATOM) + f"^(1/{n})", POWER

    def write_function(self, name, a, tight=False):
        text = self.text(a)
        if not self.latex:
            return f"{name}({text})", PRODUCT
        short = isinstance(a, (int, str)) or operator(a) in ("/", "degrees") or operator(a) == "*" and len(text) == 2
        bare = short and not tight and text[0] != "-" and self.often(0.6)
        return rf"\{name}" + (" " + text if bare else self.paren(text)), PRODUCT

    def write_log(self, a, base):
        text, low = self.text(a), str(base)
        if not self.latex:
            return f"log_{low}({text})", PRODUCT
        low = low if len(low) == 1 and self.often(0.5) else f"{{{low}}}"
        return rf"\log_{low}" + (" " + text if isinstance(a, int) and self.often(0.5) else self.paren(text)), PRODUCT

    def write_degrees(self, a):
        return self.text(a) + (self.pick(r"^\circ", r"^{\circ}") if self.latex else "°"), ATOM

    def write_factorial(self, a):
        return self.at_least(a, ATOM) + "!", POWER

    def write_binomial(self, a, b):
        return self.pick(r"\binom", r"\dbinom", r"\tbinom") + f"{{{a}}}{{{b}}}", ATOM


def expr(formula, how="", var="", unit=""):
    def make(s):
        text = (var + s.pick("=", " = ") if var else "") + s.show(formula)
        return text + s.pick(r"\text{ %s}", r" \text{ %s}", r"\ \mathrm{%s}") % unit if unit else text
    return Form(make, Truth("expr", formula, var, unit), how)


def literal(truth, *texts, how=""):
    return Form(lambda s: s.pick(*texts), truth, how)


def sides(left, right, how="", sign="="):
    return Form(lambda s: s.relation(left, sign, right), Truth("relation", (left, sign, right)), how)


def nonzero(rng, low, high):
    return rng.choice([n for n in range(low, high + 1) if n])


def letters(rng, count):
    return rng.sample("abkmnprtxyz", count)


def plus(formula, n):
    """A number stays one."""
    return f"{formula} + {n}" if isinstance(formula, str) else formula + n


def minus(formula):
    return f"-({formula})" if isinstance(formula, str) else -formula


def rounded(formula):
    """A decimal that is near, but no nearer than a verifier may forgive."""
    exact = float(value(formula))
    texts = [f"{exact:.{digits}g}" for digits in (5, 4, 3, 2)]
    return next((t for t in texts if abs(float(t) / exact - 1) > 2e-5 and "e" not in t), f"{exact * 1.001:.6f}")


SWAPS = {"sin": ("cos", ""), "cos": ("sin", ""), "sqrt": ("", "no root"), " + ": (" - ", "sign"), " - ": (" + ", "sign")}


def near(rng, formula):
    """Near misses: a number larger by one, another letter, function or sign, a decimal."""
    text, out = str(formula), [expr(minus(formula), "sign")]
    for m in re.finditer(r"\d+|\b[a-z]\b|sin|cos|sqrt| [+-] ", text):
        other, how = (int(m[0]) + 1, "") if m[0].isdigit() else SWAPS.get(m[0]) or (letters(rng, 1)[0], "other variable")
        out.append(expr(f"{text[:m.start()]}{other}{text[m.end():]}", how))
    v = value(formula)
    return out + [expr(rounded(formula), "decimal")] * 2 if v.is_real and v.is_number and not v.is_integer else out
