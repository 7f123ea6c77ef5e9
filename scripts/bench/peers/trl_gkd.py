"""TRL's side of distill.py: the same distillation steps with GKDTrainer. Runs with a Python that has trl.

  trl_gkd.py FOLDER STUDENT TEACHER bf16|f32 STEPS BATCH    FOLDER holds data.jsonl; prints one JSON line a step
"""
import json
import resource
import sys
import time

import torch

folder, student, teacher, dtype, steps, batch = *sys.argv[1:5], int(sys.argv[5]), int(sys.argv[6])
torch.set_num_threads(torch.get_num_threads())  # else torch may choose another number for backward

from datasets import Dataset
from torch.utils.data import SequentialSampler
from transformers import AutoModelForCausalLM, AutoTokenizer, TrainerCallback
from trl.experimental.gkd import GKDConfig, GKDTrainer

tokenizer = AutoTokenizer.from_pretrained(student)
if tokenizer.pad_token is None:
    tokenizer.pad_token = tokenizer.eos_token
examples = []
for line in open(f"{folder}/data.jsonl"):
    row = json.loads(line)
    prompt, completion = (tokenizer(row[key], add_special_tokens=False)["input_ids"] for key in ("prompt", "completion"))
    examples.append({"ids": prompt + completion + [tokenizer.eos_token_id], "prompt_tokens": len(prompt)})


def collate(rows):
    width = max(len(r["ids"]) for r in rows)
    pad = [width - len(r["ids"]) for r in rows]
    out = {"input_ids": torch.tensor([r["ids"] + [0] * p for r, p in zip(rows, pad)]),
           "attention_mask": torch.tensor([[1] * len(r["ids"]) + [0] * p for r, p in zip(rows, pad)]),
           "labels": torch.tensor([[-100] * r["prompt_tokens"] + r["ids"][r["prompt_tokens"]:] + [-100] * p for r, p in zip(rows, pad)])}
    return dict(out, prompts=out["input_ids"][:, :1], prompt_attention_mask=out["attention_mask"][:, :1])


class InOrder(GKDTrainer):
    def _get_train_sampler(self, *_):
        return SequentialSampler(self.train_dataset)


class Times(TrainerCallback):
    def on_step_begin(self, *args, **kwargs):
        self.start = time.time()

    def on_step_end(self, *args, **kwargs):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps({"seconds": time.time() - self.start, "peak_kb": peak}), flush=True)


config = GKDConfig(output_dir=f"{folder}/trl", per_device_train_batch_size=batch, max_steps=steps, logging_steps=1, lmbda=0.0, beta=0.5,
                   learning_rate=1e-5, save_strategy="no", report_to=[], use_cpu=True, bf16=dtype == "bf16", gradient_checkpointing=False,
                   disable_tqdm=True, max_length=1024, lr_scheduler_type="constant")
half = {"bf16": torch.bfloat16, "f32": torch.float32}[dtype]
# The student's masters stay fp32, as Temper's do; the frozen teacher takes the compute dtype on both sides.
trainer = InOrder(model=AutoModelForCausalLM.from_pretrained(student, dtype=torch.float32),
                  teacher_model=AutoModelForCausalLM.from_pretrained(teacher, dtype=half), args=config, processing_class=tokenizer,
                  data_collator=collate, train_dataset=Dataset.from_list(examples), callbacks=[Times()])
trainer.train()
for row in trainer.state.log_history:
    if "loss" in row:
        print(json.dumps({"loss": row["loss"]}))
