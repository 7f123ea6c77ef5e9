"""What an answer is worth, and when two are the same. Formulas are Python text such as "2*sqrt(3)/x"."""
import functools
import random
from typing import Any, NamedTuple

import sympy


class Truth(NamedTuple):
    what: str       # expr, relation, region, tuple, list, set, matrix, or key (which sympy cannot tell)
    body: Any       # a formula; left, sign, right; spans; formulas; rows of formulas; anything
    var: str = ""   # x in x = 5 or x > 3; "" fits any
    unit: str = ""  # "" fits any; "?apples" is a word that need not be known as a unit


class Span(NamedTuple):
    """An interval, and whether each bound belongs to it."""
    low: Any
    high: Any
    low_in: bool = False
    high_in: bool = False


NAMES = {"pi": sympy.pi, "e": sympy.E, "i": sympy.I, "oo": sympy.oo, "degrees": lambda a: a * sympy.pi / 180}
POINTS = [{sympy.Symbol(c): sympy.Rational(p.randrange(101, 399), 101) for c in "abcdkmnprstuvxyz"}
          for p in map(random.Random, (1, 2, 3))]


@functools.cache
def value(formula):
    return sympy.sympify(str(formula), locals=NAMES, rational=True)


def is_zero(e):
    return all(abs(sympy.N(e.subs(p), 40, maxn=200)) < 1e-25 for p in (POINTS if e.free_symbols else POINTS[:1]))


def equal(a, b):
    return is_zero(value(a) - value(b))


def ratio(a, b):
    """The number c with a = c b, None where there is none."""
    c = sympy.nsimplify(sympy.N(a.subs(POINTS[0]) / b.subs(POINTS[0]), 40), rational=True)
    return c if is_zero(a - c * b) else None


def in_turn(a, b):
    return len(a) == len(b) and all(map(equal, a, b))


def in_any_order(a, b):
    b = list(b)
    for x in a:
        hit = next((y for y in b if equal(x, y)), None)
        if hit is None:
            return False
        b.remove(hit)
    return not b


def region(spans):
    return sympy.Union(*(sympy.Interval(value(s.low), value(s.high), not s.low_in, not s.high_in) for s in spans))


def positive(left, sign, right):
    """What a relation says is = 0, > 0 or >= 0."""
    e = sympy.expand(value(left) - value(right))
    return -e if sign[0] == "<" else e


def same_relation(a, b):
    c = ratio(positive(*a), positive(*b))
    return a[1].replace("<", ">") == b[1].replace("<", ">") and c is not None and (c > 0 or a[1] == "=")


def differ(a, b):
    return "" not in (a, b) and a != b


SAME = {"expr": equal, "relation": same_relation, "region": lambda a, b: region(a) == region(b), "tuple": in_turn,
        "list": in_any_order, "set": in_any_order, "matrix": lambda a, b: len(a) == len(b) and all(map(in_turn, a, b)),
        "key": lambda a, b: a == b}


def same(a, b):
    return a.what == b.what and not differ(a.var, b.var) and not differ(a.unit, b.unit) and SAME[a.what](a.body, b.body)
