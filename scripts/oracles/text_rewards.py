r"""Goldens of the rewards rouge, bleu, chrf, f1 and json_schema, written to tests/reward/golden.

texts.jsonl: completions and references, by hand and at random, with what the packages score: rouge_score's precision,
recall and F-measure without and with stems, sacrebleu's sentence_bleu and sentence_chrf / 100 and the measures of SQuAD's evaluate-v1.1.py.
stems.txt: words and nltk's stems of them: of English texts that come with Python, and of random letters and suffixes.
json_schema.jsonl: schemas and texts with the verdict they deserve, by hand and, for the random ones, by the package
jsonschema. It must agree with the ones by hand, too.

  pip install rouge-score==0.1.2 nltk==3.10.4 sacrebleu==2.6.0 jsonschema==4.26.0
  python scripts/oracles/text_rewards.py [FOLDER [CASES]]
"""

import json
import random
import re
import string
import sys
from collections import Counter
from pathlib import Path

from jsonschema import Draft202012Validator
from nltk.stem.porter import PorterStemmer
from pydoc_data import topics
from rouge_score.rouge_scorer import RougeScorer
from sacrebleu import sentence_bleu, sentence_chrf

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "reward" / "golden"
TYPES = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
SCORERS = [RougeScorer(TYPES, use_stemmer=stem) for stem in (False, True)]


# The functions of SQuAD's evaluate-v1.1.py.
def normalize_answer(s):
    s = "".join(ch for ch in s.lower() if ch not in set(string.punctuation))
    return " ".join(re.sub(r"\b(a|an|the)\b", " ", s).split())


def f1_score(prediction, ground_truth):
    prediction_tokens, ground_truth_tokens = normalize_answer(prediction).split(), normalize_answer(ground_truth).split()
    num_same = sum((Counter(prediction_tokens) & Counter(ground_truth_tokens)).values())
    if num_same == 0:
        return 0
    precision, recall = num_same / len(prediction_tokens), num_same / len(ground_truth_tokens)
    return (2 * precision * recall) / (precision + recall)


def exact_match_score(prediction, ground_truth):
    return normalize_answer(prediction) == normalize_answer(ground_truth)


def rounded(x):
    return float(f"{x:.12g}")


def scores(completion, references):
    rouge = {}
    for kind in TYPES:
        found = [scorer.score_multi(references, completion)[kind] for scorer in SCORERS]
        rouge[kind] = [[rounded(s.precision), rounded(s.recall), rounded(s.fmeasure)] for s in found]
    return {"completion": completion, "references": references, "rouge": rouge,
            "bleu": [rounded(sentence_bleu(completion, references, lowercase=low).score / 100) for low in (False, True)],
            "chrf": rounded(sentence_chrf(completion, references).score / 100),
            "f1": rounded(max(f1_score(completion, r) for r in references)),
            "exact_match": float(max(exact_match_score(completion, r) for r in references))}


HAND = [
    ("", [""]), ("", ["x"]), ("x", [""]), (" \n", ["\t"]), ("...", ["..."]), ("!?", [".,"]), ("the", ["a an the"]), ("the", ["x"]),
    ("The cat sat on the mat.", ["The cat sat on the mat."]), ("The cat sat on the mat.", ["the cat SAT on the mat"]),
    ("the the the the the the the", ["The cat is on the mat.", "There is a cat on the mat."]), ("cat", ["cat"]),
    ("It is a guide to action which ensures that the military always obeys the commands of the party.",
     ["It is a guide to action that ensures that the military will forever heed Party commands.",
      "It is the guiding principle which guarantees the military forces always being under the command of the Party.",
      "It is the practical guide for the army always to heed the directions of the party."]),
    ("police kill the gunman", ["police killed the gunman"]), ("the gunman kill police", ["police killed the gunman"]),
    ("w1 w2 w6 w7 w8\nw1 w3 w8 w9 w5", ["w1 w2 w3 w4 w5"]), ("w1 w1\nw1", ["w1 w2 w1\nw1 w1"]), ("a b\n\n\nc", ["\na c\nb\n"]),
    ("1,000.50 and 3.", ["1,000.50 and 3 ."]), ("5-3=2, -4", ["5 - 3 = 2 , -4"]), ("e.g..,, U.S.A.", ["e.g. U.S.A"]),
    ("&lt;b&gt; &amp;amp; &quot;x&quot;", ["<b> & \"x\"", "&lt;b>"]), ("a<skipped>b well-\nknown", ["ab wellknown"]),
    ("ΟΔΥΣΣΕΥΣ, ΣΑΣ Σ", ["οδυσσευς σας σ"]), ("ΑΣ'Α ΑΣ' ΑΣ\u0301 'Σ ⅣΣ ʰΣ", ["ας'α ας' ας\u0301 'σ ⅳς ʰσ"]),
    ("İSTANBUL İ \u212a 20 \u212ag", ["istanbul i\u0307 k 20 kg"]), ("a\u0301 the\u200d th\u00e9 “the” an’", ["á", "\u0301 \u200d thé “ ” ’"]),
    ("中文 的 字,。中", ["中文 的 字"]), ("\u00a0x\u2003y\x1cz\u3000\x85", ["x y z"]), ("x\u200by", ["x y"]), ("👍 yes_no a_n", ["👍 yesno an"]),
    ("Running runners ran easily; the flies were dying", ["run runner ran easy fly was die"]),
    ("word " * 150, ["word " * 100]), ("a b c d " * 40, ["d c b a " * 45, "b c " * 70]), ("x", ["y", "z"]), ("naïve café", ["naive cafe"]),
]
WORDS = ("the a an The cat cats dog running runs quickly nation national of in is was 3 3.5 1,000 $5 50% U.S. e.g. don't well-known 2-3 "
         "İzmir Straße naïve ΟΔΟΣ 中文 é e\u0301 👍 (x) [y] \"so\" &amp; &lt; x_y ... , . ! ? - / \\ ’ “").split()
GAPS = [" "] * 12 + ["", "\n", "\n\n", "\t", "\u00a0", "\x1c", "-\n", "<skipped>", "  "]


def random_text(rng, words, length):
    return "".join(rng.choice(words) + rng.choice(GAPS) for _ in range(length))


def changed(rng, text, words):
    parts = re.split(r"( )", text)
    for _ in range(rng.randint(0, 6)):
        at = rng.randrange(len(parts))
        parts[at:at + rng.randint(0, 3)] = rng.choice([[], [rng.choice(words)], [parts[at].upper()], [" "], ["\n"], parts[at:at + 2] * 2])
        parts = parts or [""]
    return "".join(parts)


def texts(rng, cases):
    out = [scores(*pair) for pair in HAND]
    for i in range(cases):
        words = rng.sample(WORDS, rng.randint(2, len(WORDS)))
        length = rng.choice([0, 1, 2, 3, 5, 8, 12, 20, 30]) if i % 20 else rng.randint(64, 140)
        references = [random_text(rng, words, length) for _ in range(rng.choice([1, 1, 1, 2, 3]))]
        completion = changed(rng, rng.choice(references), words) if rng.random() < 0.7 else random_text(rng, words, length)
        out.append(scores(completion, references))
    return out


SUFFIXES = ("ational tional enci anci izer bli abli alli entli eli ousli ization ation ator alism iveness fulness ousness aliti iviti biliti fulli "
            "logi icate ative alize iciti ical ful ness al ance ence er ic able ible ant ement ment ent ion sion tion ou ism ate iti ous ive ize "
            "e ll s es ies sses ss ed ing eed ied y ly at bl iz 2 0").split()
PORTER = ("caresses ponies ties caress cats feed agreed plastered bled motoring sing conflated troubled sized hopping tanned falling hissing fizzed "
          "failing filing happy sky enjoy spy die dies died dying skies news innings howe proceed exceed succeed relational geology theology "
          "yyyyy ying yed bying sayyed oed ied ing ed unconditionally relationally nationally finally wally").split()


def stems(rng, cases):
    english = sorted(set(re.findall(r"[a-z0-9]+", " ".join(topics.topics.values()).lower())))
    words = dict.fromkeys(PORTER + rng.sample(english, min(len(english), 3 * cases)))
    for _ in range(5 * cases):
        start = "".join(rng.choice("aeiouybcdlmnrstwxz" if rng.random() < 0.9 else string.ascii_lowercase + "0123456789") for _ in range(rng.randint(0, 5)))
        words[start + "".join(rng.choice(SUFFIXES) for _ in range(rng.randint(1, 3)))] = None
    stemmer = PorterStemmer()
    return [f"{w} {stemmer.stem(w)}" for w in words]


# schema: what fits, what does not; texts of JSON.
TREE = {"$ref": "#/$defs/tree", "$defs": {"tree": {"type": "object", "required": ["value"], "additionalProperties": False, "properties": {
    "value": {"type": "integer"}, "children": {"type": "array", "items": {"$ref": "#/$defs/tree"}}}}}}
SCHEMAS = [
    ({}, "1 null [] {}", ""), (True, "1 {}", ""), (False, "", "1 null {}"),
    ({"type": "integer"}, "1 -1 1.0 1e2 18446744073709551615 -0 1e300", "1.5 true \"1\" null [] {}"),
    ({"type": "number"}, "1 1.5 1e-7", "true \"1\" null"), ({"type": ["string", "null"]}, '"" null', "0 false [] {}"),
    ({"type": "boolean"}, "true false", "0 1 null"), ({"type": "array"}, "[] [1]", "{} null"), ({"type": "object"}, '{} {"a":1}', "[] null"),
    ({"enum": [1, "a", None, {"a": [1, True], "b": 2}]}, '1 1.0 "a" null {"b":2,"a":[1.0,true]}', 'true "b" 0 {"a":[1,1],"b":2} {"a":[1,true]}'),
    ({"enum": []}, "", "1 null"), ({"const": 0}, "0 0.0 -0", "false null \"0\""), ({"const": False}, "false", "0 null"), ({"const": None}, "null", "0 false"),
    ({"const": {"a": 1, "b": [2]}}, '{"b":[2],"a":1}', '{"a":1} {"a":1,"b":[2],"c":0}'),
    ({"properties": {"a": {"type": "integer"}, "b": False}}, '{} {"a":1} {"c":0} [] 5', '{"a":"x"} {"b":1}'),
    ({"required": ["a", "b"]}, '{"a":1,"b":null} [] "a"', '{} {"a":1}'), ({"required": []}, "{}", ""),
    ({"properties": {"a": True}, "additionalProperties": False}, '{} {"a":1} []', '{"b":1} {"a":1,"b":1}'),
    ({"additionalProperties": {"type": "string"}}, '{} {"a":"x"}', '{"a":1}'), ({"minProperties": 1, "maxProperties": 2}, '{"a":1} []', '{} {"a":1,"b":2,"c":3}'),
    ({"properties": {"": {"const": 1}, "a/b~c": {"const": 2}, "é": {"const": 3}}}, '{"":1,"a/b~c":2,"é":3}', '{"":2} {"a/b~c":1} {"\\u00e9":1}'),
    ({"items": {"type": "integer"}}, "[] [1,2] {}", '[1,"a"]'), ({"items": False}, "[]", "[1]"),
    ({"prefixItems": [{"type": "integer"}, {"type": "string"}]}, '[] [1] [1,"a"] [1,"a",null]', '["a"] [1,2]'),
    ({"prefixItems": [{"type": "integer"}], "items": {"type": "string"}}, '[] [1] [1,"a","b"]', '[1,2] ["a"]'),
    ({"minItems": 1, "maxItems": 2.0}, "[1] [1,2] 7", "[] [1,2,3]"),
    ({"uniqueItems": True}, '[] [1,2] [1,true] [0,false] [[1],[true]] [{"a":1},{"a":2}] ["1",1] [1,2,"2",[2]]',
     '[1,1] [1,1.0] [[1],[1.0]] [{"a":1,"b":2},{"b":2,"a":1}] [null,null] [1,2,3,1]'), ({"uniqueItems": False}, "[1,1]", ""),
    ({"minLength": 2, "maxLength": 3}, '"ab" "abc" "éé" "👍👍" 5', '"" "a" "abcd" "👍"'), ({"maxLength": 0}, '""', '"a"'),
    ({"pattern": "^a+$"}, '"a" "aaa" 5 null', '"b" "ab" "" "b\\naaa" "aaa\\nb"'), ({"pattern": "a.c"}, '"xabcx"', '"ac" "a\\nc"'),
    ({"pattern": "^\\d{3}-[A-Z]{2}$"}, '"123-AB"', '"1234-AB" "123-ab"'), ({"pattern": ""}, '"" "x"', ""), ({"pattern": "é|👍"}, '"é" "x👍"', '"e"'),
    ({"minimum": 1, "maximum": 3}, '1 3 2.5 1.0 "x"', "0 0.999 4 3.001 -5"), ({"exclusiveMinimum": 1, "exclusiveMaximum": 3.5}, "2 3.4", "1 1.0 3.5 4"),
    ({"minimum": -0.5}, "0 -0.5", "-1"), ({"maximum": 18446744073709551615}, "18446744073709551615 -1", "1e20"),
    ({"multipleOf": 3}, '0 3 -6 9.0 "x"', "1 -4 9.5"), ({"multipleOf": 0.5}, "0 1 1.5 -2 1e308", "0.3 1.25"), ({"multipleOf": 0.01}, "4 0.02", "0.07 0.075"),
    ({"multipleOf": 0.1}, "0.1 0.2", "0.3"), ({"multipleOf": 1e-8}, "12391239123", "1.5e-9"), ({"type": "integer", "multipleOf": 0.123456789}, "0", "1e308"),
    ({"multipleOf": 2}, "9007199254740994", "9007199254740993"),
    ({"allOf": [{"type": "integer"}, {"minimum": 2}]}, "2 3", "1 2.5"), ({"anyOf": [{"type": "string"}, {"minimum": 2}]}, '"a" 2 null', "1"),
    ({"oneOf": [{"type": "integer"}, {"minimum": 2}]}, "1 2.5", "3 1.5"), ({"not": {"type": "integer"}}, '1.5 "a"', "1"), ({"not": {}}, "", "1 null"),
    ({"not": {"not": {"type": "string"}}}, '"a"', "1"), ({"oneOf": [True, True]}, "", "1"), ({"anyOf": [False, False]}, "", "1"),
    (TREE, '{"value":1} {"value":1,"children":[{"value":2,"children":[]}]}', '{} {"value":1,"children":[{"value":"x"}]} {"value":1,"x":2}'),
    ({"$ref": "#/$defs/a~1b%25", "$defs": {"a/b%": {"type": "integer"}}}, "1", '"a"'),
    ({"properties": {"a": {"type": "integer"}, "b": {"$ref": "#/properties/a"}}}, '{"a":1,"b":2}', '{"b":"x"}'),
    ({"$ref": "#/$defs/n", "maximum": 5, "$defs": {"n": {"type": "integer"}}}, "5", "6 1.5"),
    ({"anyOf": [{"type": "null"}, {"type": "array", "items": {"$ref": "#"}}]}, "null [] [null,[null]]", "1 [1] [[[1]]]"),
    ({"prefixItems": [True, {"type": "null"}], "properties": {"a": {"$ref": "#/prefixItems/1"}}}, '{"a":null}', '{"a":1}'),
    ({"title": "t", "description": "d", "$comment": "c", "default": 1, "examples": [1], "deprecated": True, "readOnly": True, "writeOnly": False,
      "$schema": "https://json-schema.org/draft/2020-12/schema", "type": "string"}, '"a"', "1"),
]


def random_schema(rng, depth):
    if depth == 0 or rng.random() < 0.15:
        return rng.choice([True, False, {"type": "integer"}, {"type": "string"}, {"type": ["null", "number"]}, {"$ref": "#/$defs/d"}, {"const": 1}])
    sub = lambda: random_schema(rng, depth - 1)
    names = lambda: rng.sample("abc", rng.randint(0, 3))
    every = {
        "type": lambda: rng.sample(["null", "boolean", "object", "array", "number", "string", "integer"], rng.randint(1, 5)),
        "enum": lambda: [random_value(rng, 2) for _ in range(rng.randint(1, 5))], "properties": lambda: {n: sub() for n in names()}, "required": names,
        "additionalProperties": sub, "items": sub, "prefixItems": lambda: [sub() for _ in range(rng.randint(1, 2))],
        "minItems": lambda: rng.randint(0, 2), "maxItems": lambda: rng.randint(1, 3), "uniqueItems": lambda: True,
        "minLength": lambda: rng.randint(0, 2), "maxLength": lambda: rng.randint(0, 3), "pattern": lambda: rng.choice(["^a", "b$", "[^ab]", "a.?b", "^$"]),
        "minimum": lambda: rng.choice([-1, 0, 0.5, 1]), "exclusiveMaximum": lambda: rng.choice([1, 2, 2.5]),
        "multipleOf": lambda: rng.choice([1, 2, 0.5]), "allOf": lambda: [sub(), sub()], "anyOf": lambda: [sub(), sub()], "oneOf": lambda: [sub(), sub()],
        "not": sub, "minProperties": lambda: rng.randint(0, 1), "maxProperties": lambda: rng.randint(1, 3)}
    return {key: every[key]() for key in rng.sample(sorted(every), rng.randint(1, 4))}


def random_value(rng, depth):
    kind = rng.random()
    if depth and kind < 0.3:
        return [random_value(rng, depth - 1) for _ in range(rng.randint(0, 3))]
    if depth and kind < 0.6:
        return {n: random_value(rng, depth - 1) for n in rng.sample("abcd", rng.randint(0, 3))}
    return rng.choice([None, True, False, 0, 1, 2, -1, 0.5, 1.0, 2.5, 3, "", "a", "b", "ab", "ba", "c\nb", "éé"])


def json_schemas(rng, cases):
    out = []
    for schema, yes, no in SCHEMAS:
        checker, rows = Draft202012Validator(schema), []
        for text, fits in [(t, True) for t in yes.split()] + [(t, False) for t in no.split()]:
            assert checker.is_valid(json.loads(text)) == fits, (schema, text)
            rows.append([text, fits])
        out.append({"schema": schema, "texts": rows})
    told = Counter()
    while len(out) < len(SCHEMAS) + cases:
        schema = random_schema(rng, 3)
        if isinstance(schema, bool):
            continue
        schema["$defs"] = {"d": random_schema(rng, 1) if rng.random() < 0.5 else {"items": {"$ref": "#"}}}
        if '{"$ref": "#/$defs/d"}' in json.dumps(schema["$defs"]):
            continue
        checker = Draft202012Validator(schema)
        values = [random_value(rng, 3) for _ in range(12)]
        rows = [[json.dumps(v), checker.is_valid(v)] for v in values]
        if len({fits for _, fits in rows}) < 2:
            continue
        told.update(fits for _, fits in rows)
        out.append({"schema": schema, "texts": rows})
    print(dict(told))
    return out


def write(path, lines):
    path.write_text("".join(line + "\n" for line in lines))


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else GOLDEN
    cases = int(sys.argv[2]) if len(sys.argv) > 2 else 300
    rng = random.Random(1)
    write(folder / "texts.jsonl", [json.dumps(x, separators=(",", ":")) for x in texts(rng, cases)])
    write(folder / "stems.txt", stems(rng, cases))
    write(folder / "json_schema.jsonl", [json.dumps(x, separators=(",", ":")) for x in json_schemas(rng, cases // 2)])


if __name__ == "__main__":
    main()
