"""Steps of training: GRPO, SFT and DPO beside TRL, and LoRA on quantised bases beside LoRA on the same base in bf16."""
import json
import shutil
import sys

from .base import PEERS, Row, median, phases_of, steps_of

NAMES = {"bf16": "bf16", "f32": "fp32"}  # of dtypes, for people
LORA = {"kind": "lora", "rank": 16, "alpha": 32}


def config_of(work, task, dtype, steps, **sections):
    config = {
        "task": task, "threads": work.threads, "model": {"path": str(work.model), "dtype": dtype},
        "optimizer": {"name": "adamw", "lr": 1e-5, "clip_norm": 1.0}, "schedule": {"name": "constant"},
        "train": {"steps": steps, "micro_batch_tokens": work.args.micro_batch_tokens},
        "eval": {"every": 0}, "checkpoint": {"every": 0}, "samples_logged": 0}  # fmt: skip
    for name, section in sections.items():
        config[name] = {**config.get(name, {}), **section} if isinstance(section, dict) else section
    return config


def train(work, name, config):
    """A run of temper-train: seconds a step without the first, the process's peak and the one planned, and where a step's time goes."""
    run = work.folder / f"run-{name}"
    shutil.rmtree(run, ignore_errors=True)
    path = work.folder / f"{name}.json"
    path.write_text(json.dumps({**config, "run": str(run)}, indent=1))
    sets = [word for s in work.args.set for word in ("--set", s)]
    plan = json.loads(work.temper("temper-train", path, "--plan", *sets).stdout)["memory"]
    done = work.temper("temper-train", path, "--quiet", *sets)
    times, rows = steps_of(run)
    out = {"value": median(times["seconds"]), "peak": done.peak, "steps": times["seconds"], "phases": phases_of(times),
           "weights": plan["weights_bytes"], "planned": plan["peak_bytes"], "others_s": done.others}  # fmt: skip
    for key in ("rollout_s", "train_s", "tokens_per_s"):
        if key in times:
            out[key] = median(times[key])
    out["counts"] = {key: rows[-1][key] for key in ("targets", "length") if key in rows[-1]}
    out["counts"]["tokens_a_step"] = rows[-1]["tokens"] / len(rows)
    shutil.rmtree(run)
    return out


def trl(work, kind, adapter, dtype, **settings):
    path = work.folder / "trl.json"
    path.write_text(json.dumps({"model": str(work.model), "kind": kind, "adapter": adapter, "dtype": dtype, "steps": work.args.peer_steps,
                                "folder": str(work.folder), "threads": work.threads, **settings}))  # fmt: skip
    lines, done = work.peer("trl_train.py", path)
    steps = [line["seconds"] for line in lines if "seconds" in line]
    out = {"value": median(steps[1:] or steps), "peak": done.peak, "steps": steps, "others_s": done.others}
    tokens = [line["tokens"] for line in lines if "tokens" in line]
    if tokens:
        out["completion_tokens"] = tokens
        if min(tokens) < 0.95 * settings["new"]:
            print(f"  warning: TRL's completions had {tokens} tokens on average", file=sys.stderr)
    return out


# ---- GRPO ------------------------------------------------------------------------------------------------------------------------


def short_prompts(work):
    steps = max(work.args.steps, work.args.peer_steps)
    return [row["question"] for row in work.records(work.sizes.prompts * steps)]


def long_prompts(work):
    """Questions with their answers, one after the other, cut to about the tokens wanted: one prompt a step."""
    rows = work.records(400)
    text = "\n\n".join(f"{row['question']}\n{row['answer']}" for row in rows)
    letters = int(work.sizes.long_prompt * len(text) / work.token_counts([text])[0])
    steps = max(work.args.steps, work.args.peer_steps)
    return [text[i * letters:(i + 1) * letters] for i in range(steps)]  # fmt: skip


def grpo_settings(work, long):
    s = work.sizes
    if long:
        return {"prompts": 1, "group": s.long_group, "new": s.long_new, "texts": long_prompts(work)}
    return {"prompts": s.prompts, "group": s.group, "new": s.new, "texts": short_prompts(work)}


def grpo_temper(work, adapter, dtype, long):
    s = grpo_settings(work, long)
    data = work.write("prompts.jsonl", [{"prompt": [{"role": "user", "content": text}]} for text in s["texts"]])
    config = config_of(
        work, "rl", dtype, work.args.steps, adapter=LORA if adapter == "lora" else {"kind": "full"},
        data={"train": [str(data)], "order": "sequential", "max_tokens": 4096},
        rollout={"prompts_per_step": s["prompts"], "group_size": s["group"], "max_new_tokens": s["new"], "min_new_tokens": s["new"]},
        rewards=[{"kind": "process", "command": [sys.executable, str(PEERS / "reward.py")]}], algorithm={"name": "grpo"},
        train={"batch_size": s["prompts"], **({"micro_batch_tokens": 2 * work.args.micro_batch_tokens} if long else {})})  # fmt: skip
    out = train(work, f"grpo-{adapter}-{dtype}", config)
    prompts = work.token_counts(s["texts"])
    per_step = s["prompts"] * sum(prompts) / len(prompts)
    new = s["prompts"] * s["group"] * s["new"]
    # What a pass computes: each prompt once, and its completions.
    out["counts"] = {"prompt": per_step, "new": new, "steps_decoded": s["new"], "tokens": per_step + new, "targets": new}
    return out


def grpo_trl(work, adapter, dtype, long):
    s = grpo_settings(work, long)
    work.write("prompts.jsonl", [{"prompt": [{"role": "user", "content": text}]} for text in s["texts"]])
    return trl(work, "grpo", adapter, dtype, prompts=s["prompts"], group=s["group"], new=s["new"])


def grpo_row(adapter, dtype, long=False, target=None, memory=None):
    what = "all weights" if adapter == "full" else "LoRA, rank 16"
    return Row(
        f"grpo-{adapter}-{NAMES[dtype]}" + ("-long" if long else ""),
        f"GRPO step, {what}, {NAMES[dtype]}" + (": one prompt of 512 x 16 completions x 128" if long else ": 4 prompts x 8 completions x 64"),
        "s a step",
        {"Temper": lambda w: grpo_temper(w, adapter, dtype, long), "TRL": lambda w: grpo_trl(w, adapter, dtype, long)},
        target=target, target_memory=memory)  # fmt: skip


# ---- SFT and DPO -----------------------------------------------------------------------------------------------------------------


def sft_rows(work, steps):
    return [{"messages": [{"role": "user", "content": r["question"]}, {"role": "assistant", "content": r["answer"]}]}
            for r in work.records(work.sizes.chats * steps)]  # fmt: skip


def dpo_rows(work, steps):
    rows = work.records(work.sizes.pairs * steps)
    return [{"prompt": [{"role": "user", "content": r["question"]}], "chosen": [{"role": "assistant", "content": r["answer"]}],
             "rejected": [{"role": "assistant", "content": rows[i - 1]["answer"]}]} for i, r in enumerate(rows)]  # fmt: skip


def sft_temper(work, dtype):
    """Every token of a chat is learnt, as TRL's SFTTrainer does by default."""
    data = work.write("chats.jsonl", sft_rows(work, work.args.steps))
    out = train(work, f"sft-{dtype}", config_of(
        work, "sft", dtype, work.args.steps, data={"train": [str(data)], "order": "sequential", "max_tokens": 512, "targets": "all"},
        train={"batch_size": work.sizes.chats}))  # fmt: skip
    out["counts"]["tokens"] = out["counts"]["tokens_a_step"]
    return out


def dpo_temper(work, dtype):
    """The reference's log-probs are computed at each step, as TRL's DPOTrainer does by default."""
    data = work.write("pairs.jsonl", dpo_rows(work, work.args.steps))
    out = train(work, f"dpo-{dtype}", config_of(
        work, "preference", dtype, work.args.steps, data={"train": [str(data)], "order": "sequential", "max_tokens": 512},
        algorithm={"name": "dpo"}, reference={"cache": "off"}, train={"batch_size": work.sizes.pairs}))  # fmt: skip
    out["counts"]["tokens"] = out["counts"]["tokens_a_step"]
    return out


def sft_trl(work, dtype):
    work.write("chats.jsonl", sft_rows(work, work.args.peer_steps))
    return trl(work, "sft", "full", dtype, batch=work.sizes.chats)


def dpo_trl(work, dtype):
    work.write("pairs.jsonl", dpo_rows(work, work.args.peer_steps))
    return trl(work, "dpo", "full", dtype, batch=work.sizes.pairs)


def plain_row(kind, dtype, what, temper, peer):
    return Row(f"{kind}-{NAMES[dtype]}", f"{what}, all weights, {NAMES[dtype]}", "s a step",
               {"Temper": lambda w: temper(w, dtype), "TRL": lambda w: peer(w, dtype)}, target=6, target_memory=1 / 3)  # fmt: skip


# ---- quantised bases -------------------------------------------------------------------------------------------------------------


def lora_on(work, base):
    rows = [{"prompt": r["question"] + "\n", "completion": r["answer"]} for r in work.records(work.sizes.records * work.args.steps)]
    data = work.write("answers.jsonl", rows)
    config = config_of(
        work, "sft", "bf16", work.args.steps, adapter=LORA, model={"quantise": base},
        data={"train": [str(data)], "order": "sequential"}, train={"batch_size": work.sizes.records})  # fmt: skip
    out = train(work, f"lora-{base}", config)
    out["counts"]["tokens"] = out["counts"]["tokens_a_step"]
    return out


def lora_row(base):
    return Row(f"lora-{base}", f"LoRA step on {base} beside the same base in bf16, Temper alone: 8 records of GSM8K", "s a step",
               {"Temper": lambda w: lora_on(w, base), "bf16 base": lambda w: lora_on(w, "none")})  # fmt: skip


ROWS = [
    grpo_row("full", "bf16", target=8, memory=1 / 3),
    grpo_row("lora", "bf16", target=8, memory=1 / 4),
    grpo_row("full", "f32", target=5, memory=1 / 3),
    grpo_row("full", "bf16", long=True, target=8, memory=1 / 3),
    plain_row("sft", "bf16", "SFT step, 16 chats of GSM8K", sft_temper, sft_trl),
    plain_row("sft", "f32", "SFT step, 16 chats of GSM8K", sft_temper, sft_trl),
    plain_row("dpo", "bf16", "DPO step, 8 pairs of GSM8K", dpo_temper, dpo_trl),
    plain_row("dpo", "f32", "DPO step, 8 pairs of GSM8K", dpo_temper, dpo_trl),
    lora_row("nf4"),
    lora_row("int8"),
]
