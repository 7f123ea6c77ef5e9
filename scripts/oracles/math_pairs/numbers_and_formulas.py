"""Kinds of answers that are one number, formula, equation or name: each draws spellings of one value and near misses."""
from fractions import Fraction
from math import comb, factorial

from sympy import Poly

from math_pairs.spelling import SUPERSCRIPTS, expr, letters, literal, minus, near, nonzero, plus, sides
from math_pairs.truths import Truth, value

def of(v, *texts, how="", unit=""):
    return literal(Truth("expr", v, "", unit), *texts, how=how)


def whole(rng):
    n, (v, other) = rng.choice([rng.randrange(2, 100), rng.randrange(1000, 10**rng.randrange(4, 9))]), letters(rng, 2)
    g = f"{n:,}"
    groups = of(n, *(g.replace(",", mark) for mark in (",", ",", "{,}", r",\!", " ")))
    return ([expr(n, "named", v), f"{n - 3} + 3", f"{3 * n}/3", groups, groups,
             of(n, f"{n}", f"{n}.0", f"{n}.", rf"\text{{{n}}}", f"{{{n}}}", f"+{n}", rf"\mathbf{{{n}}}", f"({n})")],
            [*near(rng, n), of(n + 1, f"{n + 1:,}"), expr(n // 1000, "part"), of(n * 1000, f"{g},000"),
             expr(n, "other variable", other)])


def fraction(rng):
    """A fraction, as a mixed number and a decimal where it is one."""
    b, k = rng.choice([2, 3, 4, 5, 6, 7, 8, 10, 12, 20, 50, 100, 1000]), rng.randrange(2, 6)
    q = Fraction(rng.choice([a for a in range(-5 * b, 9 * b) if a % b]), b)
    a, b = q.numerator, q.denominator
    forms, (w, rest), text = [q, f"{a * k}/{b * k}", f"{a}*(1/{b})"], divmod(a, b), str(float(q))
    off = [*near(rng, q), expr(1 / q, "inverted")]
    if 1000 % b == 0:
        forms += [of(q, text), of(q, text + "0", text.replace("0.", "."))]
        off += [of(q * 10, f"{float(q * 10):g}")]
    if w > 0:
        part = rf"\frac{{{rest}}}{{{b}}}"
        texts = f"{w}{part}", rf"{w} {part}", f"{w}{part}".replace("frac", "dfrac"), f"{w} {rest}/{b}"
        forms += [of(q, *texts), of(q, *texts), f"{w} + {rest}/{b}"]
        off += [expr(f"{w * rest}/{b}", "a product"), of(q + 1, f"{w + 1}{part}"), of(-q, f"-{w}{part}", how="sign")]
    return forms, off


# Families of units; a unit has names, or whole texts with # for the number; ? marks a word that need not be known.
UNITS = [[r"#\%|#%|# \%|#\text{ percent}|# percent"], [r"#^\circ|#^{\circ}|#°|# ^\circ|# degrees|#\text{ degrees}"],
         [r"\$#|\$ #|\text{\$#}|# dollars|#\text{ dollars}", "euros", "cents"], ["kg|kilograms", "g|grams"],
         ["km|kilometers", "m|meters", "cm|centimeters"], ["hours", "minutes", "days"], ["miles", "feet", "inches"],
         ["mph|miles per hour", "miles"], ["square inches|square in", "inches", "square feet"], ["?apples", "?oranges", "?marbles"],
         [r"#\text{ cm}^2|# \mathrm{cm}^2", r"#\text{ cm}^3|# \mathrm{cm}^3"]]


def measure(rng):
    family = rng.choice(UNITS)
    unit, other = rng.sample(family, 2) if len(family) > 1 else family * 2
    n = rng.choice([rng.randrange(2, 100), rng.randrange(2, 3000), Fraction(rng.randrange(1, 4000, 2), 4)])

    def form(n, unit, how=""):
        name = rng.choice(unit.strip("?").split("|"))
        plain = f"{n if isinstance(n, int) else float(n):,}"
        texts = [rf"#\text{{ {name}}}", rf"# \text{{ {name}}}", rf"#\ \text{{{name}}}", f"# {name}"]
        texts = [name] if "#" in name else texts[:3] if len(name) == 1 else texts  # 3 m would be a product
        return of(n, *(t.replace("#", p) for t in texts for p in (plain, plain.replace(",", ""))), how=how, unit=unit)
    return ([form(n, unit), form(n, unit), n],
            [form(n, other, "other unit"), form(n, other, "other unit"), form(n + 1, unit), form(n * 10, unit),
             form(-n, unit, "sign"), form(Fraction(n, 100), unit, "a hundredth")])


def scientific(rng):
    m, k = rng.choice([2, 3, 7, 1.5, 2.25, 6.02]), rng.randrange(3, 9)
    v = Fraction(str(m)) * 10**k
    raised = str(k).translate(SUPERSCRIPTS)
    return ([of(v, rf"{m} \times 10^{{{k}}}", rf"{m}\cdot 10^{k}", f"{m}×10{raised}", f"{m}e{k}"), v,
             of(v, f"{int(v):,}")],
            [of(10 * v, rf"{m} \times 10^{{{k + 1}}}"), of(v / 100**k, rf"{m}\times 10^{{-{k}}}", how="sign"),
             of(Fraction(str(m)) * 10 * k, rf"{m} \times 10 \cdot {k}")])


def repeating(rng):
    digits = rng.choice(["3", "6", "27", "36", "142857", "09"])
    v = Fraction(int(digits), 10**len(digits) - 1)
    return ([of(v, rf"0.\overline{{{digits}}}", rf".\overline{{{digits}}}"), v],
            [expr(f"0.{digits[:4]}", "decimal"), of(v / 10, rf"0.0\overline{{{digits}}}"), *near(rng, v)])


def number(rng):
    return rng.choice([whole, whole, fraction, fraction, fraction, measure, measure, measure, scientific, repeating])(rng)


def surds(rng):
    a, b, d = rng.choice([0, nonzero(rng, -9, 9)]), nonzero(rng, -5, 7), rng.choice([1, 1, 2, 3])
    r = rng.choice([2, 3, 5, 6, 7, 10])
    full, sign = f"({a} + {b}*sqrt({r}))/{d}", "+" if b > 0 else "-"
    return ([full, f"({a} {sign} sqrt({b * b * r}))/{d}", f"{Fraction(a, d)} + {Fraction(b, d)}*sqrt({r})",
             f"{a * a - b * b * r}/({d}*({a} - {b}*sqrt({r})))", expr(full, unit="feet")],
            [expr(full, "other unit", unit="miles"), f"({b} + {a}*sqrt({r}))/{d}", expr(f"{a or b}/{d}", "part"),
             f"({a} + {r}*sqrt({abs(b)}))/{d}", f"({a} + sqrt({abs(b) * r}))/{d}"])


def constant(rng):
    q = Fraction(nonzero(rng, -20, 20), rng.choice([1, 1, 2, 3, 4, 6]))
    p, c = rng.choice([1, 1, 2, -1]), rng.choice(["pi", "pi", "e"])
    a, b = q.numerator, q.denominator
    full = f"{a}*{c}**{p}/{b}"
    return ([full, f"{q}*{c}**{p}", f"{a}/({b}*{c}**{-p})" if p < 0 else f"{c}**{p}*({q})", expr(full, unit="cm")],
            [expr(full, "other unit", unit="m"), expr(q, "part"), expr(f"{a}*{c}**{-p}/{b}", "inverted")])


def trigonometry(rng):
    name, angle = rng.choice(["sin", "cos", "tan"]), rng.choice([15, 30, 36, 45, 60, 120, 135])
    text, turn = f"{name}(degrees({angle}))", Fraction(angle, 180)
    return [str(value(text)), text, f"{name}({turn.numerator}*pi/{turn.denominator})"], near(rng, text)


def polynomial(coefficients, x, order=None):
    """The sum of coefficients[k] x^k."""
    return " + ".join(f"{coefficients[k]}*{x}**{k}" for k in order or reversed(range(len(coefficients))))


def polynomials(rng):
    (x, y, name), k = letters(rng, 3), rng.choice([1, 1, 2, -3])
    factors = [[nonzero(rng, -6, 6), rng.choice([1, 1, 1, 2, 3])] for _ in range(rng.choice([1, 2, 3]))]
    if len(factors) == 1:
        factors.append([nonzero(rng, -5, 5), 0, 1])
    product = "*".join(f"({polynomial(f, x)})" for f in [[k], *factors])
    c = [int(n) for n in reversed(Poly(value(product), value(x)).all_coeffs())]
    full = polynomial(c, x)
    return ([full, polynomial(c, x, rng.sample(range(len(c)), len(c))), product, expr(full, "named", name)],
            [expr(polynomial(c, y), "other variable"), expr(c[0], "part"), expr(polynomial(factors[0], x), "part"),
             *near(rng, product)])


def short(rng):
    """Sorts that need a line or two."""
    (x, y), a, k, n = letters(rng, 2), rng.choice([2, 3, 5]), rng.randrange(1, 6), rng.randrange(5, 9)
    p, d = rng.choice([p for p in (1, 2, 3, 4, 7) if p % a]), a * rng.randrange(2, 9)
    re, im = nonzero(rng, -9, 9), nonzero(rng, -9, 9)
    (b, c), (q, s) = rng.sample([2, 3, 5, 7, 10], 2), rng.sample([n for n in range(-6, 7) if n], 2)
    below, total = f"({x} + {q})*({x} + {s})", f"(2*{x} + {q + s})"
    xx, yy, up, down = f"{x}**2", f"{k * k}*{y}**2", f"({x} + {k}*{y})", f"({x} - {k}*{y})"
    return rng.choice([
        ([f"{re} + {im}*i", f"{im}*i + {re}", f"{re * re + im * im}/({re} - {im}*i)"],  # complex
         [f"{im} + {re}*i", re + im, expr(re, "part"), expr(f"{im}*i", "part"), f"sqrt({re * re + im * im})"]),
        ([f"{d}*{x}*{y}**{p}", f"{d}*{y}**{p}*{x}", f"{d // a}*{x}*{a}*{y}**{p}"],  # monomial
         [expr(d, "letters dropped"), expr(d, "letters dropped", unit="m"), expr(f"{d}*{x}", "part")]),
        ([f"{a}*root({n}, 3)", f"root({a**3 * n}, 3)", f"{a}*{n}**(1/3)"],  # powers
         [f"{a}*sqrt({n})", f"root({a * n}, 3)", f"{n}*root({a}, 3)"]),
        ([f"{x}**({p}/{a})", f"root({x}, {a})**{p}" if a > 2 else f"sqrt({x})**{p}"],
         [f"{x}**({p + a}/{a})", expr(f"{x}**({a}/{p})", "inverted")]),
        ([f"{xx} - {yy}", f"{up}*{down}", f"-{yy} + {xx}"], [f"{down}**2", f"{yy} - {xx}", xx]),  # two letters
        ([f"{up}**2", f"{xx} + {2 * k}*{x}*{y} + {yy}", f"{yy} + {xx} + {2 * k}*{x}*{y}"],
         [f"{xx} + {yy}", f"{down}**2", f"{xx} + {k}*{x}*{y} + {yy}", f"{xx} + {2 * k}*{x} + {yy}"]),
        ([f"{k}/({x} + {q})", f"-({k}/({-q} - {x}))", f"{-k}/({-q} - {x})", f"{2 * k}/(2*{x} + {2 * q})"],  # rational
         [f"{k}/({x} + {s})", f"({x} + {q})/{k}", f"{Fraction(k, q)} + {k}/{x}"]),
        ([f"{total}/({below})", f"1/({x} + {q}) + 1/({x} + {s})", f"{total}/({polynomial([q * s, q + s, 1], x)})"],
         [f"1/({below})", f"2/{total}", f"({x} + {q + s})/({below})"]),
        ([f"log({b**k}, {b})", k], [expr(f"log({b}, {b**k})", "inverted"), expr(f"ln({b**k})", "other base")]),
        ([f"{n}*ln({c})", f"ln({c**n})", f"ln({c}) + {n - 1}*ln({c})"], [f"ln({c * n})", f"ln({c})**{n}"]),
        ([f"log({c}, {b})", f"ln({c})/ln({b})", f"1/log({b}, {c})"],
         [expr(f"log({b}, {c})", "inverted"), expr(f"ln({c})", "other base")]),
        ([f"sin(2*{x})", f"2*sin({x})*cos({x})"], [f"2*sin({x})", f"sin({x})*cos({x})"]),
        ([f"factorial({n})", factorial(n)], [n, factorial(n) - 1]),
        ([f"binomial({n}, 3)", comb(n, 3)], [comb(n, 3) + 1, Fraction(n, 3)])])


def expression(rng):
    sorts = [surds] * 4 + [short] * 7 + [polynomials] * 2 + [constant] * 2 + [trigonometry]
    forms, off = rng.choice(sorts)(rng)
    return forms, rng.choice([off, near(rng, forms[0])])


def equation(rng):
    x, y = rng.choice(["xy", "xy", "xy", "ab", "mn", "yz", "pr"])
    a, b, c, k = rng.randrange(1, 9), nonzero(rng, -9, 9), nonzero(rng, -20, 20), rng.choice([-1, 2, 3, -2])
    p, q, r = rng.randrange(-5, 6), rng.choice([0, rng.randrange(-5, 6)]), rng.choice([4, 9, 13, 16, 25, 2, 7])
    line, square = f"{a}*{x} + {b}*{y}", f"{b}*({x} - {p})**2 + {c}"
    expanded = polynomial([b * p * p + c, -2 * b * p, b], x)
    forms = rng.choice([
        [sides(line, c), sides(c, line), sides(f"{k * a}*{x} + {k * b}*{y}", k * c), sides(f"{line} - {c}", 0),
         sides(f"{b}*{y}", f"{c} - {a}*{x}"), sides(y, f"{Fraction(-a, b)}*{x} + {Fraction(c, b)}")],
        [sides(f"({x} - {p})**2 + ({y} - {q})**2", r), sides(r, f"({y} - {q})**2 + ({x} - {p})**2"),
         sides(f"{x}**2 + {y}**2 - {2 * q}*{y} - {2 * p}*{x} + {p * p + q * q - r}", 0),
         sides(f"{x}**2 - {2 * p}*{x} + {y}**2 - {2 * q}*{y}", r - p * p - q * q)],
        [sides(square, y), sides(y, square), sides(y, expanded), sides(expanded, y),
         sides(f"{y} - {c}", f"{b}*({x} - {p})**2")]])
    left, _, right = forms[0].truth.body

    def renamed(letters, how):
        return sides(*(str(t).translate(str.maketrans(x + y, letters)) for t in (left, right)), how)
    return forms, [*(sides(f.truth.body, right, f.how) for f in near(rng, left)), sides(left, plus(right, 1)),
                   sides(left, minus(right), "sign"),
                   *[expr(right, "right side"), expr(left, "left side")] * (right != y),  # y = x^2 may stand for x^2
                   renamed(y + x, "swapped"), renamed(rng.choice(["st", "uv"]), "other variable")]


def keyed(key, *texts, how=""):
    return literal(Truth("key", key), *texts, how=how)


def in_base(rng):
    names = {2: "two", 3: "three", 4: "four", 5: "five", 6: "six", 7: "seven", 8: "eight", 9: "nine", 12: "twelve"}
    base = rng.choice([*names, 9, 16])
    digits = "0123456789ABCDEF"[:base]
    text = rng.choice(digits[1:]) + "".join(rng.choices(digits, k=rng.randrange(2, 6 if base > 2 else 9)))

    def form(text, base, how=""):
        words = [rf"{text}_{{\text{{{names[base]}}}}}", rf"{text}_\text{{{names[base]}}}"] if base in names else []
        low = "".join("₀₁₂₃₄₅₆₇₈₉"[int(c)] for c in str(base))
        bare = [f"{text}_{base}"] * 2 * (base < 10)
        return keyed((text, base), *[f"{text}_{{{base}}}"] * 2, *bare, text + low, *words, how=how)
    at = rng.randrange(1, len(text))
    other = rng.choice([d for d in digits if d != text[at]])
    return [form(text, base)], [form(text, base + 1, "other base"), form(text, max(10, base + 2), "other base"),
                                form(text[:at] + other + text[at + 1:], base), form(text[:-1], base, "part"),
                                form(text[::-1].lstrip("0"), base, "order"), form(text + "0", base)]


def ratio(rng):
    parts = [rng.randrange(1, 13) for _ in range(rng.choice([2, 2, 2, 3]))]

    def form(parts, k=1, how=""):
        texts = [mark.join(str(k * p) for p in parts) for mark in (":", " : ", r"\colon ", r"\text{ to }")]
        return keyed([Fraction(p, parts[0]) for p in parts], *texts, how=how)
    off = [form(parts[::-1], how="swapped"), form([parts[0] + 1, *parts[1:]]), form([*parts[:-1], parts[-1] + 1]),
           form(parts + [1], how="additional"), form([p * p for p in parts])]
    if parts[1] > 1:  # 3:1 may be read as 3
        off.append(keyed("part", str(parts[0]), how="part"))
    return [form(parts), form(parts), form(parts, rng.randrange(2, 7))], off


def time(rng):
    hour, minute, half = rng.randrange(1, 13), rng.randrange(0, 60), rng.choice("ap")

    def form(hour, minute, half, how=""):
        clock, capital = f"{hour}:{minute:02}", half.upper()
        return keyed((hour, minute, half), rf"{clock} \text{{ {half}.m.}}", rf"{clock}\text{{ {half}.m.}}",
                     f"{clock} {half}.m.", rf"{clock}\text{{ {capital}M}}", rf"{clock}\ \text{{{half}.m.}}",
                     rf"\text{{{clock} {half}.m.}}", f"{clock} {half}m", f"{clock} {capital}M",
                     rf"{clock}\,\mathrm{{{half}m}}", how=how)
    off = [form(hour, minute, "p" if half == "a" else "a", "other half"), form(hour, (minute + 1) % 60, half),
           form(hour % 12 + 1, minute, half), keyed("minute", f"{minute}" if minute != hour else "61", how="part")]
    if minute:
        off.append(keyed("hour", rf"{hour}\text{{ {half}.m.}}", how="part"))
    return [form(hour, minute, half)], off


def choice(rng):
    c, other = rng.sample("ABCDEFGH", 2)

    def form(c, how=""):
        return keyed(c, f"({c})", c, rf"\text{{({c})}}", rf"\text{{{c}}}", rf"\textbf{{({c})}}", rf"\mathrm{{({c})}}",
                     rf"\mathbf{{{c}}}", rf"\text{{ ({c}) }}", rf"\textbf{{({c}) }}", how=how)
    both = keyed("both", f"{c}, {other}", rf"\text{{{c} and {other}}}", f"({c}, {other})", how="additional")
    return [form(c)], [form(other, "other letter")] * 4 + [both, expr(ord(c) - 64, "a number")]


WORDS = ["Sunday Monday Tuesday Wednesday Thursday Friday Saturday", "north south east west northeast", "yes no",
         "circle ellipse parabola hyperbola line point", "even odd neither not~even", "Evelyn Briana Carla Debra",
         "right~triangle triangle isosceles~triangle", "red blue green", "January June July", "true false",
         "inside outside on~the~circle", "increasing decreasing", "divergent convergent"]


def word(rng):
    one, other = (w.replace("~", " ") for w in rng.sample(rng.choice(WORDS).split(), 2))

    def form(w, how=""):
        return keyed(w, w, rf"\text{{{w}}}", rf"\text{{{w}}}", rf"\textbf{{{w}}}", rf"\mathrm{{{w.replace(' ', '~')}}}",
                     rf"\text{{ {w}}}", rf"\text{{{w[0].upper() + w[1:]}}}", rf"\text{{{w.lower()}}}", rf"\mbox{{{w}}}",
                     rf"\text{{{w}.}}", how=how)
    both = keyed("both", rf"\text{{{one} or {other}}}", rf"\text{{{one}, {other}}}", how="additional")
    part = keyed("part", one[:-1] if len(one) > 3 else "maybe", how="part")
    return [form(one)], [form(other, "other word")] * 4 + [both, part, expr(len(one), "a number")]
