"""First steps of a run beside TRL's trainer: same model, same data in the same order, fp32, AdamW.

trainer_steps.py MODEL_FOLDER PAIRS.jsonl [--trainer dpo|wpo|tr_dpo|kto|sft|reward|grpo] [--temper build/bin/temper-train] [--steps 10]
                 [--batch 4] [--lr 1e-4]
PAIRS has prompt, chosen and rejected; kto takes three chosen answers as desirable, then a rejected one as undesirable, and so on, sft the chosen;
grpo takes four fixed completions made of them, with fixed rewards, and no sampling.
reward: a reward_model run and RewardTrainer, both from a sequence-classification folder made of the model with one random score.
Prints loss and gradient norm of both sides, step by step, and fails when one differs by more than 1e-4 (relative above 1).

KTO: TRL pairs a prompt with the completion before it in the same batch for its estimate of the KL, and so does Temper; TRL
takes the mean over each micro-batch of each device, Temper over the whole step, which here is one micro-batch.
GRPO: completions and rewards are handed to TRL in the place of its generation, with the initial model's log-probs as the old
ones; Temper reads the same from offline.files. So ratios leave 1 after the first step; with --lr 5e-3 the clip is at work.
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
from trl import (DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, RewardConfig, RewardTrainer, SFTConfig,  # noqa: E402
                 SFTTrainer)

try:
    from trl import KTOConfig, KTOTrainer
except ImportError:
    from trl.experimental.kto import KTOConfig, KTOTrainer

TOLERANCE = 1e-4
SYNC = {"every": 3, "share": 0.6}  # of tr_dpo


def in_order(trainer):
    class InOrder(trainer):
        def _get_train_sampler(self, *_):
            return SequentialSampler(self.train_dataset)

    return InOrder


GROUP = 4
REWARDS = [1.0, 0.0, 0.5, -0.25]  # of the completions of a prompt


class FixedRollouts(GRPOTrainer):
    """GRPO on the completions of the data set's rows; old log-probs are those of `initial`."""

    initial = None

    def _generate(self, prompts):
        at = {}
        turns = [at.update({p: at.get(p, -1) + 1}) or at[p] % GROUP for p in prompts]
        rows = [self.rollouts[p][turn] for p, turn in zip(prompts, turns)]
        return [r["prompt_ids"] for r in rows], [r["completion_ids"] for r in rows], None, [r["completion"] for r in rows], None, {}, None, None

    def _generate_and_score_completions(self, inputs):
        out = super()._generate_and_score_completions(inputs)
        ids, mask = (torch.cat([out["prompt_" + k], out["completion_" + k]], dim=1) for k in ("ids", "mask"))
        with torch.no_grad():
            logits = self.initial(input_ids=ids, attention_mask=mask).logits[:, -out["completion_ids"].size(1) - 1 : -1]
            out["old_per_token_logps"] = logits.log_softmax(-1).gather(2, out["completion_ids"].unsqueeze(2)).squeeze(2)
        return out


def grpo_rollouts(args, rows):
    """prompt -> its completions with tokens and reward."""
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    out = {}
    for row in rows:
        texts = [row["chosen"], row["rejected"], row["chosen"] + " or so", row["rejected"] + " no"]
        prompt = tokenizer(row["prompt"])["input_ids"]
        if prompt[-1] == tokenizer.eos_token_id:
            prompt.pop()
        out[row["prompt"]] = [
            {"prompt": row["prompt"], "completion": text, "reward": reward, "prompt_ids": prompt,
             "completion_ids": tokenizer(text, add_special_tokens=False)["input_ids"] + [tokenizer.eos_token_id]}
            for text, reward in zip(texts, REWARDS)]
    return out


class Record(TrainerCallback):
    def __init__(self):
        self.rows = []

    def on_log(self, args, state, control, logs=None, **_):
        if "loss" in logs:
            self.rows.append((logs["loss"], logs["grad_norm"]))


def load(args):
    kind = AutoModelForSequenceClassification if args.trainer == "reward" else AutoModelForCausalLM
    return kind.from_pretrained(args.model, dtype=torch.float32)


def run_trl(args, rows, folder):
    tokenizer = AutoTokenizer.from_pretrained(args.model)
    if tokenizer.pad_token is None:
        tokenizer.pad_token = tokenizer.eos_token
    record = Record()
    settings = dict(output_dir=str(folder / "trl"), per_device_train_batch_size=args.batch, max_steps=args.steps, learning_rate=args.lr,
                    lr_scheduler_type="constant", logging_steps=1, report_to=[], use_cpu=True, max_length=256, save_strategy="no",
                    gradient_checkpointing=False, bf16=False, optim="adamw_torch", disable_tqdm=True)
    more = {}
    if args.trainer == "grpo":
        rollouts = grpo_rollouts(args, rows)
        del settings["max_length"]
        settings["per_device_train_batch_size"] = args.batch * GROUP
        config = GRPOConfig(num_generations=GROUP, loss_type="grpo", beta=0.0, shuffle_dataset=False, max_completion_length=256, **settings)
        FixedRollouts.rollouts, FixedRollouts.initial = rollouts, load(args)
        reward_of = {(p, r["completion"]): r["reward"] for p, of in rollouts.items() for r in of}
        FixedRollouts(model=load(args), reward_funcs=lambda prompts, completions, **_: [reward_of[pair] for pair in zip(prompts, completions)],
                      args=config, processing_class=tokenizer, train_dataset=Dataset.from_list([{"prompt": p} for p in rollouts]),
                      callbacks=[record]).train()
        return record.rows
    if args.trainer == "sft":
        trainer, config = SFTTrainer, SFTConfig(**settings)
    elif args.trainer == "reward":
        trainer, config = RewardTrainer, RewardConfig(**settings)
    elif args.trainer == "kto":
        trainer, config = KTOTrainer, KTOConfig(beta=0.1, train_sampling_strategy="sequential", **settings)
        more["ref_model"] = load(args)
    else:
        sync = dict(sync_ref_model=True, ref_model_mixup_alpha=SYNC["share"], ref_model_sync_steps=SYNC["every"])
        config = DPOConfig(beta=0.1, use_weighting=args.trainer == "wpo", **(sync if args.trainer == "tr_dpo" else {}), **settings)
        trainer = DPOTrainer
        more["ref_model"] = load(args)
    in_order(trainer)(model=load(args), args=config, processing_class=tokenizer, train_dataset=Dataset.from_list(rows),
                      callbacks=[record], **more).train()
    return record.rows


def run_temper(args, rows, folder):
    data, config, run = folder / "rows.jsonl", folder / "config.json", folder / "run"
    data.write_text("".join(json.dumps(row) + "\n" for row in rows))
    settings = {
        "model": {"path": str(Path(args.model).resolve()), "dtype": "f32"},
        "data": {"train": [str(data)], "order": "sequential", "max_tokens": 256},
        "optimizer": {"name": "adamw", "lr": args.lr, "clip_norm": 1.0}, "schedule": {"name": "constant"},
        "train": {"steps": args.steps, "batch_size": args.batch}, "checkpoint": {"every": 0}, "run": str(run)}
    if args.trainer == "sft":
        settings["task"] = "sft"
    elif args.trainer == "reward":
        settings["task"], settings["algorithm"] = "reward_model", {"name": "bt"}
    elif args.trainer == "grpo":
        data.write_text("".join(json.dumps(r) + "\n" for of in grpo_rollouts(args, rows).values() for r in of))
        settings["task"], settings["offline"] = "rl", {"files": settings["data"].pop("train"), "share": 1}
        settings["rollout"] = {"prompts_per_step": args.batch, "group_size": GROUP, "max_new_tokens": 256}
        settings["algorithm"] = {"name": "grpo"}
    else:
        settings["task"] = "preference"
        settings["algorithm"] = {"name": "kto" if args.trainer == "kto" else "dpo", "beta": 0.1}
        if args.trainer == "wpo":
            settings["algorithm"]["wpo"] = True
        if args.trainer == "tr_dpo":
            settings["reference"] = {"sync_every": SYNC["every"], "sync_share": SYNC["share"]}
    config.write_text(json.dumps(settings))
    subprocess.run([args.temper, str(config), "--quiet"], check=True)
    metrics = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [(m["loss"], m["grad_norm"]) for m in metrics if m["split"] == "train"]


def rows_of(args):
    pairs = []
    for _, line in zip(range(args.steps * args.batch), open(args.pairs)):
        pairs.append({key: json.loads(line)[key] for key in ("prompt", "chosen", "rejected")})
    if args.trainer == "grpo" and len({p["prompt"] for p in pairs}) < len(pairs):
        sys.exit("grpo: the prompts of PAIRS must differ")
    if args.trainer == "sft":
        return [{"prompt": p["prompt"], "completion": p["chosen"]} for p in pairs]
    if args.trainer == "kto":
        return [{"prompt": p["prompt"], "completion": p["rejected" if i % 4 == 3 else "chosen"], "label": i % 4 != 3} for i, p in enumerate(pairs)]
    return pairs


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
    p.add_argument("--trainer", default="dpo", choices=["dpo", "wpo", "tr_dpo", "kto", "sft", "reward", "grpo"])
    p.add_argument("--temper", default="build/bin/temper-train")
    p.add_argument("--steps", type=int, default=10)
    p.add_argument("--batch", type=int, default=4)
    p.add_argument("--lr", type=float, default=1e-4)
    args = p.parse_args()
    rows = rows_of(args)
    with tempfile.TemporaryDirectory() as folder:
        if args.trainer == "reward":
            args.model = with_score(args, Path(folder))
        ours, theirs = run_temper(args, rows, Path(folder)), run_trl(args, rows, Path(folder))
    worst = 0.0
    for step, (a, b) in enumerate(zip(ours, theirs), 1):
        print(f"step {step:2}: loss {a[0]:.6f} and {b[0]:.6f}, gradient norm {a[1]:.5f} and {b[1]:.5f}")
        worst = max(worst, *(abs(x - y) / max(1.0, abs(y)) for x, y in zip(a, b)))
    print(f"{args.trainer}: largest difference {worst:.1e}")
    sys.exit(0 if worst <= TOLERANCE and len(ours) == len(theirs) == args.steps else 1)


if __name__ == "__main__":
    main()
