#!/usr/bin/env python3
"""Makes data/choices/test.jsonl: questions of data/arithmetic/test.jsonl with three choices, two of them near the right one.

  python scripts/data/choices.py
"""
import json
import random
from pathlib import Path

DATA = Path(__file__).resolve().parents[2] / "data"


def main():
    rng, lines = random.Random(1), []
    for line in (DATA / "arithmetic" / "test.jsonl").read_text().splitlines()[:60]:
        record = json.loads(line)
        right = int(record["answer"])
        wrong = rng.sample([n for n in range(max(right - 6, 0), right + 7) if n != right], 2)
        choices = [str(n) for n in rng.sample([right, *wrong], 3)]
        lines.append(json.dumps({"prompt": record["prompt"] + "#### ", "choices": choices, "answer": choices.index(str(right)),
                                 "level": "one digit" if right < 10 else "two digits"}))
    (DATA / "choices").mkdir(exist_ok=True)
    (DATA / "choices" / "test.jsonl").write_text("\n".join(lines) + "\n")


if __name__ == "__main__":
    main()
