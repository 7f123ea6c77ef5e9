"""Scores of sequence-classification models by transformers and PEFT.

Without arguments writes the goldens of tests/model/scores_test.cc:
  tests/model/golden/scores/    a tiny Qwen3ForSequenceClassification of three labels, golden.json {"sequences": [{"ids", "scores"}]},
                                padded into one batch by transformers
  tests/adapter/golden/seq_cls/ a LoRA of task_type SEQ_CLS on tests/model/golden/llama3, golden.json {"model", "sequences"}
With a reward_model run's folder (dtype f32, eval.every set) loads its final/ in transformers, or its adapter in PEFT, scores the
texts of the run's last evaluation in one padded batch, and fails when one differs from the run's own score by more than 2e-5:
  reward_models.py RUN
"""
import json
import os
import shutil
import sys
import warnings

import torch
from peft import LoraConfig, PeftConfig, PeftModel, get_peft_model
from transformers import AutoModelForSequenceClassification, AutoTokenizer, Qwen3Config, Qwen3ForSequenceClassification

from models import SHAPE, randomise

HERE = os.path.dirname(os.path.abspath(__file__))
TESTS = os.path.join(HERE, "../../tests")


def scores(model, sequences):
    """[[A]] of ids padded on the right by the config's pad token; one by one where it has none."""
    pad = model.config.pad_token_id
    model.eval()
    with torch.no_grad():
        if pad is None:
            return [model(torch.tensor([ids])).logits[0].tolist() for ids in sequences]
        width = max(len(ids) for ids in sequences)
        rows = [ids + [pad] * (width - len(ids)) for ids in sequences]
        mask = [[1] * len(ids) + [0] * (width - len(ids)) for ids in sequences]
        return model(torch.tensor(rows), attention_mask=torch.tensor(mask)).logits.tolist()


def write(folder, model, sequences, more={}):
    golden = {"sequences": [{"ids": i, "scores": s} for i, s in zip(sequences, scores(model, sequences))], **more}
    json.dump(golden, open(f"{folder}/golden.json", "w"))
    print(folder, golden["sequences"][1]["scores"])


def base_with_scores(folder, labels):
    model = AutoModelForSequenceClassification.from_pretrained(folder, num_labels=labels, dtype=torch.float32,
                                                              attn_implementation="eager")
    return model


def main():
    torch.set_num_threads(1)
    warnings.simplefilter("ignore")
    generator = torch.Generator().manual_seed(5)
    sequences = [torch.randint(3, SHAPE["vocab_size"], (n,), generator=generator).tolist() for n in (1, 9, 30, 17)]

    folder = f"{TESTS}/model/golden/scores"
    shutil.rmtree(folder, ignore_errors=True)
    config = Qwen3Config(**SHAPE, head_dim=16, pad_token_id=0, id2label={0: "helpfulness", 1: "correctness", 2: "verbosity"},
                         label2id={"helpfulness": 0, "correctness": 1, "verbosity": 2})
    model = Qwen3ForSequenceClassification(config)
    randomise(model)
    model.to(torch.bfloat16).save_pretrained(folder)
    model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    # Two end tokens behind the last one: read like any other token; then two pads: not read.
    sequences.append(sequences[1] + [2, 2])
    sequences.append(sequences[1] + [2, 0, 0])
    write(folder, model, sequences)

    folder = f"{TESTS}/adapter/golden/seq_cls"
    shutil.rmtree(folder, ignore_errors=True)
    model = base_with_scores(f"{TESTS}/model/golden/llama3", 1)
    model.config.pad_token_id = 0
    model = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", r=3, lora_alpha=6, target_modules="all-linear",
                                             modules_to_save=["score"]))
    generator = torch.Generator().manual_seed(3)
    for name, p in model.named_parameters():
        if p.requires_grad:
            p.data = torch.randn(p.shape, generator=generator) * 0.1
    model.peft_config["default"].base_model_name_or_path = "llama3"
    model.save_pretrained(folder)
    os.remove(f"{folder}/README.md")
    write(folder, model, sequences, {"model": "llama3"})


def check(run):
    warnings.simplefilter("ignore")
    folder = f"{run}/final"
    rows = [json.loads(line) for line in open(f"{run}/samples.jsonl")]
    rows = [r for r in rows if r["split"] == "eval" and r["step"] == rows[-1]["step"]]
    tokenizer = AutoTokenizer.from_pretrained(folder)
    sequences = [tokenizer(r["prompt"] + r["completion"], add_special_tokens=False)["input_ids"] for r in rows]
    if os.path.exists(f"{folder}/adapter_config.json"):
        config = PeftConfig.from_pretrained(folder)
        assert config.task_type == "SEQ_CLS"
        model = base_with_scores(config.base_model_name_or_path, len(rows[0]["rewards"]))
        model.config.pad_token_id = tokenizer.pad_token_id if tokenizer.pad_token_id is not None else tokenizer.eos_token_id
        model = PeftModel.from_pretrained(model, folder)
    else:
        model = AutoModelForSequenceClassification.from_pretrained(folder, dtype=torch.float32, attn_implementation="eager")
    found = torch.tensor(scores(model, sequences))
    expected = torch.tensor([list(r["rewards"].values()) for r in rows])
    worst = (found - expected).abs().max().item()
    print(f"{len(rows)} texts, scores {expected.min().item():.4f} to {expected.max().item():.4f}, largest difference {worst:.1e}")
    sys.exit(0 if worst <= 2e-5 else 1)


if __name__ == "__main__":
    check(*sys.argv[1:]) if len(sys.argv) > 1 else main()
