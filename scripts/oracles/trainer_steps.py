"""First steps of a run beside TRL's trainer: same model, same pairs in the same order, fp32, AdamW.

trainer_steps.py MODEL_FOLDER PAIRS.jsonl [--trainer dpo] [--temper build/bin/temper-train] [--steps 10] [--batch 4] [--lr 1e-4]
--trainer dpo: a preference run and DPOTrainer; reward: a reward_model run and RewardTrainer, both from a sequence-classification
folder made of the model with one random score. (transformers never trains the embedding of the pad token: where that one stands
inside the texts, as an end token of chat turns does, the two sides part after the first step.)
Prints loss and gradient norm of both sides, step by step, and fails when one differs by more than 1e-4 (relative above 1).
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
from transformers import AutoModelForCausalLM, AutoModelForSequenceClassification, AutoTokenizer, TrainerCallback  # noqa: E402
from trl import DPOConfig, DPOTrainer, RewardConfig, RewardTrainer  # noqa: E402

TOLERANCE = 1e-4


class InOrder:
    def _get_train_sampler(self, *_):
        return SequentialSampler(self.train_dataset)


class DPOInOrder(InOrder, DPOTrainer):
    pass


class RewardInOrder(InOrder, RewardTrainer):
    pass


class Record(TrainerCallback):
    def __init__(self):
        self.rows = []

    def on_log(self, args, state, control, logs=None, **_):
        if "loss" in logs:
            self.rows.append((logs["loss"], logs["grad_norm"]))


def run_trl(args, rows, folder):
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    record = Record()
    common = dict(output_dir=str(folder / "trl"), per_device_train_batch_size=args.batch, max_steps=args.steps, learning_rate=args.lr,
                  lr_scheduler_type="constant", logging_steps=1, report_to=[], use_cpu=True, max_length=256, save_strategy="no",
                  gradient_checkpointing=False, bf16=False, optim="adamw_torch", disable_tqdm=True)
    kind = AutoModelForSequenceClassification if args.trainer == "reward" else AutoModelForCausalLM
    model = kind.from_pretrained(args.model, dtype=torch.float32)
    data = dict(processing_class=tokenizer, train_dataset=Dataset.from_list(rows), callbacks=[record])
    if args.trainer == "reward":
        trainer = RewardInOrder(model=model, args=RewardConfig(**common), **data)
    else:
        trainer = DPOInOrder(model=model, ref_model=kind.from_pretrained(args.model, dtype=torch.float32), args=DPOConfig(beta=0.1, **common), **data)
    trainer.train()
    return record.rows


def run_temper(args, rows, folder):
    data, config, run = folder / "pairs.jsonl", folder / "config.json", folder / "run"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    task = {"dpo": {"task": "preference", "algorithm": {"name": "dpo", "beta": 0.1}}, "reward": {"task": "reward_model", "algorithm": {"name": "bt"}}}
    config.write_text(json.dumps({
        **task[args.trainer], "model": {"path": str(Path(args.model).resolve()), "dtype": "f32"},
        "data": {"train": [str(data)], "order": "sequential", "max_tokens": 256},
        "optimizer": {"name": "adamw", "lr": args.lr, "clip_norm": 1.0}, "schedule": {"name": "constant"},
        "train": {"steps": args.steps, "batch_size": args.batch}, "checkpoint": {"every": 0}, "run": str(run)}))
    subprocess.run([args.temper, str(config), "--quiet"], check=True)
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [(m["loss"], m["grad_norm"]) for m in metrics if m["split"] == "train"]


def with_score(args, folder):
    """The model as a sequence-classification folder, padded as the trainer will."""
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    torch.manual_seed(1)
    model = AutoModelForSequenceClassification.from_pretrained(args.model, num_labels=1, dtype=torch.float32)
    model.config.pad_token_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
    model.save_pretrained(folder / "scored")
    tokenizer.save_pretrained(folder / "scored")
    return str(folder / "scored")


def main():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("model")
    p.add_argument("pairs")
    p.add_argument("--trainer", choices=["dpo", "reward"], default="dpo")
    p.add_argument("--temper", default="build/bin/temper-train")
    p.add_argument("--steps", type=int, default=10)
    p.add_argument("--batch", type=int, default=4)
    p.add_argument("--lr", type=float, default=1e-4)
    args = p.parse_args()
    rows = []
    for _, line in zip(range(args.steps * args.batch), open(args.pairs)):
        rows.append({key: json.loads(line)[key] for key in ("prompt", "chosen", "rejected")})
    with tempfile.TemporaryDirectory() as folder:
        if args.trainer == "reward":
            args.model = with_score(args, Path(folder))
        ours, theirs = run_temper(args, rows, Path(folder)), run_trl(args, rows, Path(folder))
    worst = 0.0
    for step, (a, b) in enumerate(zip(ours, theirs), 1):
        print(f"step {step:2}: loss {a[0]:.6f} and {b[0]:.6f}, gradient norm {a[1]:.5f} and {b[1]:.5f}")
        worst = max(worst, *(abs(x - y) / max(1.0, abs(y)) for x, y in zip(a, b)))
    print(f"largest difference {worst:.1e}")
    sys.exit(0 if worst <= TOLERANCE and len(ours) == len(theirs) == args.steps else 1)


if __name__ == "__main__":
    main()
