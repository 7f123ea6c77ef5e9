"""First steps of a distillation beside TRL's GKDTrainer: same student, same teacher, same examples in the same order, fp32, AdamW.

distill_steps.py STUDENT TEACHER DATA.jsonl [--temper build/bin/temper-train] [--steps 10] [--batch 4] [--lr 1e-4] [--beta 0.5]
Prints loss and gradient norm of both sides, step by step, and fails when one differs by more than 1e-4 (relative). lmbda is 0: stored
completions only, as sampling draws other random numbers on either side. What TRL calls "batchmean" is a sum over the tokens
divided by the number of completion tokens of the whole step (num_items_in_batch), which is Temper's own reduction; with own samples
TRL would still divide by the number of the stored tokens, Temper by that of the sampled ones. TRL's loss ignores GKDConfig.temperature
(it is for sampling only).
"""
import argparse
import json
import subprocess
import sys
import tempfile
from pathlib import Path

sys.path.pop(0)  # this folder has files named like packages (tokenizers.py)

import torch  # noqa: E402
from datasets import Dataset  # noqa: E402
from torch.utils.data import SequentialSampler  # noqa: E402
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback  # noqa: E402
from trl.experimental.gkd import GKDConfig, GKDTrainer  # noqa: E402

TOLERANCE = 1e-4


class InOrder(GKDTrainer):
    def _get_train_sampler(self, *_):
        return SequentialSampler(self.train_dataset)


class Record(TrainerCallback):
    def __init__(self):
        self.rows = []

    def on_log(self, args, state, control, logs=None, **_):
        if "loss" in logs:
            self.rows.append((logs["loss"], logs["grad_norm"]))


def collate(examples):
    """Padded on the right; prompts are there because the trainer hands them on."""
    width = max(len(e["ids"]) for e in examples)
    rows = {"input_ids": [], "attention_mask": [], "labels": []}
    for e in examples:
        ids, prompt, pad = e["ids"], e["prompt_tokens"], width - len(e["ids"])
        rows["input_ids"].append(ids + [0] * pad)
        rows["attention_mask"].append([1] * len(ids) + [0] * pad)
        rows["labels"].append([-100] * prompt + ids[prompt:] + [-100] * pad)
    batch = {key: torch.tensor(value) for key, value in rows.items()}
    return dict(batch, prompts=batch["input_ids"][:, :1], prompt_attention_mask=batch["attention_mask"][:, :1])


def run_trl(args, rows, folder):
    tokenizer = AutoTokenizer.from_pretrained(args.student)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    examples = []
    for row in rows:
        prompt = tokenizer(row["prompt"], add_special_tokens=False)["input_ids"]
        ids = tokenizer(row["prompt"] + row["completion"], add_special_tokens=False)["input_ids"]
        if ids[:len(prompt)] != prompt:  # a token reaches over the border: each on its own, as Temper does
            ids = prompt + tokenizer(row["completion"], add_special_tokens=False)["input_ids"]
        examples.append({"ids": ids + [tokenizer.eos_token_id], "prompt_tokens": len(prompt)})
    record = Record()
    config = GKDConfig(output_dir=str(folder / "trl"), per_device_train_batch_size=args.batch, max_steps=args.steps, learning_rate=args.lr,
                       lr_scheduler_type="constant", logging_steps=1, report_to=[], use_cpu=True, beta=args.beta, lmbda=0.0, max_length=256,
                       save_strategy="no", gradient_checkpointing=False, bf16=False, optim="adamw_torch", disable_tqdm=True, max_grad_norm=1.0)
    student, teacher = (AutoModelForCausalLM.from_pretrained(m, dtype=torch.float32) for m in (args.student, args.teacher))
    trainer = InOrder(model=student, teacher_model=teacher, args=config, processing_class=tokenizer, data_collator=collate,
                      train_dataset=Dataset.from_list(examples), callbacks=[record])
    trainer.train()
    return record.rows


def run_temper(args, rows, folder):
    data, config, run = folder / "data.jsonl", folder / "config.json", folder / "run"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    config.write_text(json.dumps({
        "task": "distill", "model": {"path": str(Path(args.student).resolve()), "dtype": "f32"},
        "teachers": [{"path": str(Path(args.teacher).resolve())}],
        "data": {"train": [str(data)], "order": "sequential", "max_tokens": 256}, "algorithm": {"name": "gjsd", "beta": args.beta},
        "optimizer": {"name": "adamw", "lr": args.lr, "clip_norm": 1.0}, "schedule": {"name": "constant"},
        "train": {"steps": args.steps, "batch_size": args.batch}, "checkpoint": {"every": 0}, "run": str(run)}))
    subprocess.run([args.temper, str(config), "--quiet"], check=True)
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [(m["loss"], m["grad_norm"]) for m in metrics if m["split"] == "train"]


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("student")
    p.add_argument("teacher")
    p.add_argument("data")
    p.add_argument("--temper", default="build/bin/temper-train")
    p.add_argument("--steps", type=int, default=10)
    p.add_argument("--batch", type=int, default=4)
    p.add_argument("--lr", type=float, default=1e-4)
    p.add_argument("--beta", type=float, default=0.5)
    args = p.parse_args()
    rows = []
    for _, line in zip(range(args.steps * args.batch), open(args.data)):
        rows.append({key: json.loads(line)[key] for key in ("prompt", "completion")})
    with tempfile.TemporaryDirectory() as folder:
        ours, theirs = run_temper(args, rows, Path(folder)), run_trl(args, rows, Path(folder))
    worst = 0.0
    for step, (a, b) in enumerate(zip(ours, theirs), 1):
        print(f"step {step:2}: loss {a[0]:.6f} and {b[0]:.6f}, gradient norm {a[1]:.5f} and {b[1]:.5f}")
        worst = max(worst, *(abs(x - y) / abs(y) for x, y in zip(a, b)))
    print(f"largest relative difference {worst:.1e}")
    sys.exit(0 if worst <= TOLERANCE and len(ours) == len(theirs) == args.steps else 1)


if __name__ == "__main__":
    main()
