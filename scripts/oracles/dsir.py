"""Golden tests/data/golden/dsir.json: importance weights of hashed n-grams as in DSIR (Xie et al., arXiv 2302.03169; code
p-lambda/dsir: HashedNgramDSIR with the tokenizer wordpunct), in plain Python.

  python3 scripts/oracles/dsir.py tests/data/golden
"""

import hashlib
import json
import math
import os
import re
import sys


def words(text):
    """NLTK's WordPunctTokenizer, which is this expression."""
    return re.findall(r"\w+|[^\w\s]+", text.lower())


def counts(text, buckets):
    out = [0] * buckets
    w = words(text)
    for gram in w + [" ".join(pair) for pair in zip(w, w[1:])]:
        out[int(hashlib.sha256(gram.encode("utf-8")).hexdigest(), 16) % buckets] += 1
    return out


def shares(texts, buckets):
    total = [sum(column) for column in zip(*(counts(text, buckets) for text in texts))]
    return [x / sum(total) for x in total]


def weights(raw, target, buckets):
    p, q = shares(target, buckets), shares(raw, buckets)
    diff = [math.log(a + 1e-8) - math.log(b + 1e-8) for a, b in zip(p, q)]
    return [math.fsum(c * d for c, d in zip(counts(text, buckets), diff)) for text in raw]


def main():
    texts = ["Mia has 3 pens, and buys 4.", "don't stop_me now... (really)?!", "Über-größe ÄB, naïve café",
             "x = 3.5e-2;\ty\u00a0= \u4f60\u597d\u3002ok", "", "   ", "A a. A"]
    raw = texts + ["Tom has 5 apples. He eats 2 apples.", "The quick brown fox.", "3 + 4 = 7"]
    target = ["Ann has 7 pens and 2 apples.", "How many apples are left? 5 - 2 = 3"]
    cases = [{"raw": raw, "target": target, "buckets": n, "weights": weights(raw, target, n)} for n in (10000, 97, 3)]
    golden = {"words": [{"text": text, "words": words(text)} for text in texts], "cases": cases}
    with open(os.path.join(sys.argv[1], "dsir.json"), "w") as out:
        out.write(json.dumps(golden, indent=1) + "\n")


if __name__ == "__main__":
    main()
