#!/usr/bin/env python3
"""A reward of the kind "process" that says what an answer should have come to: feedback for configs/rounds/ilf.json, in the place of
a person's. One JSON object a line on stdin and stdout; needs nothing but Python 3.8 or later.

  {"id": 1, "completion": "3 + 4 = 8\\n#### 8", "answer": "7", ...} -> {"id": 1, "score": 0, "text": "it should come to 7."}
"""
import json
import re
import sys

for line in sys.stdin:
    item = json.loads(line)
    numbers = re.findall(r"-?\d+", item["completion"])
    right = bool(numbers) and numbers[-1] == str(item["answer"])
    text = "it is right." if right else f"it should come to {item['answer']}."
    print(json.dumps({"id": item["id"], "score": int(right), "text": text}), flush=True)
