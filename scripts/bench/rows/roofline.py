"""What the machine gives, and the share of it that each phase of a step takes: products and bytes by count of the model's shape, the
machine's rates by tests/tensor/rates_test.cc, the seconds by temper-train's own clock."""
import json
import sys
from pathlib import Path

from measuring import Failed

from .base import machine, median

DTYPES = {"bf16": ("bf16", 2), "fp32": ("f32", 4)}  # of a row's name: the products' dtype, bytes a weight


def measure_machine(folder, work):
    """Once a folder; without tensor_test the page has no shares."""
    path = folder / "machine.json"
    if path.exists():
        return
    try:
        lines, _ = work.rates("rates: products*,rates: memory*")
    except Failed as e:
        print(f"no rates of the machine: {e}", file=sys.stderr)
        return
    path.write_text(json.dumps({"machine": machine(), "threads": work.threads, "rates": lines}, indent=1) + "\n")


class Shape:
    """Counts of a llama's shape."""

    def __init__(self, folder):
        c = json.loads((Path(folder) / "config.json").read_text())
        self.hidden, self.layers, self.vocab = c["hidden_size"], c["num_hidden_layers"], c["vocab_size"]
        self.heads, self.kv = c["num_attention_heads"], c.get("num_key_value_heads", c["num_attention_heads"])
        self.size = c.get("head_dim") or self.hidden // self.heads
        attention = self.hidden * self.size * (2 * self.heads + 2 * self.kv)
        self.body = self.layers * (attention + 3 * self.hidden * c["intermediate_size"])  # weights of linears
        self.head = self.hidden * self.vocab

    def body_flops(self, tokens, length):
        """Of a forward pass; length: tokens of a sequence, of which a token sees half."""
        return tokens * (2 * self.body + 4 * self.layers * self.heads * self.size * length / 2)

    def head_flops(self, targets):
        return 2 * targets * self.head

    def cache_bytes(self, tokens, width):
        return 2 * self.layers * self.kv * self.size * tokens * width


def rate(rates, dtype, rows):
    """FLOP/s of products with about so many rows."""
    found = [r for r in rates if r["what"] == "gemm" and r["dtype"] == dtype]
    return 1e9 * min(found, key=lambda r: abs(r["rows"] - rows))["gflops"]


def bandwidth(rates, what):
    return 1e9 * next(r["gb_per_s"] for r in rates if r["what"] == what)


def training_floors(row, shape, rates, dtype, width):
    """Seconds that each phase would take at the machine's rates, by its products or by its bytes, whichever are longer."""
    counts = row["sides"]["Temper"][0]["counts"]
    tokens = counts["tokens"]
    targets = counts.get("targets") or tokens
    lora = row["row"].startswith(("lora", "grpo-lora"))
    length = tokens / max(1, round(tokens / 256)) if "new" not in counts else counts["prompt"] + counts["steps_decoded"]
    fast = rate(rates, dtype, 2048)
    forward = shape.body_flops(tokens, length) / fast
    head = shape.head_flops(targets) / fast
    # Gradients of inputs, and of weights where they train. The head's come with its logits where the loss's derivative is known
    # beforehand, which DPO's is not: its logits are computed once more in backward.
    gradients = 1 if lora else 2
    out = {"forward": forward, "head": (1 + gradients) * head, "backward": gradients * forward}
    if row["row"].startswith("dpo"):
        out = {"forward": 2 * forward, "head": 2 * head, "backward": gradients * forward + 3 * head}  # with the reference's pass
    if not lora:
        # fp32 masters, gradients and two moments read, masters and moments and a working copy written.
        out["optimizer"] = (shape.body + shape.head) * (4 * 7 + (width if width == 2 else 0)) / bandwidth(rates, "copy")
    if "new" in counts:
        together = counts["new"] / counts["steps_decoded"]
        products = shape.body_flops(counts["new"], length) + shape.head_flops(counts["new"])
        bytes_a_step = (shape.body + shape.head) * width + shape.cache_bytes(together * length / 2, width)
        read = counts["steps_decoded"] * bytes_a_step / bandwidth(rates, "read")
        out["generate"] = max(products / rate(rates, dtype, together), read) + shape.body_flops(counts["prompt"], length) / fast
    return out


def decoding_floor(row, shape, rates, dtype, width, prompt):
    counts = row["sides"]["Temper"][0]["counts"]
    together = counts["tokens"] / counts["passes"]
    length = prompt + counts["passes"] / 2
    products = shape.body_flops(counts["tokens"], 2 * length) + shape.head_flops(counts["tokens"])
    bytes_a_step = (shape.body + shape.head) * width + shape.cache_bytes(together * length, width)
    read = counts["passes"] * bytes_a_step / bandwidth(rates, "read")
    return {"by products": products / rate(rates, dtype, together), "by bytes": read}


def machine_table(told):
    m, out = told["machine"], []
    out += [f"{m['cpu']}, {told['threads']} of {m['cores']} cores, {m['memory_gb']:g} GB, {' '.join(m['flags'])}", "",
            "| what | rate |", "|---|---|"]  # fmt: skip
    for r in told["rates"]:
        if r["what"] == "gemm":
            out.append(f"| product of {r['rows']} rows with 1536 x 1536, {r['dtype']} (ATen's {r['aten']:.0f}, the programs' {r['programs']:.0f}) | "
                       f"{r['gflops']:.0f} GFLOP/s |")  # fmt: skip
        else:
            out.append(f"| memory, {r['what']} | {r['gb_per_s']:.1f} GB/s |")
    return out


def phases_table(row, shape, rates, dtype, width):
    runs = row["sides"]["Temper"]
    names = [name for name in runs[0]["phases"]]
    seconds = {name: median(run["phases"].get(name, 0) for run in runs) for name in names}
    all_of_it = sum(seconds.values())
    floors = training_floors(row, shape, rates, dtype, width)
    out = ["", f"### {row['row']}: {row['what']}", "", "| phase | s a step | of the step | floor s | of the machine |", "|---|---|---|---|---|"]
    for name in sorted(seconds, key=seconds.get, reverse=True):
        floor = floors.get(name)
        shares = f"{floor:.3f} | {floor / seconds[name]:.0%}" if floor and seconds[name] > 0 else "- | -"
        out.append(f"| {name} | {seconds[name]:.3f} | {seconds[name] / all_of_it:.0%} | {shares} |")
    return out


def write(folder, rows):
    path = folder / "machine.json"
    if not path.exists():
        return
    told = json.loads(path.read_text())
    rates = told["rates"]
    out = ["# What the machine gives, and what is taken of it", "", *machine_table(told), "",
           "A floor is the time that a phase would take at these rates: its products (2 operations a weight and token, attention as if each "
           "token saw half its sequence) or the bytes that it must read, whichever take longer. Seconds are medians of steps and runs."]  # fmt: skip
    decoded = []
    for row in rows:
        runs = row["sides"].get("Temper", [])
        dtype, width = next((found for name, found in DTYPES.items() if name in row["row"]), ("bf16", 2))
        if not runs or "counts" not in runs[0]:
            continue
        shape = Shape(row["settings"]["model"])
        if "phases" in runs[0]:
            out += phases_table(row, shape, rates, dtype, width)
        elif row["row"].startswith("decode") and any(name in row["row"] for name in DTYPES):
            floors = decoding_floor(row, shape, rates, dtype, width, 128)
            seconds = median(run["seconds"] for run in runs)
            floor = max(floors.values())
            decoded.append(f"| {row['row']} | {seconds:.2f} | {floors['by products']:.2f} | {floors['by bytes']:.2f} | {floor / seconds:.0%} |")
    if decoded:
        out += ["", "### Decoding", "", "| row | s | floor by products, s | floor by bytes, s | of the machine |", "|---|---|---|---|---|", *decoded]
    (folder / "roofline.md").write_text("\n".join(out) + "\n")
