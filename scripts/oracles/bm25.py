#!/usr/bin/env python3
"""Golden tests/env/golden/bm25.json: scores of rank_bm25's BM25Okapi, for documents that hold a word of the query.

  python scripts/oracles/bm25.py tests/env/golden     # rank_bm25 0.2.2
"""
import json
import os
import random
import sys

from rank_bm25 import BM25Okapi


def main():
    rng, sets = random.Random(1), []
    words = [f"w{i}" for i in range(30)]
    weights = [1 / (i + 1) for i in range(30)]  # the first stand in more than half of the documents
    for k1, b, count in [(1.2, 0.75, 12), (1.2, 0.75, 40), (2.0, 0.0, 12), (0.5, 1.0, 12)]:
        documents = [rng.choices(words, weights, k=rng.randint(1, 25)) for _ in range(count)]
        index = BM25Okapi(documents, k1=k1, b=b)
        queries = [["w0"], ["w29", "w0"], ["w3", "w3", "w7"], ["none"], ["none", "w12"], rng.choices(words, k=6)]
        rows = []
        for query in queries:
            scores = index.get_scores(query)
            found = [(d, float(s)) for d, s in enumerate(scores) if set(query) & set(documents[d])]
            rows.append({"words": query, "found": sorted(found, key=lambda x: -x[1])})
        sets.append({"k1": k1, "b": b, "documents": documents, "queries": rows})
    with open(os.path.join(sys.argv[1], "bm25.json"), "w") as out:
        out.write("[\n" + ",\n".join(json.dumps(s) for s in sets) + "\n]\n")


if __name__ == "__main__":
    main()
