#!/usr/bin/env python3
"""Gives each question of a JSONL file a hint that the model writes itself, as NuRL does (arXiv 2509.25666): the model reads question and
answer and explains the answer, then it reads the explanation and writes what one has to know, without giving anything away. The wording
of the two requests is this script's own. Runs of task rl read the column by "hint": {"column": "hint"}.

A hint that has the answer in it is left out (null), and how many are is told. The requests have the form of the record's prompt, a string
or chat messages; with --chat all are chat messages. Of an answer that ends in "#### 72", as GSM8K's do, that number is the answer. Needs
Python 3.8 or later and temper-generate.

  python3 scripts/data/hints.py --model models/smollm2 --data data/gsm8k/train.jsonl --prompt question --chat --out data/gsm8k/hinted.jsonl
"""
import argparse
import json
import os
import re
import subprocess
import sys
import tempfile

EXPLAIN = "{question}\n\nThe right answer is {answer}. Explain step by step why."
HINT = ("{question}\n\nA solution:\n{explanation}\n\nWrite a hint of one or two sentences for somebody who is stuck on this question: name the "
        "idea or the knowledge that the solution rests on. Do not say the answer, and no step or number that leads to it.")


def question_of(prompt):
    return prompt.strip() if isinstance(prompt, str) else [m["content"] for m in prompt if m["role"] == "user"][-1].strip()


def request(prompt, chat, text):
    return {"prompt": [{"role": "user", "content": text}] if chat or not isinstance(prompt, str) else text + "\n"}


def written(args, requests, tokens):
    """What the model writes to each of the requests."""
    with tempfile.TemporaryDirectory() as folder:
        asked, answered = os.path.join(folder, "asked.jsonl"), os.path.join(folder, "answered.jsonl")
        with open(asked, "w") as out:
            out.writelines(json.dumps(r) + "\n" for r in requests)
        command = [args.generate, "--model", args.model, "--input", asked, "--output", answered, "--max-new-tokens", str(tokens),
                   "--temperature", str(args.temperature), "--seed", str(args.seed), "--overlong", "truncate"]
        if subprocess.run(command).returncode != 0:
            sys.exit(f"{args.generate} failed")
        with open(answered) as lines:
            return [json.loads(line)["completions"][0]["text"].strip() for line in lines]


def gives_away(hint, answer):
    """The answer stands in it, not as a part of another word or number."""
    return re.search(r"(?<![\w.])" + re.escape(answer) + r"(?![\w]|\.\w)", hint, re.IGNORECASE) is not None


def main():
    options = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    options.add_argument("--model", required=True)
    options.add_argument("--data", required=True, help="JSONL with questions and answers")
    options.add_argument("--out", required=True)
    options.add_argument("--prompt", default="prompt", help="the column with the question")
    options.add_argument("--chat", action="store_true", help="ask in chat messages")
    options.add_argument("--answer", default="answer", help="the column with the right answer")
    options.add_argument("--column", default="hint", help="the column that is written")
    options.add_argument("--explanation-tokens", type=int, default=512)
    options.add_argument("--hint-tokens", type=int, default=96)
    options.add_argument("--temperature", type=float, default=0.7)
    options.add_argument("--seed", type=int, default=1)
    options.add_argument("--generate", default="build/bin/temper-generate")
    args = options.parse_args()

    with open(args.data) as lines:
        records = [json.loads(line) for line in lines if line.strip()]
    for number, record in enumerate(records, 1):
        for column in (args.prompt, args.answer):
            if record.get(column) is None:
                sys.exit(f"{args.data}:{number}: expected \"{column}\", found {', '.join(record)}")
    prompts = [r[args.prompt] for r in records]
    answers = [str(r[args.answer]).split("####")[-1].strip() for r in records]
    explanations = written(args, [request(p, args.chat, EXPLAIN.format(question=question_of(p), answer=a)) for p, a in zip(prompts, answers)],
                           args.explanation_tokens)
    hints = written(args, [request(p, args.chat, HINT.format(question=question_of(p), explanation=e)) for p, e in zip(prompts, explanations)],
                    args.hint_tokens)
    told = 0
    with open(args.out, "w") as out:
        for record, answer, hint in zip(records, answers, hints):
            usable = hint != "" and not gives_away(hint, answer)
            told += usable
            out.write(json.dumps({**record, args.column: hint if usable else None}, ensure_ascii=False) + "\n")
    print(f"{told} of {len(records)} questions have a hint; the others' gave the answer away or said nothing")


if __name__ == "__main__":
    main()
