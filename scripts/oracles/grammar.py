#!/usr/bin/env python3
"""Goldens of lib/grammar: which texts fit regular expressions, by Python's re.fullmatch, and which fit JSON schemas, by
jsonschema's Draft202012Validator.

  python scripts/oracles/grammar.py tests/grammar/golden     # jsonschema 4.26

regex.json: [pattern, {text: fits}]. schemas.json: {"schema", "fits": texts that must be accepted, "fails": texts of values that
do not fit, or no JSON, "left_out": texts that fit and are not offered (lib/grammar/schema.h says which)}.
"""
import json
import os
import random
import re
import sys

from jsonschema import Draft202012Validator

CHARS = "abcxyz019 .-_\"\\\n\té日😀"


# --- regular expressions: (pattern, a function that draws a text of its language)

def literal(rng):
    c = rng.choice(CHARS)
    return re.escape(c) if c in '.-"\\ ' else {"\n": "\\n", "\t": "\\t"}.get(c, c), lambda: c


def char_class(rng):
    kind = rng.randrange(7)
    if kind == 0:
        return "\\d", lambda: rng.choice("0123456789")
    if kind == 1:
        return "\\w", lambda: rng.choice("azAZ09_")
    if kind == 2:
        return "\\s", lambda: rng.choice(" \t\n\r\f\v")
    if kind == 3:
        return ".", lambda: rng.choice("a😀é\"\\ ")
    if kind == 4:
        return "[^a-c\\d]", lambda: rng.choice("xyé日 \n")
    if kind == 5:
        return "[b-yé-日\\-]", lambda: rng.choice("bcyééĀ日-")
    return "[\\u00e9\\x41-\\x43\\s]", lambda: rng.choice("éABC ")


def expression(rng, depth):
    kind = rng.randrange(8 if depth > 0 else 3)
    if kind < 2:
        return literal(rng)
    if kind == 2:
        return char_class(rng)
    if kind < 5:
        parts = [expression(rng, depth - 1) for _ in range(rng.randint(1, 3))]
        return "".join(p for p, _ in parts), lambda: "".join(draw() for _, draw in parts)
    if kind == 5:
        parts = [expression(rng, depth - 1) for _ in range(rng.randint(2, 3))]
        return "(" + rng.choice(["", "?:"]) + "|".join(p for p, _ in parts) + ")", lambda: rng.choice(parts)[1]()
    pattern, draw = expression(rng, depth - 1)
    if len(pattern) > 1 and not (pattern.startswith("(") and balanced(pattern)):
        pattern = f"(?:{pattern})"
    marks = [("?", 0, 1), ("{2}", 2, 2), ("{1,3}", 1, 3)]
    if not re.search(r"[*+]|,\}", pattern):  # one inside another takes Python's matcher exponentially long
        marks += [("*", 0, 4), ("+", 1, 4), ("{2,}", 2, 5), ("*?", 0, 3)]
    mark, low, high = rng.choice(marks)
    return pattern + mark, lambda: "".join(draw() for _ in range(rng.randint(low, high)))


def balanced(pattern):
    """The first bracket closes at the end."""
    depth, i = 0, 0
    while i < len(pattern):
        if pattern[i] == "\\":
            i += 1
        elif pattern[i] == "(":
            depth += 1
        elif pattern[i] == ")":
            depth -= 1
            if depth == 0 and i + 1 < len(pattern):
                return False
        i += 1
    return depth == 0


def mutated(rng, text, chars):
    text = list(text)
    for _ in range(rng.randint(1, 2)):
        at = rng.randint(0, len(text))
        what = rng.randrange(3)
        if what == 0:
            text.insert(at, rng.choice(chars))
        elif text and what == 1:
            text.pop(min(at, len(text) - 1))
        elif text:
            text[min(at, len(text) - 1)] = rng.choice(chars)
    return "".join(text)


def regexes():
    rng, out = random.Random(3), []
    while len(out) < 250:
        pattern, draw = expression(rng, 4)
        if len(pattern) > 80:
            continue
        compiled = re.compile(pattern, re.ASCII)
        texts = {""}
        for _ in range(8):
            text = draw()[:24]
            texts |= {text, mutated(rng, text, CHARS), mutated(rng, text, CHARS)}
        out.append([pattern, {t: compiled.fullmatch(t) is not None for t in sorted(texts)}])
    by_hand = {
        "^a|b$": ["a", "b", "ab", ""], "^(a|b)+$": ["abba", ""], "a{,2}": ["", "aa", "aaa"], "{a}": ["{a}"], "a{x}": ["a{x}", "a"],
        "[.]": [".", "a"], "[a\\]]+": ["a]a"], "[-a]": ["-", "a"], "(?P<name>x)y": ["xy"], "(|a)b": ["b", "ab", "a"], "()": ["", "a"],
        "\\.\\*\\/": [".*/"], "[\\U0001F600-\\U0001F64F]": [], "\\x41\\u00e9": ["Aé"], ".": ["\n", "\r", "\u2028", "a"],
        "(a*)*b": ["aab", "b", "a"], "(a|ab)(c|bcd)(d*)": ["abcd", "acd", "abcdd", "ab"], "((a{2}){2}){2}": ["a" * 8, "a" * 7],
        "\\d{3}-\\d{4}": ["555-1234", "555-123"], "[0-9a-f]{8}": ["0123abcd", "0123abcg"],
    }
    for pattern, texts in by_hand.items():
        if texts:
            out.append([pattern, {t: re.compile(pattern, re.ASCII).fullmatch(t) is not None for t in texts}])
    return out


# --- schemas: (schema, a function that draws a fitting value in the schema's own order)

WORDS = ["", "a", "red", "näh", "日本", "😀", "a b", 'q"q', "back\\slash", "tab\t", "\x01"]


def scalar(rng):
    kind = rng.randrange(11)
    if kind == 0:
        return {"type": "null"}, lambda: None
    if kind == 1:
        return {"type": "boolean"}, lambda: rng.random() < 0.5
    if kind == 2:
        return {"type": "string"}, lambda: rng.choice(WORDS)
    if kind == 3:
        low, high = sorted((rng.randint(0, 4), rng.randint(0, 4)))
        return {"type": "string", "minLength": low, "maxLength": high}, lambda: "".join(rng.choice('aé😀"\n') for _ in range(rng.randint(low, high)))
    if kind == 4:
        return {"type": "integer"}, lambda: rng.choice([0, 7, -12, 123456])
    if kind == 5:
        low, high = sorted(rng.choice([(-20, 20), (-2000, 50), (3, 1200)]) if rng.random() < 0.5 else (rng.randint(-150, 150), rng.randint(-150, 150)))
        return {"type": "integer", "minimum": low, "maximum": high}, lambda: rng.randint(low, high)
    if kind == 6:
        return {"type": "number"}, lambda: rng.choice([0, -1.5, 2e10, 1e-7, 3.25])
    if kind == 7:
        low, high = sorted((round(rng.uniform(-20, 20), 2), round(rng.uniform(-20, 20), 2)))
        return {"type": "number", "minimum": low, "maximum": high}, lambda: rng.choice([low, high, round(rng.uniform(low, high), 3)])
    if kind == 8:
        values = rng.sample(WORDS + [1, 2.5, None, True, [1, 2], {"a": 1}], 3)
        return {"enum": values}, lambda: rng.choice(values)
    if kind == 9:
        value = rng.choice(["x", 5, None, False])
        return {"const": value}, lambda: value
    pattern, draw = rng.choice([("^[a-z]{2,4}$", lambda: "abc"), ("\\d", lambda: "a1b"), ("^x|y$", lambda: rng.choice(["xab", "aby"])),
                                ('^a["\\\\]b$', lambda: rng.choice(['a"b', "a\\b"]))])
    return {"type": "string", "pattern": pattern}, draw


def schema(rng, depth):
    kind = rng.randrange(12 if depth > 0 else 6)
    if kind < 6:
        return scalar(rng)
    if kind < 9:  # an object
        names = rng.sample(["name", "age", "x y", "日", 'q"', "list"], rng.randint(0, 4))
        of = {n: schema(rng, depth - 1) for n in names}
        required = [n for n in names if rng.random() < 0.5]
        out = {"type": "object", "properties": {n: s for n, (s, _) in of.items()}}
        if required:
            out["required"] = required
        more = None
        choice = rng.randrange(3)
        if choice == 1:
            out["additionalProperties"] = False
        elif choice == 2:
            more = scalar(rng)
            out["additionalProperties"] = more[0]

        def draw():
            value = {n: d() for n, (_, d) in of.items() if n in required or rng.random() < 0.5}
            for extra in ["other", "nam", "name2", ""] if more else []:
                if rng.random() < 0.3:
                    value[extra] = more[1]()
            return value
        return out, draw
    if kind < 11:  # an array
        item, low = schema(rng, depth - 1), rng.randint(0, 2)
        high = low + rng.randint(0, 3)
        out = {"type": "array", "items": item[0]}
        bounded = rng.random() < 0.5
        if bounded:
            out["minItems"], out["maxItems"] = low, high
        prefix = [schema(rng, depth - 1) for _ in range(rng.choice([0, 0, 2]))]
        if prefix:
            out["prefixItems"] = [s for s, _ in prefix]

        def draw():
            n = rng.randint(low, high)
            return [(prefix[i] if i < len(prefix) else item)[1]() for i in range(n)]
        return out, draw
    of = [schema(rng, depth - 1) for _ in range(rng.randint(2, 3))]
    if rng.random() < 0.5:
        return {"anyOf": [s for s, _ in of]}, lambda: rng.choice(of)[1]()
    return {"title": "notes ask nothing", "anyOf": [s for s, _ in of]}, lambda: rng.choice(of)[1]()


def spellings(value):
    return [json.dumps(value, ensure_ascii=False, separators=(",", ":")), json.dumps(value, ensure_ascii=False),
            json.dumps(value, ensure_ascii=False, indent=2), json.dumps(value, ensure_ascii=False, indent=4)]


def fits(validator, text):
    try:
        # As this JSON is read elsewhere: NaN and its kin are none, and no name may come twice.
        value = json.loads(text, parse_constant=lambda c: 1 / 0)
    except (ValueError, ZeroDivisionError):
        return False
    return validator.is_valid(value)


NODE = {"$ref": "#/$defs/node", "$defs": {"node": {"type": "object", "properties": {"v": {"type": "integer"}, "next": {
    "anyOf": [{"$ref": "#/$defs/node"}, {"type": "null"}]}}, "required": ["v", "next"], "additionalProperties": False}}}
TREE = {"type": "object", "properties": {"left": {"$ref": "#"}, "right": {"$ref": "#"}}, "additionalProperties": False}
BY_HAND = [  # schema, values that fit and are accepted, texts that fit and are left out
    (NODE, [{"v": 1, "next": {"v": 2, "next": None}}], ['{"next":null,"v":1}', '{"v":1.0,"next":null}']),
    (TREE, [{}, {"left": {"right": {}}}], ['{"right":{},"left":{}}']),
    ({}, [None, [1, {"a": []}], "x", {"": [[[]]]}, -1.5e10], ['[1 ,2]', ' 1', '{"a" :1}', '1e100', '[1,\t2]']),
    (True, [[], {"b": True}], []),
    ({"type": "object"}, [{}, {"a": {"b": [1]}}], []),
    ({"type": "object", "required": ["a"]}, [{"a": 1}, {"a": "x", "b": 2}], ['{"b":2,"a":1}']),
    ({"type": "object", "properties": {"a": {"type": "null"}}}, [{}, {"a": None}], ['{"b":1}']),
    ({"type": "object", "properties": {"ab": {}, "ac": {}}, "additionalProperties": {"type": "null"}},
     [{"ab": 1, "a": None, "abc": None, "": None}, {"x": None, "b": None}], ['{"\\u0061":null}']),
    ({"type": ["integer", "null"]}, [1, None], []),
    ({"properties": {"a": {"type": "null"}}, "required": ["a"]}, [{"a": None}], ['1']),
    ({"allOf": [{"type": "object", "properties": {"a": {"type": "integer"}}, "required": ["a"]},
                {"properties": {"a": {"minimum": 3}, "b": {"type": "null"}}}]}, [{"a": 3}, {"a": 9, "b": None}], []),
    ({"type": "object", "properties": {"a": {"type": "null"}, "b": {"type": "null"}}, "additionalProperties": False,
      "anyOf": [{"required": ["a"]}, {"required": ["b"]}]}, [{"a": None}, {"b": None}, {"a": None, "b": None}], []),
    ({"oneOf": [{"type": "integer", "minimum": 5}, {"type": "string", "maxLength": 1}]}, [7, "a"], []),
    ({"type": "integer", "minimum": 0}, [0, 10, 123456789012345678], ["1.0", "1e3", "1234567890123456789"]),
    ({"type": "integer", "exclusiveMinimum": -11, "exclusiveMaximum": -9}, [-10], []),
    ({"type": "integer", "minimum": -5, "maximum": 5}, list(range(-5, 6)), []),
    ({"type": "integer", "maximum": -99}, [-99, -100, -1000], []),
    ({"type": "number", "exclusiveMinimum": 0, "maximum": 1}, [1, 0.5, 0.001, 1.0], ["5e-1"]),
    ({"type": "number", "minimum": 9.5, "maximum": 10.25}, [9.5, 9.75, 10, 10.25, 10.1], []),
    ({"type": "number", "minimum": 0.1, "exclusiveMaximum": 0.25}, [0.1, 0.2, 0.2499], []),
    ({"type": "integer", "minimum": 1.5, "maximum": 3.5}, [2, 3], []),
    ({"enum": ["a", 3, {"k": [1, 2]}], "type": ["string", "object"]}, ["a"], ['{"k": [1, 2]}']),
    ({"type": "string", "format": "date"}, ["2024-12-31", "1999-02-28"], ['"2024-02-29"']),
    ({"type": "string", "format": "time"}, ["23:59:59Z", "00:00:00.25+01:00"], []),
    ({"type": "string", "format": "date-time"}, ["2024-12-31T00:00:00Z"], []),
    ({"type": "string", "format": "uuid"}, ["123e4567-e89b-12d3-a456-426614174000"], []),
    ({"type": "string", "format": "email"}, ["a.b@example.org"], []),
    ({"type": "string", "format": "ipv4"}, ["192.168.0.1"], []),
    ({"type": "string", "minLength": 2, "maxLength": 2}, ["ab", "😀é", '"\\'], []),
    ({"type": "array", "prefixItems": [{"type": "null"}, {"type": "boolean"}], "items": False}, [[], [None], [None, True]], []),
    ({"type": "array", "items": {"type": "null"}, "minItems": 2}, [[None] * 2, [None] * 5], []),
]


MULTIPLES = [
    ({"type": "integer", "multipleOf": 1}, [0, -3, 12], ["3.0"]),
    ({"type": "integer", "multipleOf": 3}, [0, 3, -6, 123456789012345678], ["3.0", "3e1"]),
    ({"type": "integer", "multipleOf": 7, "minimum": -50, "exclusiveMaximum": 7007}, [-49, 0, 7, 700, 7000], []),
    ({"type": "integer", "multipleOf": 100, "minimum": 1234}, [1300, 99900, 123456789012345600], []),
    ({"type": "integer", "multipleOf": 64, "maximum": -1}, [-64, -128, -6400], []),
    ({"type": "integer", "multipleOf": 13, "minimum": 100, "maximum": 999}, list(range(104, 1000, 13)), []),
    ({"type": "number", "multipleOf": 5}, [0, 5, -10, 12345], ["5.0"]),
    ({"multipleOf": 25.0, "minimum": 10.5}, [25, 50, 1000], []),
    ({"allOf": [{"type": "integer", "multipleOf": 4}, {"multipleOf": 6}]}, [0, 12, -24, 1200], []),
    ({"enum": [3, 4, 5, 6, "4"], "type": "integer", "multipleOf": 2}, [4, 6], []),
    ({"type": "object", "properties": {"cents": {"type": "integer", "multipleOf": 5, "minimum": 0}}, "required": ["cents"]},
     [{"cents": 0}, {"cents": 1995}], []),
]


def schemas():
    rng, out = random.Random(5), []
    checker = Draft202012Validator.FORMAT_CHECKER
    for s, values, left_out in BY_HAND:
        v = Draft202012Validator(s, format_checker=checker)
        texts = [t for value in values for t in spellings(value)]
        if isinstance(s, dict) and "enum" in s:
            texts = [t for value in values for t in spellings(value)[:1]]
        assert all(fits(v, t) for t in texts + left_out), (s, [t for t in texts + left_out if not fits(v, t)])
        out.append(case(rng, s, v, texts, left_out))
    while len(out) < 140:
        s, draw = schema(rng, 3)
        v = Draft202012Validator(s)
        texts = []
        for _ in range(4):
            value = draw()
            assert v.is_valid(value), (s, value)
            # Objects and arrays that an enum names are written in one way.
            texts += spellings(value)[:1] if re.search(r'"enum": [^}]*[\[{]', json.dumps(s)) else spellings(value)
        out.append(case(rng, s, v, texts, []))
    rng = random.Random(7)
    for s, values, left_out in MULTIPLES:
        v = Draft202012Validator(s)
        texts = [t for value in values for t in spellings(value)]
        assert all(fits(v, t) for t in texts + left_out), s
        near = {str(n + d) for n in values if isinstance(n, int) for d in (-10, -2, -1, 1, 2, 3, 10)}
        out.append(case(rng, s, v, texts, left_out))
        out[-1]["fails"] += sorted(t for t in near if not fits(v, t))
    return out


def case(rng, s, v, texts, left_out):
    fails = set()
    for text in texts + ["{}", "[]", "null", "1", '"a"', ""]:
        for _ in range(4):
            wrong = mutated(rng, text, '{}[],:"0159.-eatrfn \\')
            if not fits(v, wrong):
                fails.add(wrong)
        if not fits(v, text):
            fails.add(text)
    texts = list(dict.fromkeys(texts))
    return {"schema": s, "fits": texts, "fails": sorted(rng.sample(sorted(fails), min(20, len(fails)))), "left_out": left_out}


def main():
    for name, rows in (("regex", regexes()), ("schemas", schemas())):
        with open(os.path.join(sys.argv[1], name + ".json"), "w", encoding="utf-8") as out:
            out.write("[\n" + ",\n".join(json.dumps(r, ensure_ascii=False) for r in rows) + "\n]\n")


if __name__ == "__main__":
    main()
