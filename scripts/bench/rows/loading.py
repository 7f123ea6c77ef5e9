"""From a folder to the first token, and reading weights, beside transformers and safetensors. All files are in the page cache."""
from .base import Row


def first_token(work, dtype):
    """The whole process, from its start to its end."""
    done = work.temper("temper-generate", "--model", work.model, "--dtype", dtype, "--prompt", "Mia has", "--max-new-tokens", 1,
                       "--ignore-end", "--threads", work.threads)  # fmt: skip
    return {"value": done.seconds, "peak": done.peak, "others_s": done.others}


def first_token_peer(work, dtype):
    """Without starting Python and importing; "process" has them."""
    lines, done = work.peer("hf_decode.py", "first", work.model, dtype, work.threads)
    return {"value": lines[-1]["seconds"], "peak": done.peak, "process": done.seconds, "others_s": done.others}


def read(work):
    lines, done = work.rates("rates: a safetensors file*", TEMPER_RATES_FILE=str(work.model / "model.safetensors"))
    return {"value": lines[-1]["bytes"] / lines[-1]["seconds"] / 1e9, "peak": done.peak, "others_s": done.others}


def read_peer(work):
    lines, done = work.peer("read_safetensors.py", work.model / "model.safetensors", work.threads)
    return {"value": lines[-1]["bytes"] / lines[-1]["seconds"] / 1e9, "peak": done.peak, "others_s": done.others}


ROWS = [
    *(Row(f"first-token-{name}", f"from the folder to the first token, {name} (of the peer without starting Python and importing)", "s",
          {"Temper": lambda w, d=dtype: first_token(w, d), "transformers": lambda w, d=dtype: first_token_peer(w, d)})
      for name, dtype in (("bf16", "bf16"), ("fp32", "f32"))),  # fmt: skip
    Row("read-safetensors", "every tensor of model.safetensors copied into memory of its own", "GB/s", {"Temper": read, "safetensors": read_peer},
        more=True),  # fmt: skip
]
