#!/usr/bin/env python3
"""Tokens that are added to a tokenizer, as the tokenizers package adds them for transformers: writes tests/text/golden/added_tokens.json.

    python3 scripts/oracles/added_tokens.py                            (transformers 5.23, tokenizers, sentencepiece)
    python3 scripts/oracles/added_tokens.py check FINAL [BASE]         (torch, peft: of a run with model.add_tokens)

check: transformers' tokenizer of FINAL knows the tokens, and its log-probs of a few ids are those of `temper-inspect logprob`
(build/bin); with BASE, FINAL is an adapter and PEFT loads it onto BASE, whose embeddings it grows first.
"""
import json
import pathlib
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
GOLDEN = ROOT / "tests/text/golden"
STYLES = ["gpt2", "llama3", "qwen", "smollm", "deepseek", "llama_legacy", "metaspace"]
PLAIN, SPECIAL = ["<plan>", "<plan step>", "Ünï"], ["<|tool|>"]
TEXTS = ["a <plan> of mine", "<plan><plan step>two<plan step>", "x<|tool|>y", "an Ünï and an ünï", "<plan", "  <plan>  <|tool|> ", "Ünï",
         "new\n<plan>\nline", "<plan><|tool|><plan>"]


def write():
    from tokenizers import Tokenizer
    out = {}
    for style in STYLES:
        tokenizer = Tokenizer.from_file(str(GOLDEN / "tokenizers" / style / "tokenizer.json"))
        tokenizer.add_tokens(PLAIN)
        tokenizer.add_special_tokens(SPECIAL)
        rows = []
        for text in TEXTS:
            ids = tokenizer.encode(text, add_special_tokens=False).ids
            rows.append({"text": text, "ids": ids, "shown": tokenizer.decode(ids, skip_special_tokens=True)})
        out[style] = {"ids": [tokenizer.token_to_id(t) for t in PLAIN + SPECIAL], "rows": rows}
    (GOLDEN / "added_tokens.json").write_text(json.dumps({"plain": PLAIN, "special": SPECIAL, "styles": out}, indent=1) + "\n")


def check(final, base):
    import torch
    from transformers import AutoModelForCausalLM, AutoTokenizer
    tokenizer = AutoTokenizer.from_pretrained(final)
    print("tokens:", len(tokenizer), "the last of them:", tokenizer.convert_ids_to_tokens(list(range(len(tokenizer) - 4, len(tokenizer)))))
    if base:
        from peft import PeftModel
        model = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
        model.resize_token_embeddings(len(tokenizer), mean_resizing=False)
        model = PeftModel.from_pretrained(model, final)
    else:
        model = AutoModelForCausalLM.from_pretrained(final, dtype=torch.float32)
    ids = [len(tokenizer) - 1, 5, 6, len(tokenizer) - 2, 7, 8, len(tokenizer) - 1, 9]
    with torch.no_grad():
        logp = torch.log_softmax(model(torch.tensor([ids])).logits[0].double(), -1)
    theirs = [logp[t - 1, ids[t]].item() for t in range(1, len(ids))]
    with tempfile.NamedTemporaryFile("w", suffix=".jsonl") as file:
        file.write(json.dumps({"ids": ids}) + "\n")
        file.flush()
        command = [ROOT / "build/bin/temper-inspect", "logprob", "--model", base or final, "--dtype", "f32", "--input", file.name]
        printed = subprocess.run(command + (["--adapter", final] if base else []), check=True, capture_output=True, text=True).stdout
    ours = json.loads(printed)["logprobs"]
    worst = max(abs(a - b) for a, b in zip(ours, theirs))
    print("largest difference of a log-prob:", worst)
    assert worst < 2e-5


if __name__ == "__main__":
    if sys.argv[1:2] == ["check"]:
        check(sys.argv[2], sys.argv[3] if len(sys.argv) > 3 else None)
    else:
        write()
