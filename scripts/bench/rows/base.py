"""What a row is, and what its sides share: programs, models, data, the machine."""
import dataclasses
import json
import os
import platform
import random
import re
import statistics
import subprocess
import sys
from pathlib import Path
from typing import Callable

import gpu
from measuring import HERE, ROOT, Failed, measured

PEERS = HERE / "peers"


@dataclasses.dataclass
class Row:
    """sides: what measures each, {"value": number, "peak": bytes, ...}; the first is Temper's own, the others are beside it. more:
    a larger value is better. target: so many times as good as the best other side; target_memory: its share of the peer's."""
    name: str
    what: str
    unit: str
    sides: dict[str, Callable]
    more: bool = False
    target: float | None = None
    target_memory: float | None = None


@dataclasses.dataclass
class Sizes:
    prompts: int = 4  # of a GRPO step, of 8 completions of 64 tokens
    group: int = 8
    new: int = 64
    long_prompt: int = 512  # tokens of the one prompt of the long row, of 16 completions of 128
    long_group: int = 16
    long_new: int = 128
    chats: int = 16  # of an SFT step
    pairs: int = 8  # of a DPO step
    records: int = 8  # of a step on a quantised base
    batch: int = 32  # sequences decoded together
    prompt: int = 128
    short: int = 8  # new tokens of the two runs whose difference is decoding alone
    long: int = 136
    grown: int = 1000  # steps of the row of mixed shapes
    grown_every: int = 100


TOY = Sizes(prompts=2, group=2, new=4, long_prompt=24, long_group=3, long_new=6, chats=3, pairs=2, records=2, batch=3, prompt=8, short=2,
            long=402, grown=6, grown_every=3)  # fmt: skip


class Work:
    """One sitting: its options, and a folder for what the sides need."""

    def __init__(self, args, folder):
        self.args, self.folder = args, folder
        self.sizes = TOY if args.toy else Sizes()
        self.threads = args.threads or os.cpu_count()
        self.bin = args.bin.resolve()
        folder.mkdir(parents=True, exist_ok=True)
        self.gsm8k = self._questions() if args.toy else args.gsm8k
        self.model = self._model()

    def temper(self, program, *words):
        return measured([self.bin / program, *words], self.args.lock, {"OMP_NUM_THREADS": str(self.threads)}, cwd=self.folder)

    def peer(self, script, *words):
        """A peer's script, which prints a line of JSON a figure: those lines, and the process."""
        done = measured([self.args.peer_python, PEERS / script, *words], self.args.lock,
                        {"OMP_NUM_THREADS": str(self.threads)}, cwd=self.folder)  # fmt: skip
        return [json.loads(line) for line in done.stdout.splitlines() if re.match(r'\{"', line)], done

    def rates(self, cases, **env):
        """What tests/tensor/rates_test.cc measures: its lines of JSON, and the process."""
        program = self.bin / "tensor_test"
        if not program.exists():
            raise Failed(f"{program}: is not there, and measures this; ninja -C build tensor_test")
        done = measured([program, f"-tc={cases}", "--no-skip"], self.args.lock, {"OMP_NUM_THREADS": str(self.threads), **env})
        lines = [json.loads(line) for line in done.stdout.splitlines() if line.startswith("{")]
        if not lines:
            raise Failed(f"{program}: has no case {cases}; it is older than the sources: ninja -C build tensor_test")
        return lines, done

    def inspect(self, *words):
        return subprocess.run([str(self.bin / "temper-inspect"), *map(str, words)], check=True, capture_output=True, text=True).stdout

    def records(self, count):
        """So many of GSM8K's questions with their answers, in its order, from the start again where it ends."""
        rows = [json.loads(line) for line in open(self.gsm8k)]
        return [rows[i % len(rows)] for i in range(count)]

    def write(self, name, rows):
        path = self.folder / name
        path.write_text("".join(json.dumps(row) + "\n" for row in rows))
        return path

    def token_counts(self, texts):
        """Tokens of each text, without a template."""
        path = self.write("texts.jsonl", [{"text": text} for text in texts])
        return [len(json.loads(line)["ids"]) for line in self.inspect("tokenize", "--model", self.model, "--input", path).splitlines()]

    def _questions(self):
        rng, words = random.Random(0), "Mia has some pens and buys more of them for her friends in town".split()
        rows = [{"question": " ".join(rng.choices(words, k=6)), "answer": f"so many: {i}"} for i in range(8)]
        return self.write("questions.jsonl", rows)

    def _model(self):
        args = self.args
        if args.model:
            return args.model.resolve()
        if args.toy:
            folder = self.folder / "toy-model"
            if not folder.exists():
                gpu.write_model(folder, gpu.SHAPES["tiny"])
            return folder
        folder = args.cache / "bench/m135"
        if not (folder / "model.safetensors").exists():
            if args.peer_python is None:
                sys.exit(f"{folder}: there is no model yet; --peer-python, a Python with transformers, makes it, or give --model")
            folder.mkdir(parents=True, exist_ok=True)
            subprocess.run([str(args.peer_python), str(PEERS / "make_model.py"), str(self.gsm8k), str(folder)], check=True)
        return folder


def median(values):
    return statistics.median(list(values))


def steps_of(run):
    """The times of the steps of a run of temper-train but for its first, by name, and its rows."""
    rows = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    rows = [row for row in rows if row["split"] == "train"]
    kept = rows[1:] or rows
    names = sorted({name for row in kept for name in row["time"]})
    return {name: [row["time"].get(name, 0.0) for row in kept] for name in names}, rows


def phases_of(times):
    return {name.removeprefix("phase/"): median(values) for name, values in times.items() if name.startswith("phase/")}


def machine():
    """Where this is measured, in words and numbers."""
    told = subprocess.run(["lscpu"], capture_output=True, text=True).stdout
    of = {key.strip(): value.strip() for key, _, value in (line.partition(":") for line in told.splitlines())}
    flags = of.get("Flags", "").split()
    kept = [f for f in ("avx2", "avx512f", "avx512_bf16", "amx_bf16", "amx_int8") if f in flags]
    memory = int(re.search(r"MemTotal:\s+(\d+)", Path("/proc/meminfo").read_text()).group(1)) * 1024
    return {"cpu": of.get("Model name", platform.processor()), "cores": os.cpu_count(), "flags": kept, "memory_gb": round(memory / 2**30, 1)}


def commit():
    done = subprocess.run(["git", "-C", str(ROOT), "describe", "--always", "--dirty"], capture_output=True, text=True)
    return done.stdout.strip() or "unknown"
