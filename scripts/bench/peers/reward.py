"""The reward of the GRPO rows: a number in [0, 1] from the completion's hash, so that every group differs.

As a program it answers Temper's process reward: JSON lines in, JSON lines out.
"""
import hashlib
import json
import sys


def score(completion):
    return hashlib.md5(completion.encode()).digest()[0] / 255


if __name__ == "__main__":
    for line in sys.stdin:
        item = json.loads(line)
        print(json.dumps({"id": item["id"], "score": score(item["completion"])}), flush=True)
