"""TRL's side of the training rows: the same GRPO, SFT or DPO steps with its trainers. Runs with a Python that has trl and peft.

  trl_train.py SETTINGS.json     prints a line of JSON a step; ../rows/training.py writes the settings and the data beside them
"""
import json
import resource
import sys
import time

import torch

settings = json.load(open(sys.argv[1]))
torch.set_num_threads(settings["threads"])  # else torch may choose another number for backward

from datasets import Dataset
from peft import LoraConfig
from transformers import TrainerCallback
from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer

from reward import score

kind, folder, model = settings["kind"], settings["folder"], settings["model"]


def rows(name):
    return Dataset.from_list([json.loads(line) for line in open(f"{folder}/{name}")])


def reward(completions, **columns):
    return [score(c[0]["content"]) for c in completions]


class Times(TrainerCallback):
    def on_step_begin(self, *args, **kwargs):
        self.start = time.time()

    def on_step_end(self, *args, **kwargs):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps({"seconds": time.time() - self.start, "peak_kb": peak}), flush=True)


common = dict(
    output_dir=f"{folder}/trl", max_steps=settings["steps"], logging_steps=1, learning_rate=1e-5, lr_scheduler_type="constant",
    save_strategy="no", report_to=[], use_cpu=True, bf16=settings["dtype"] == "bf16", gradient_checkpointing=False, disable_tqdm=True,
    model_init_kwargs={"dtype": {"bf16": "bfloat16", "f32": "float32"}[settings["dtype"]]})
lora = None
if settings["adapter"] == "lora":
    lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
if kind == "grpo":
    trainer = GRPOTrainer(
        model=model, reward_funcs=reward, train_dataset=rows("prompts.jsonl"), peft_config=lora, callbacks=[Times()],
        args=GRPOConfig(
            per_device_train_batch_size=settings["prompts"] * settings["group"], gradient_accumulation_steps=1,
            num_generations=settings["group"], max_completion_length=settings["new"], beta=0.0, temperature=1.0, shuffle_dataset=False,
            generation_kwargs={"min_new_tokens": settings["new"]}, **common))
elif kind == "sft":
    trainer = SFTTrainer(
        model=model, train_dataset=rows("chats.jsonl"), peft_config=lora, callbacks=[Times()],
        args=SFTConfig(per_device_train_batch_size=settings["batch"], max_length=512, **common))
else:
    trainer = DPOTrainer(
        model=model, train_dataset=rows("pairs.jsonl"), peft_config=lora, callbacks=[Times()],
        args=DPOConfig(per_device_train_batch_size=settings["batch"], max_length=512, **common))
trainer.train()
for row in trainer.state.log_history:
    if "completions/mean_length" in row:
        print(json.dumps({"tokens": row["completions/mean_length"], "grad_norm": row["grad_norm"]}))
