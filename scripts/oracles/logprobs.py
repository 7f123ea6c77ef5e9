"""Log-probs of a Hugging Face folder by temper-inspect beside transformers, fp32, on real text; the tokenizers are compared too.

logprobs.py FOLDER TEXT.jsonl [--adapter DIR] [--lines 50] [--inspect build/bin/temper-inspect]
Each line's string columns, joined by line ends, are one text (GSM8K: question and answer). transformers runs in fp64 and in fp32: a
trained model of 30 layers rounds single log-probs by up to 1e-4 in anybody's fp32, so Temper's error against fp64 may be 2e-5, or
twice that of transformers' own fp32. With --adapter, PEFT loads the adapter on the transformers side.
"""
import argparse
import json
import subprocess
import sys
import tempfile

import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

TOLERANCE = 2e-5


def inspect(program, *arguments):
    done = subprocess.run([program, *arguments], capture_output=True, text=True)
    if done.returncode != 0:
        sys.exit(f"{program}: {done.stderr}")
    return [json.loads(line) for line in done.stdout.splitlines()]


def jsonl(rows):
    file = tempfile.NamedTemporaryFile("w", suffix=".jsonl")
    file.write("".join(json.dumps(row) + "\n" for row in rows))
    file.flush()
    return file


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("folder")
    p.add_argument("text")
    p.add_argument("--adapter")
    p.add_argument("--lines", type=int, default=50)
    p.add_argument("--inspect", default="build/bin/temper-inspect")
    args = p.parse_args()
    texts = []
    for _, line in zip(range(args.lines), open(args.text, encoding="utf-8")):
        texts.append("\n".join(v for v in json.loads(line).values() if isinstance(v, str)))

    with jsonl([{"text": t} for t in texts]) as file:
        ours = [row["ids"] for row in inspect(args.inspect, "tokenize", "--model", args.folder, "--input", file.name)]
    tokenizer = AutoTokenizer.from_pretrained(args.folder)
    theirs = [tokenizer(t, add_special_tokens=False).input_ids for t in texts]
    different = sum(a != b for a, b in zip(ours, theirs))
    print(f"{len(texts)} texts, {sum(map(len, theirs))} tokens; ids differ in {different}")

    adapter = ["--adapter", args.adapter] if args.adapter else []
    with jsonl([{"ids": ids} for ids in theirs]) as file:
        logprobs = [row["logprobs"] for row in
                    inspect(args.inspect, "logprob", "--model", args.folder, "--dtype", "f32", "--input", file.name, *adapter)]
    exact = peer(args, theirs, torch.float64)
    for what, mean in (("largest", False), ("mean", True)):
        temper, transformers = (error(values, exact, mean) for values in (logprobs, peer(args, theirs, torch.float32)))
        print(f"{what} error of a log-prob against fp64: temper {temper:.1e}, transformers {transformers:.1e}")
        different += temper > max(TOLERANCE, 2 * transformers)
    sys.exit(1 if different else 0)


def peer(args, rows, dtype):
    """Log-probs of each row by transformers in dtype."""
    model = AutoModelForCausalLM.from_pretrained(args.folder, dtype=dtype)
    if args.adapter:
        from peft import PeftModel
        model = PeftModel.from_pretrained(model, args.adapter).to(dtype)
    model.eval()
    out = []
    with torch.no_grad():
        for ids in rows:
            row = torch.tensor([ids])
            logp = model(row).logits[0, :-1].to(dtype).log_softmax(-1)
            out.append(logp.gather(1, row[0, 1:, None])[:, 0].tolist())
    return out


def error(values, exact, mean):
    differences = [abs(a - b) for row, right in zip(values, exact) for a, b in zip(row, right)]
    return sum(differences) / len(differences) if mean else max(differences)


if __name__ == "__main__":
    main()
