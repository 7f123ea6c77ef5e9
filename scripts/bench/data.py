"""Large data: peak memory and time to the first step of temper-train on JSONL chats, first and second start, beside
Hugging Face datasets (load_dataset, then a map with the same tokenizer and template, to the first example).

    scripts/bench/data.py --work /tmp/data-bench --peer-python VENV/bin/python

The chats are made of a seeded vocabulary; the tokenizer is a byte-level BPE of 8,192 tokens that the peer's `tokenizers` trains on the
first 20 MB; the model is a toy. Memory is the largest resident set of the process, for the peer the sum over it and its workers. The row
"tiny" is the same run on 200 chats: what program, model and step take. Files made are kept in --work; caches are emptied before each first start.
"""

import argparse
import json
import os
import pathlib
import random
import shutil
import signal
import subprocess
import sys
import threading
import time

HERE = pathlib.Path(__file__).resolve().parents[2]
CHATML = (
    "{% for m in messages %}{{ '<|im_start|>' + m['role'] + '\n' }}{% generation %}{{ m['content'] }}{% endgeneration %}"
    "{{ '<|im_end|>\n' }}{% endfor %}{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
).replace("{% generation %}", "").replace("{% endgeneration %}", "")

TOKENIZER = """
import itertools, json, sys
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
file, folder, template = sys.argv[1:]
tokenizer = Tokenizer(models.BPE())
tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
tokenizer.decoder = decoders.ByteLevel()
trainer = trainers.BpeTrainer(vocab_size=8192, special_tokens=["<|im_start|>", "<|im_end|>"], show_progress=False,
                              initial_alphabet=pre_tokenizers.ByteLevel.alphabet())
texts = (m["content"] for line in itertools.islice(open(file), 20000) for m in json.loads(line)["messages"])
tokenizer.train_from_iterator(texts, trainer)
tokenizer.save(folder + "/tokenizer.json")
json.dump({"tokenizer_class": "PreTrainedTokenizerFast", "eos_token": "<|im_end|>", "chat_template": template}, open(folder + "/tokenizer_config.json", "w"))
"""

PEER = """
import os, sys, time
os.environ["HF_HUB_OFFLINE"] = "1"
file, folder, cache, workers = sys.argv[1:]
import datasets
from transformers import AutoTokenizer
datasets.disable_progress_bars()
tokenizer = AutoTokenizer.from_pretrained(folder)
def encode(batch):
    return {"input_ids": [tokenizer.apply_chat_template(m, tokenize=True, return_dict=False) for m in batch["messages"]]}
data = datasets.load_dataset("json", data_files=file, split="train", cache_dir=cache)
data = data.map(encode, batched=True, num_proc=int(workers), remove_columns=data.column_names)
print(len(data), len(data[len(data) // 2]["input_ids"]))
"""


def make_chats(path, megabytes):
    if path.exists() and path.stat().st_size >= megabytes * 1e6:
        return
    rng = random.Random(1)
    letters = "etaoinshrdlucmfwypvbgkjqxz"
    words = ["".join(rng.choices(letters, weights=range(26, 0, -1), k=rng.randint(1, 9))) for _ in range(30000)]
    weights = [1 / (i + 5) for i in range(len(words))]
    text = " ".join(rng.choices(words, weights=weights, k=1 << 20))
    written = 0
    with open(str(path) + ".tmp", "w") as out:
        while written < megabytes * 1e6:
            messages = []
            for _ in range(rng.choice((1, 1, 2))):
                for role, length in (("user", rng.randint(40, 150)), ("assistant", rng.randint(100, 700))):
                    at = rng.randrange(len(text) - length)
                    messages.append(f'{{"role": "{role}", "content": "{text[at:at + length]}."}}')
            written += out.write('{"messages": [' + ", ".join(messages) + "]}\n")
    os.rename(str(path) + ".tmp", path)


def resident(pid):
    """Bytes of a process and all below it."""
    total, todo = 0, [pid]
    while todo:
        at = todo.pop()
        try:
            total += int(open(f"/proc/{at}/statm").read().split()[1]) * os.sysconf("SC_PAGESIZE")
            for task in os.listdir(f"/proc/{at}/task"):
                todo += [int(child) for child in open(f"/proc/{at}/task/{task}/children").read().split()]
        except (OSError, IndexError):
            pass
    return total


def measured(command, until=None, log=None):
    """Seconds until the process ends, or `until()` holds, and its largest resident set in bytes."""
    start = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=open(log, "w"))
    peak, reached, over = 0, None, threading.Event()
    while process.poll() is None:
        peak = max(peak, resident(process.pid))
        if reached is None and until is not None and until():
            reached = time.monotonic() - start
        over.wait(0.02)
    if process.returncode != 0:
        sys.exit(f"{command[0]} failed: {open(log).read()[-2000:]}")
    return reached if reached is not None else time.monotonic() - start, peak


def temper(work, name, data, more=()):
    run, config = work / "run", work / "config.json"
    shutil.rmtree(run, ignore_errors=True)
    config.write_text(json.dumps({
        "task": "sft",
        "model": {"dtype": "f32", "init": {"tokenizer": str(work / "tokenizer"), "hidden": 64, "intermediate": 128, "layers": 2, "heads": 2, "kv_heads": 1, "max_positions": 1024}},
        "data": {"train": [str(data)], "max_tokens": 1024, "cache": str(work / "cache")},
        "optimizer": {"name": "adamw", "lr": 1e-3}, "train": {"steps": 3, "batch_size": 8}, "checkpoint": {"every": 0}, "run": str(run)}))
    rows = run / "metrics.jsonl"
    return measured([str(HERE / "build/bin/temper-train"), str(config), *more],
                    lambda: rows.exists() and rows.stat().st_size > 0, work / f"{name}.log")


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--work", type=pathlib.Path, required=True)
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--megabytes", type=int, nargs="*", default=[25, 250, 2000])
    parser.add_argument("--peer-megabytes", type=int, nargs="*", help="sizes that the peer is measured on; left out: all")
    parser.add_argument("--in-memory", type=int, nargs="*", default=[25], help="sizes that are also measured with all data in memory")
    args = parser.parse_args()
    work = args.work
    (work / "tokenizer").mkdir(parents=True, exist_ok=True)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    make_chats(work / "chats-25.jsonl", 25)
    if not (work / "tokenizer/tokenizer.json").exists():
        subprocess.run([args.peer_python, "-c", TOKENIZER, str(work / "chats-25.jsonl"), str(work / "tokenizer"), CHATML], check=True)
    print("| data | who | first start, s | peak MB | second start, s | peak MB |\n|---|---|---|---|---|---|")

    def row(size, who, first, second):
        numbers = [f"{first[0]:.1f}", f"{first[1] / 1e6:.0f}"] + ([f"{second[0]:.1f}", f"{second[1] / 1e6:.0f}"] if second else ["", ""])
        print(f"| {size} | {who} | " + " | ".join(numbers) + " |", flush=True)

    with open(work / "chats-25.jsonl") as all_chats, open(work / "tiny.jsonl", "w") as out:
        out.writelines(line for line, _ in zip(all_chats, range(200)))
    row("tiny", "Temper", temper(work, "tiny", work / "tiny.jsonl"), None)
    for megabytes in args.megabytes:
        data = work / f"chats-{megabytes}.jsonl"
        make_chats(data, megabytes)
        if megabytes in args.in_memory:
            row(f"{megabytes} MB", "Temper, in memory", temper(work, "memory", data, ["--set", "data.cache_from_mb=1000000"]), None)
        shutil.rmtree(work / "cache", ignore_errors=True)
        row(f"{megabytes} MB", "Temper", temper(work, "first", data), temper(work, "second", data))
        shutil.rmtree(work / "cache", ignore_errors=True)
        if args.peer_megabytes is not None and megabytes not in args.peer_megabytes:
            continue
        shutil.rmtree(work / "peer-cache", ignore_errors=True)
        command = [args.peer_python, "-c", PEER, str(data), str(work / "tokenizer"), str(work / "peer-cache"), str(os.cpu_count())]
        row(f"{megabytes} MB", "datasets", measured(command, log=work / "peer.log"), measured(command, log=work / "peer.log"))
        shutil.rmtree(work / "peer-cache", ignore_errors=True)


if __name__ == "__main__":
    main()
