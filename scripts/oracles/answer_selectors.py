"""Goldens of the selectors, written to tests/eval/golden/selectors.jsonl: candidates at random, and which of them each
selector takes, in plain Python (float64) after the papers; utilities by sacrebleu and rouge_score. Ties go to the earliest.

  pip install rouge-score==0.1.2 sacrebleu==2.6.0
  python scripts/oracles/answer_selectors.py [FOLDER [CASES]]
"""

import json
import math
import random
import sys
from collections import Counter
from pathlib import Path

from rouge_score.rouge_scorer import RougeScorer
from sacrebleu import sentence_bleu, sentence_chrf

GOLDEN = Path(__file__).resolve().parents[2] / "tests" / "eval" / "golden"
ROUGE = RougeScorer(["rougeL"])
WORDS = "the a cat dog sat on mat ran far away 3 4 7".split()


def first_max(values):
    known = [v for v in values if v is not None]
    return None if not known else values.index(max(known))


def groups(candidates):
    out = {}
    for i, c in enumerate(candidates):
        if c["answer"] is not None:
            out.setdefault(c["answer"], []).append(i)
    return out


def majority(candidates):
    votes = Counter(c["answer"] for c in candidates if c["answer"] is not None)  # most_common keeps the order of ties
    return [] if not votes else [groups(candidates)[votes.most_common(1)[0][0]][0]]


def best_in(candidates, places):
    scores = [candidates[i]["score"] for i in places]
    at = first_max(scores)
    return places[0 if at is None else at]


def weighted(candidates, logistic=False, clusters=0):
    found = list(groups(candidates).values())
    if clusters:
        found = sorted(found, key=lambda m: -len(m))[:clusters]
    sums = []
    for members in found:
        scores = [candidates[i]["score"] for i in members if candidates[i]["score"] is not None]
        sums.append(sum(1 / (1 + math.exp(-s)) if logistic else s for s in scores) if scores else None)
    at = first_max(sums)
    return [] if at is None else [best_in(candidates, found[at])]


def best(candidates):
    at = first_max([c["score"] for c in candidates])
    return [] if at is None else [at]


def best_of_majority(candidates, share, submit):
    found = groups(candidates)
    if not found:
        return []
    total, most = sum(map(len, found.values())), max(map(len, found.values()))
    survivors = [m for m in found.values() if len(m) >= min(share * total, most)]
    ranked = [(candidates[best_in(candidates, m)]["score"], best_in(candidates, m)) for m in survivors]
    ranked = [r for r in ranked if r[0] is not None]
    return [place for _, place in sorted(ranked, key=lambda r: -r[0])[:submit]]


UTILITIES = {
    "rouge": lambda y, other: ROUGE.score(other, y)["rougeL"].fmeasure,
    "bleu": lambda y, other: sentence_bleu(y, [other]).score / 100,
    "chrf": lambda y, other: sentence_chrf(y, [other]).score / 100,
}


def mbr(candidates, utility, evidence=0):
    n = len(candidates)
    chosen_of = range(n - evidence)
    against = range(n - evidence if evidence else 0, n)
    texts = [c["text"] for c in candidates]
    if n == 1:
        return [0], 1.0
    means = []
    for i in chosen_of:
        values = [UTILITIES[utility](texts[i], texts[j]) for j in against if j != i]
        means.append(math.fsum(values) / len(values))
    order = sorted(means, reverse=True)
    return [means.index(order[0])], (order[0] - order[1] if len(order) > 1 else 1.0)


def case(rng):
    n = rng.choice([1, 2, 3, 4, 8, 12])
    answers = rng.sample("1 2 3 4 5".split(), rng.randint(1, 5))
    base = [rng.choice(WORDS) for _ in range(rng.randint(2, 9))]
    candidates = []
    for _ in range(n):
        words = [w for w in base if rng.random() < 0.8] + [rng.choice(WORDS) for _ in range(rng.randint(0, 3))]
        candidates.append({"text": " ".join(words), "answer": rng.choice(answers) if rng.random() < 0.85 else None,
                           "score": round(rng.gauss(0, 1), 2) if rng.random() < 0.9 else None})
    chosen = {"majority": majority(candidates), "weighted": weighted(candidates), "weighted_probability": weighted(candidates, logistic=True),
              "weighted_clusters": weighted(candidates, logistic=True, clusters=2), "best": best(candidates),
              "best_of_majority": best_of_majority(candidates, 0.25, 1), "best_of_majority_2": best_of_majority(candidates, 0.1, 2)}
    for utility in UTILITIES:
        # A difference below the rounding of a float64 sum would be decided by its order.
        at, lead = mbr(candidates, utility)
        if lead > 1e-9 or lead == 0:
            chosen["mbr_" + utility] = at
    if n > 3:
        at, lead = mbr(candidates, "rouge", evidence=2)
        if lead > 1e-9:
            chosen["mbr_evidence"] = at
    return {"candidates": candidates, "chosen": chosen}


def main():
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else GOLDEN
    cases = int(sys.argv[2]) if len(sys.argv) > 2 else 120
    rng = random.Random(5)
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / "selectors.jsonl", "w", encoding="utf-8") as f:
        for _ in range(cases):
            f.write(json.dumps(case(rng)) + "\n")


if __name__ == "__main__":
    main()
