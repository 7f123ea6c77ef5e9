#!/usr/bin/env python3
"""TRL's and transformers' speed on one GPU, to set beside Temper's. Weights and texts are random; no network is needed.

Prints a line of JSON about the start (versions, import time), then one a measure; notes of the libraries go to stderr.
A measure that fails prints {"what": ..., "error": ...} and the next one follows.

  sft     SFTTrainer, full fine-tuning (a plain loop around transformers if trl is missing; "by" says which)
  dpo     DPOTrainer, full fine-tuning with a reference model; tokens are chosen + rejected, once each
  grpo    GRPOTrainer, completions by transformers' generate, no reference model (TRL's default)
  decode  transformers' generate, sampling at temperature 1, sdpa attention

  gpu_trl.py                                  all four on the shape of SmolLM2-135M
  gpu_trl.py --what grpo,decode --shape 0.5b  two of them on the shape of Qwen2.5-0.5B
  gpu_trl.py --device cpu --hidden 64 --intermediate 128 --layers 2 --heads 4 --kv-heads 2 --vocab 500 --sft-batch 2 \\
    --sft-length 32 --dpo-pairs 2 --dpo-length 32 --grpo-prompts 2 --grpo-samples 2 --grpo-prompt 8 --grpo-new 8 \\
    --decode-batch 2 --decode-prompt 8 --decode-new 16 --steps 3 --warmup 1    to try the script

Weights and AdamW's state are bf16 (--weights f32 for fp32 ones), under bf16 autocast as TRL's trainers do by default
(--no-autocast without). Gradient checkpointing, TRL's default, is off (--checkpointing for on). Throughput is of all
steps after the warm-up together, loading of batches included, the GPU being waited for at both ends.
"""
import time

began = time.perf_counter()

import argparse
import contextlib
import copy
import gc
import json
import os
import random
import sys
import tempfile
import traceback

os.environ.setdefault("CUDA_VISIBLE_DEVICES", "0")  # with more GPUs Trainer would use them all
os.environ.update(HF_HUB_OFFLINE="1", HF_HUB_DISABLE_TELEMETRY="1", TOKENIZERS_PARALLELISM="false")

SHAPES = {
    "135m": dict(model_type="llama", hidden=576, intermediate=1536, layers=30, heads=9, kv_heads=3, vocab=49152),
    "0.5b": dict(model_type="qwen2", hidden=896, intermediate=4864, layers=24, heads=14, kv_heads=2, vocab=151936),
}
PAD, EOS, UNKNOWN, FIRST = 0, 1, 2, 3  # ids; from FIRST on, id i is the word "wi"


def parse_args():
    p = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    p.add_argument("--what", default="sft,dpo,grpo,decode", help="measures, with commas between them")
    p.add_argument("--shape", choices=SHAPES, default="135m")
    for name in ("hidden", "intermediate", "layers", "heads", "kv-heads", "vocab"):
        p.add_argument(f"--{name}", type=int, help="in place of the shape's")
    p.add_argument("--device", choices=["cuda", "cpu"], default="cuda")
    p.add_argument("--weights", choices=["bf16", "f32"], default="bf16")
    p.add_argument("--no-autocast", dest="autocast", action="store_false")
    p.add_argument("--checkpointing", action="store_true")
    numbers = {
        "steps": 8, "warmup": 3, "sft-batch": 16, "sft-length": 512, "dpo-pairs": 8, "dpo-length": 512,
        "grpo-steps": 3, "grpo-warmup": 1, "grpo-prompts": 8, "grpo-samples": 8, "grpo-prompt": 64, "grpo-new": 128,
        "decode-batch": 64, "decode-prompt": 64, "decode-new": 256}
    for name, default in numbers.items():
        p.add_argument(f"--{name}", type=int, default=default, help=f"default {default}")
    args = p.parse_args()
    for name, value in SHAPES[args.shape].items():
        if getattr(args, name, None) is None:
            setattr(args, name, value)
    if not (0 < args.warmup < args.steps and 0 < args.grpo_warmup < args.grpo_steps):
        p.error("warm-up steps must be at least one and fewer than the steps")
    return args


args = parse_args()

import torch
import transformers
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import AutoConfig, AutoModelForCausalLM, PreTrainedTokenizerFast, TrainerCallback

without_trl = None
try:
    import trl
    from datasets import Dataset
    from trl import DPOConfig, DPOTrainer, GRPOConfig, GRPOTrainer, SFTConfig, SFTTrainer
except Exception as e:  # its trainers are imported on use, and wrap what goes wrong
    without_trl = f"{type(e).__name__}: {e}"[:500]

imported = time.perf_counter()
rows = random.Random(0)


def now():
    if args.device == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter()


def make_model():
    config = AutoConfig.for_model(
        args.model_type, hidden_size=args.hidden, intermediate_size=args.intermediate, num_hidden_layers=args.layers,
        num_attention_heads=args.heads, num_key_value_heads=args.kv_heads, vocab_size=args.vocab,
        max_position_embeddings=4096, tie_word_embeddings=True, pad_token_id=PAD, bos_token_id=None, eos_token_id=EOS)
    torch.manual_seed(0)
    with torch.device(args.device):
        return AutoModelForCausalLM.from_config(
            config, dtype=torch.bfloat16 if args.weights == "bf16" else torch.float32, attn_implementation="sdpa")


def make_tokenizer():
    vocab = {"<pad>": PAD, "<eos>": EOS, "<unk>": UNKNOWN, **{f"w{i}": i for i in range(FIRST, args.vocab)}}
    words = Tokenizer(models.WordLevel(vocab, unk_token="<unk>"))
    words.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=words, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")


def ids(n):
    return [rows.randrange(FIRST, args.vocab) for _ in range(n)]


def text(n):
    return "".join(f" w{i}" for i in ids(n))


class Clock(TrainerCallback):  # the times at the end of the warm-up and of all steps
    def __init__(self, warmup):
        self.warmup = warmup

    def on_step_end(self, arguments, state, control, **kwargs):
        if state.global_step == self.warmup:
            self.start = now()
        if state.global_step == state.max_steps:
            self.end = now()


def options(folder, batch, steps):
    return dict(
        output_dir=folder, per_device_train_batch_size=batch, gradient_accumulation_steps=1, max_steps=steps,
        learning_rate=1e-6, bf16=args.autocast, use_cpu=args.device == "cpu", gradient_checkpointing=args.checkpointing,
        logging_strategy="no", save_strategy="no", report_to="none", disable_tqdm=True)


def report(by, seconds, tokens, steps, warmup):
    return {"by": by, "optimizer": "AdamW, fused", "autocast": args.autocast, "checkpointing": args.checkpointing,
            "steps": steps, "warmup": warmup, "seconds_per_step": seconds, "tokens_per_step": tokens,
            "tokens_per_second": tokens / seconds}


def train(trainer, clock, tokens):
    """Runs the trainer and reports on the steps after the warm-up; `tokens` are those of a step."""
    trainer.train()
    steps = trainer.args.max_steps
    seconds = (clock.end - clock.start) / (steps - clock.warmup)
    return report(f"trl {trl.__version__} {trainer._name}Trainer", seconds, tokens, steps, clock.warmup)


def sft(folder):
    if without_trl:
        return plain_sft()
    clock = Clock(args.warmup)
    data = Dataset.from_list([{"input_ids": ids(args.sft_length)} for _ in range(args.sft_batch * args.steps)])
    trainer = SFTTrainer(
        model=make_model(), processing_class=make_tokenizer(), train_dataset=data, callbacks=[clock],
        args=SFTConfig(max_length=args.sft_length, **options(folder, args.sft_batch, args.steps)))
    return train(trainer, clock, args.sft_batch * args.sft_length)


def plain_sft():
    model = make_model().train()
    if args.checkpointing:
        model.gradient_checkpointing_enable()
    batches = [torch.tensor([ids(args.sft_length) for _ in range(args.sft_batch)]) for _ in range(args.steps)]
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-6, fused=True)
    for step, batch in enumerate(batches):
        if step == args.warmup:
            start = now()
        batch = batch.to(args.device)
        with torch.autocast(args.device, torch.bfloat16, enabled=args.autocast):
            loss = model(input_ids=batch, labels=batch, use_cache=False).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    seconds = (now() - start) / (args.steps - args.warmup)
    return report("plain loop around transformers", seconds, args.sft_batch * args.sft_length, args.steps, args.warmup)


def dpo(folder):
    prompt = args.dpo_length // 4
    completion = args.dpo_length - prompt - 1  # the trainer adds <eos>
    data = Dataset.from_list([{"prompt": text(prompt), "chosen": text(completion), "rejected": text(completion)}
                              for _ in range(args.dpo_pairs * args.steps)])
    clock, model = Clock(args.warmup), make_model()
    trainer = DPOTrainer(
        model=model, ref_model=copy.deepcopy(model), processing_class=make_tokenizer(), train_dataset=data,
        callbacks=[clock], args=DPOConfig(max_length=args.dpo_length, **options(folder, args.dpo_pairs, args.steps)))
    row = trainer.train_dataset[0]
    tokens = args.dpo_pairs * (2 * len(row["prompt_ids"]) + len(row["chosen_ids"]) + len(row["rejected_ids"]))
    out = train(trainer, clock, tokens)
    return {**out, "pairs_per_second": args.dpo_pairs / out["seconds_per_step"]}


def grpo(folder):
    clock, made = Clock(args.grpo_warmup), []  # (seconds, tokens) of each generation

    class Trainer(GRPOTrainer):
        def _generate_single_turn(self, *given, **named):
            start = now()
            result = super()._generate_single_turn(*given, **named)
            made.append((now() - start, sum(len(ids) for ids in result[0])))
            return result

    def reward(completions, **columns):
        return [float(c.count("7")) for c in completions]

    batch = args.grpo_prompts * args.grpo_samples
    data = Dataset.from_list([{"prompt": text(args.grpo_prompt)} for _ in range(args.grpo_prompts * args.grpo_steps)])
    trainer = Trainer(
        model=make_model(), reward_funcs=reward, processing_class=make_tokenizer(), train_dataset=data,
        callbacks=[clock], args=GRPOConfig(
            num_generations=args.grpo_samples, max_completion_length=args.grpo_new, steps_per_generation=1,
            generation_kwargs={"min_new_tokens": args.grpo_new}, **options(folder, batch, args.grpo_steps)))
    out = train(trainer, clock, batch * (args.grpo_prompt + args.grpo_new))
    made = made[args.grpo_warmup:]
    generation, tokens = (sum(column) / len(made) for column in zip(*made))
    return {**out, "generation_seconds": generation, "training_seconds": out["seconds_per_step"] - generation,
            "mean_completion_length": tokens / batch, "completion_tokens_per_second": tokens / out["seconds_per_step"],
            "generation_tokens_per_second": tokens / generation}


def decode(folder):
    model = make_model().eval()
    prompts = torch.tensor([ids(args.decode_prompt) for _ in range(args.decode_batch)]).to(args.device)

    def seconds(n):
        start = now()
        out = model.generate(prompts, attention_mask=torch.ones_like(prompts), max_new_tokens=n, min_new_tokens=n,
                             do_sample=True, temperature=1.0, top_k=0, top_p=1.0)
        assert out.shape == (args.decode_batch, args.decode_prompt + n)
        return now() - start

    short = min(8, args.decode_new // 2)
    seconds(short)  # warm-up
    first, whole = seconds(short), seconds(args.decode_new)
    return {"by": "transformers generate", "batch": args.decode_batch, "prompt": args.decode_prompt,
            "new": args.decode_new, "seconds": whole, "tokens_per_second": args.decode_batch * args.decode_new / whole,
            "tokens_per_second_without_prefill": args.decode_batch * (args.decode_new - short) / (whole - first)}


def show(line):
    print(json.dumps({k: float(f"{v:.5g}") if isinstance(v, float) else v for k, v in line.items()}), flush=True)


def main():
    start = time.perf_counter()
    torch.zeros(1, device=args.device)
    now()
    show({"what": "start", "import_seconds": imported - began, "device_seconds": time.perf_counter() - start,
          "device": torch.cuda.get_device_name() if args.device == "cuda" else "cpu", "torch": torch.__version__,
          "transformers": transformers.__version__, "trl": without_trl or trl.__version__})
    for what in args.what.split(","):
        line, start = {"what": what, "shape": args.shape, "weights": args.weights}, time.perf_counter()
        try:
            if without_trl and what in ("dpo", "grpo"):
                raise RuntimeError(f"no trl: {without_trl}")
            measure = {"sft": sft, "dpo": dpo, "grpo": grpo, "decode": decode}[what]
            if args.device == "cuda":
                gc.collect()
                torch.cuda.empty_cache()
                torch.cuda.reset_peak_memory_stats()
                line["before_mb"] = torch.cuda.memory_allocated() / 1e6
            with tempfile.TemporaryDirectory() as folder, contextlib.redirect_stdout(sys.stderr):
                line.update(measure(folder))
            if args.device == "cuda":
                line["peak_mb"] = torch.cuda.max_memory_allocated() / 1e6
                line["peak_reserved_mb"] = torch.cuda.max_memory_reserved() / 1e6
        except Exception as e:
            traceback.print_exc()
            line["error"] = f"{type(e).__name__}: {e}"[:500]
        show({**line, "total_seconds": time.perf_counter() - start})


if __name__ == "__main__":
    main()
