"""Rows of Temper alone: beside a busy process, and its memory over many steps of mixed shapes."""
import shutil
import statistics

import memory_growth
import neighbour

from .base import Row


def quickstart(work, busy):
    """Tokens a second of configs/sft/quickstart.json."""
    folder = work.folder / "quickstart"
    shutil.rmtree(folder, ignore_errors=True)
    with neighbour.neighbour(busy):
        return {"value": neighbour.train(work.bin, folder, 6 if work.args.toy else 40, neighbour.environment("programs"))}


def decoding(work, busy):
    with neighbour.neighbour(busy):
        seconds = neighbour.decode(work.bin, work.model, neighbour.environment("programs"))
    return {"value": 32 * neighbour.DECODED / seconds}


def grown(work):
    """One run tells both: its peak at the end, and early on."""
    run = memory_growth.run(work.bin, work.folder, work.sizes.grown, work.threads)
    peaks = run["peaks"][work.sizes.grown_every - 1 :: work.sizes.grown_every]
    return {"value": peaks[-1], "peaks": peaks, "tokens_per_s": statistics.median(run["tokens_per_s"]),
            "beside": {f"first {work.sizes.grown_every}": peaks[0]}}  # fmt: skip


ROWS = [
    Row("neighbour-train", "SFT beside a busy process, and alone (configs/sft/quickstart.json), Temper alone", "tokens/s",
        {"Temper": lambda w: quickstart(w, True), "alone": lambda w: quickstart(w, False)}, more=True),
    Row("neighbour-decode", "decoding 32 answers beside a busy process, and alone, Temper alone", "tokens/s",
        {"Temper": lambda w: decoding(w, True), "alone": lambda w: decoding(w, False)}, more=True),
    Row("memory-growth", "peak memory after 1,000 steps of mixed shapes, and after 100, Temper alone", "GB", {"Temper": grown}),
]  # fmt: skip
