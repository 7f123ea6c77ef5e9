"""TRL's side of grpo.py: the same GRPO steps with GRPOTrainer. Runs with a Python that has trl and peft.

  trl_grpo.py FOLDER MODEL full|lora bf16|f32 STEPS    FOLDER holds prompts.jsonl; prints one JSON line a step
"""
import json
import resource
import sys
import time

import torch

folder, model, adapter, dtype, steps = *sys.argv[1:5], int(sys.argv[5])
torch.set_num_threads(torch.get_num_threads())  # else torch may choose another number for backward

from datasets import Dataset
from peft import LoraConfig
from transformers import TrainerCallback
from trl import GRPOConfig, GRPOTrainer

from reward import score

rows = [json.loads(line) for line in open(f"{folder}/prompts.jsonl")]


def reward(completions, **columns):
    return [score(c[0]["content"]) for c in completions]


class Times(TrainerCallback):
    def on_step_begin(self, *args, **kwargs):
        self.start = time.time()

    def on_step_end(self, *args, **kwargs):
        peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
        print(json.dumps({"seconds": time.time() - self.start, "peak_kb": peak}), flush=True)


config = GRPOConfig(
    output_dir=f"{folder}/trl", per_device_train_batch_size=32, gradient_accumulation_steps=1,
    num_generations=8, max_completion_length=64, max_steps=steps, logging_steps=1, beta=0.0,
    learning_rate=1e-5, temperature=1.0, shuffle_dataset=False, save_strategy="no", report_to=[],
    use_cpu=True, bf16=dtype == "bf16", gradient_checkpointing=False, disable_tqdm=True,
    model_init_kwargs={"dtype": {"bf16": "bfloat16", "f32": "float32"}[dtype]})
lora = None
if adapter == "lora":
    lora = LoraConfig(r=16, lora_alpha=32, target_modules="all-linear", task_type="CAUSAL_LM")
trainer = GRPOTrainer(model=model, reward_funcs=reward, args=config, train_dataset=Dataset.from_list(rows),
                      peft_config=lora, callbacks=[Times()])
trainer.train()
for row in trainer.state.log_history:
    if "completions/mean_length" in row:
        print(json.dumps({"tokens": row["completions/mean_length"], "grad_norm": row["grad_norm"]}))
