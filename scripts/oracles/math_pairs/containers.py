"""Kinds of answers that hold several values: intervals, inequalities, tuples, lists, sets, matrices."""
from fractions import Fraction

from math_pairs.spelling import Form, Style, expr, letters, literal, minus, near, nonzero, plus, sides
from math_pairs.truths import Span, Truth, equal, value


def scalar(rng):
    """A component: formulas of one value."""
    q, c, r = Fraction(nonzero(rng, -11, 11), rng.randrange(2, 8)), nonzero(rng, -4, 4), rng.choice([2, 3, 5, 6, 7])
    return rng.choices([[rng.randrange(-12, 13)], [q] + [float(q)] * (q.denominator in (2, 4, 5)),
                        [f"{c}*sqrt({r})", f"sqrt({c * c * r})" if c > 0 else f"-sqrt({c * c * r})"],
                        [f"{q}*pi", f"{q.numerator}*pi/{q.denominator}"]], [55, 22, 13, 10])[0]


FLIP = {"<": ">", ">": "<", "<=": ">=", ">=": "<="}


def brackets(s, span):
    text = s.show(span.low) + s.comma() + s.show(span.high)
    return s.paren(text, ("[" if span.low_in else "(") + ("]" if span.high_in else ")"))


def chain(s, span, x):
    parts = [] if span.low == "-oo" else [span.low, "<" + "=" * span.low_in]
    parts += [x] if span.high == "oo" else [x, "<" + "=" * span.high_in, span.high]
    if (len(parts) == 3 and x == parts[2]) or s.often(0.25):
        parts = [FLIP.get(p, p) for p in reversed(parts)]
    return s.relation(*parts)


def as_region(spans, how="", member=""):
    def make(s):
        cup = s.pick(r" \cup ", r"\cup ") if s.latex else s.sign("", " ∪ ", " U ")
        text = cup.join(brackets(s, p) for p in (s.rng.sample(spans, len(spans)) if s.often(0.3) else spans))
        return member + s.sign(r" \in ", " ∈ ", " in ") + text if member else text
    return Form(make, Truth("region", spans, member), how)


def as_relation(spans, x, how=""):
    return Form(lambda s: s.word("or").join(chain(s, p, x) for p in spans), Truth("region", spans, x), how)


def spans_of(rng):
    """One or two intervals, and near misses of them."""
    low, high = 1, 0
    while value(low) >= value(high):
        low, high = scalar(rng)[0], scalar(rng)[0]
    p, q = rng.random() < 0.5, rng.random() < 0.5
    below, above, between = Span("-oo", low, False, p), Span(high, "oo", q), Span(low, high, p, q)
    second = rng.choice([Span(plus(high, 1), plus(high, 4), not p), Span(plus(high, 2), "oo", q)])
    spans = rng.choice([[below], [above], [between], [between], [below, above], [between, second]])
    one = rng.choice(spans)

    def but(how="", **changes):
        return [one._replace(**changes) if s == one else s for s in spans], how
    off = [([s], "part") for s in (*spans, between)]
    if one.low != "-oo":
        off += [but("open or closed", low_in=not one.low_in), but(low=plus(one.low, -1)),
                ([Span("-oo", one.low, False, one.low_in)], "flipped")]
    if one.high != "oo":
        off += [but("open or closed", high_in=not one.high_in), but(high=plus(one.high, 1)),
                ([Span(one.high, "oo", one.high_in)], "flipped")]
    if spans == [between]:
        off += [but("sign", low=minus(high), high=minus(low)), but("swapped", low=high, high=low),
                but(high="oo", high_in=False), but("open or closed", low_in=not p, high_in=not q)]
    return spans, off


def all_but_one(rng, x):
    at = rng.randrange(-9, 10)
    hole = [Span("-oo", at), Span(at, "oo")]
    unequal = literal(Truth("region", hole, x), rf"{x} \neq {at}", rf"{x} \ne {at}", f"{x} ≠ {at}", f"{x} != {at}")
    without = literal(Truth("region", hole), rf"\mathbb{{R}} \setminus \{{{at}\}}", rf"\mathbb{{R}}\backslash\{{{at}\}}")
    return ([as_region(hole), unequal, without, as_relation(hole, x)],
            [as_region([Span("-oo", at, False, True), hole[1]], "open or closed"), as_region(hole[1:], "part"),
             as_region([Span("-oo", at + 1), Span(at + 1, "oo")]), as_region([Span("-oo", "oo")]), expr(at, "part"),
             expr(at, "equation", x)])


def interval(rng):
    x = letters(rng, 1)[0]
    if rng.random() < 0.1:
        return all_but_one(rng, x)
    spans, misses = spans_of(rng)
    forms = [as_region(spans), as_region(spans), as_relation(spans, x), as_region(spans, member=x)]
    off = [as_region(n, how) for n, how in misses] + [as_relation(n, x, how) for n, how in misses]
    return forms, off + [expr(spans[0].high if spans[0].low == "-oo" else spans[0].low, "part")]


def half_plane(rng):
    x, y = rng.choice(["xy", "xy", "ab", "mn"])
    a, c, sign = nonzero(rng, -6, 6), nonzero(rng, -9, 9), rng.choice(list(FLIP))
    right = f"{a}*{x} + {c}"
    strict = sign[0] if len(sign) > 1 else sign + "="
    return ([sides(y, right, "", sign), sides(right, y, "", FLIP[sign]), sides(f"{y} - {a}*{x}", c, "", sign),
             sides(f"{2 * a}*{x} - 2*{y}", -2 * c, "", FLIP[sign])],
            [sides(y, right, "flipped", FLIP[sign]), sides(y, right, "strictness", strict),
             sides(y, f"{a}*{x} + {c + 1}", "", sign), sides(x, f"{a}*{y} + {c}", "swapped", sign),
             sides(y, f"{-a}*{x} + {c}", "sign", sign),
             sides(f"-{y}", f"{-a}*{x} - {c}", "flipped", sign), sides(y, right, "equation"), expr(c, "part")])


def inequality(rng):
    if rng.random() < 0.3:
        return half_plane(rng)
    (spans, misses), (x, other) = spans_of(rng), letters(rng, 2)
    forms = [as_relation(spans, x), as_relation(spans, x), as_region(spans)]
    off = [as_relation(n, x, how) for n, how in misses] + [as_relation(spans, other, "other variable")] * 2
    low, high, low_in, high_in = spans[0]
    if len(spans) == 1 and (low == "-oo" or high == "oo"):
        bound, closed, sign = (low, low_in, ">") if high == "oo" else (high, high_in, "<")
        off += [expr(bound, "part"), expr(bound, "equation", x)]
        if isinstance(bound, int):
            k, sign = rng.randrange(2, 5), sign + "=" * closed
            opposite = [Span(bound, "oo", closed) if low == "-oo" else Span("-oo", bound, False, closed)]

            def scaled(k, spans, how):
                return Form(lambda s: s.relation(f"{k}*{x}", sign, k * bound), Truth("region", spans, x), how)
            return forms + [scaled(k, spans, "scaled")], off + [scaled(-k, opposite, "flipped")]
    return forms, off


def components(rng, count):
    """Different ones, each a list of formulas of one value; and such with one off, one missing, one more."""
    parts = []
    while len(parts) < count:
        one = scalar(rng)
        if not any(equal(one[0], p[0]) for p in parts):
            parts.append(one)
    at = rng.randrange(count)
    off = [([*parts[:at], [f.truth.body], *parts[at + 1:]], f.how) for f in rng.sample(near(rng, parts[at][0]), 2)]
    return parts, [*off, (parts[:at] + parts[at + 1:], "missing"), (parts + [[rng.randrange(13, 20)]], "additional")]


def texts(s, parts, shuffled=False):
    return [s.show(s.rng.choice(p)) for p in (s.rng.sample(parts, len(parts)) if shuffled else parts)]


def values(parts):
    return [p[0] for p in parts]


def tuple_form(parts, how="", names=""):
    return Form(lambda s: (names + s.pick("=", " = ") if names else "") + s.paren(s.comma().join(texts(s, parts))),
                Truth("tuple", values(parts)), how)


def tuples(rng):
    if rng.random() < 0.06:  # one that could be a number with its digits in groups
        a, b, c = rng.randrange(1, 9), rng.randrange(100, 999), rng.randrange(100, 999)
        whole = literal(Truth("expr", int(f"{a}{b}{c}")), f"{a}{b}{c}", f"{a},{b},{c}", how="grouping")
        return [tuple_form([[a], [b], [c]])], [whole, tuple_form([[int(f"{a}{b}")], [c]], "grouping")]
    count = rng.choice([2, 2, 2, 3, 3, 4])
    parts, misses = components(rng, count)
    return ([tuple_form(parts), tuple_form(parts), tuple_form(parts, "named", "(" + ",".join("xyzw"[:count]) + ")")],
            [tuple_form(p, how) for p, how in misses if len(p) > 1] +
            [tuple_form(parts[1:] + parts[:1], "order"), tuple_form(parts[::-1], "order"), expr(parts[0][0], "part"),
             tuple_form([[minus(p[0])] for p in parts], "sign")])


def joined(s, texts):
    if len(texts) > 1 and s.often(0.4):
        comma = "," if len(texts) > 2 and s.often(0.25) else ""
        return ", ".join(texts[:-1]) + comma + s.word(s.pick("and", "or")) + texts[-1]
    return s.comma().join(texts)


def list_form(parts, how="", var="", each=False):
    def make(s):
        several = texts(s, parts, shuffled=True)
        if each:
            return joined(s, [var + s.pick("=", " = ") + t for t in several])
        return (f"{var} = " if var else "") + joined(s, several)
    v = values(parts)
    return Form(make, Truth("list", v, var) if len(v) > 1 else Truth("expr", v[0], var), how)


def both_signs(rng, x, other):
    a, b = rng.choice([0, 0, nonzero(rng, -9, 9)]), f"{rng.randrange(1, 5)}*sqrt({rng.choice([2, 3, 5, 6, 7])})"
    if a == 0 and rng.random() < 0.6:
        b = Fraction(rng.randrange(1, 12), rng.choice([1, 5]))

    def pair(a, b):
        return [[f"{a} + {b}"], [f"{a} - {b}"]]

    def form(a, b, how="", var=""):
        return Form(lambda s: (f"{var} = " if var else "") + (s.show(a) if a else "")
                    + s.pick(*[r" \pm ", r"\pm "] if s.latex else ["±", " ± "]) + s.show(b),
                    Truth("list", values(pair(a, b)), var), how)
    up, down = pair(a, b)
    return ([form(a, b), form(a, b, var=x), list_form([up, down]), list_form([up, down])],
            [expr(up[0], "part"), expr(down[0], "part"), form(a + 1, b), form(a, f"2*{b}"),
             form(a, b, "other variable", other), list_form([up, [minus(up[0])]] if a else [up, up], "sign")])


def lists(rng):
    x, other = letters(rng, 2)
    if rng.random() < 0.3:
        return both_signs(rng, x, other)
    parts, misses = components(rng, rng.choice([2, 2, 3, 4]))
    return ([list_form(parts), list_form(parts), list_form(parts, var=x), list_form(parts, var=x, each=True)],
            [list_form(p, how) for p, how in misses] + [list_form(p, how, x, True) for p, how in misses] +
            [list_form(parts, "other variable", other, True), list_form(parts[:1], "part")])


def set_form(parts, how=""):
    def make(s):
        text = s.comma().join(texts(s, parts, shuffled=True))
        return s.pick(rf"\{{{text}\}}", rf"\{{ {text} \}}", rf"\left\{{{text}\right\}}", rf"\left\{{ {text} \right\}}")
    return Form(make, Truth("set", values(parts)), how)


def sets(rng):
    if rng.random() < 0.05:
        return [literal(Truth("set", []), r"\emptyset", r"\varnothing", r"\{\}", "∅")], [0, set_form([[0]])]
    parts, misses = components(rng, rng.choice([1, 2, 3, 3, 4]))
    off = [set_form(p, how) for p, how in misses]
    if len(parts) > 1:
        off += [expr(parts[0][0], "part"), expr(parts[1][0], "part"), tuple_form(parts[:2], "a tuple")]
    return [set_form(parts)], off


def matrix_form(grid, how="", determinant=False):
    def make(s):
        latex = Style(s.rng, "latex")
        end, cell = s.pick(r" \\ ", r"\\", r" \\[1mm] ", "\\\\\n"), s.pick(" & ", "&")
        body = end.join(cell.join(texts(latex, row)) for row in grid)
        name = "vmatrix" if determinant else s.pick("pmatrix", "pmatrix", "bmatrix", "array", "matrix")
        if name == "array":
            return rf"\left(\begin{{array}}{{{'c' * len(grid[0])}}} {body} \end{{array}}\right)"
        text = rf"\begin{{{name}}}{s.pick(' ', '')}{body} \end{{{name}}}"
        return rf"\left[{text}\right]" if name == "matrix" else text
    return Form(make, Truth("key" if determinant else "matrix", [values(row) for row in grid]), how)


def matrix(rng):
    rows, columns = rng.choice([(2, 2), (2, 2), (2, 3), (3, 2), (3, 3), (3, 1), (2, 1), (1, 3)])
    grid = [[rng.choice([scalar(rng), [rng.randrange(-9, 10)]]) for _ in range(columns)] for _ in range(rows)]
    i, j = rng.randrange(rows), rng.randrange(columns)
    old, cells = grid[i][j][0], [c for row in grid for c in row]

    def changed(cell):
        return [[[cell] if (a, b) == (i, j) else c for b, c in enumerate(row)] for a, row in enumerate(grid)]
    off = [matrix_form(changed(plus(old, 1))), matrix_form(changed(minus(old)), "sign"), matrix_form(grid[::-1], "order"),
           expr(old, "part"), matrix_form([row + [[0]] for row in grid], "shape"),
           matrix_form(grid + [[[0]] * columns], "shape")]
    if min(rows, columns) > 1:
        off += [matrix_form([list(row) for row in zip(*grid)], "transposed")] * 2
        off += [matrix_form([cells], "shape"), matrix_form([[c] for c in cells], "shape")]
    if rows == columns:
        off.append(matrix_form(grid, "determinant", determinant=True))
    return [matrix_form(grid)], off
