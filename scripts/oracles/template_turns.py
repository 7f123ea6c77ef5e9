#!/usr/bin/env python3
"""Writes tests/text/golden/turns.json: what the assistant wrote in chats of real templates, by TRL's training templates.

TRL ships the templates of many models twice: as the model has them, and with {% generation %} around what the
assistant writes (the *_training.jinja beside them). Where both render a chat alike, the spans of the second say what the
assistant wrote in the first, which has none. Two things are taken off a span, as TRL's trainers do for prompts and
completions or as Temper's end of a turn is defined:
- at its beginning, what the generation prompt has written already (TRL's common_prefix_length);
- at its end, white space behind the last special token.

Needs trl 1.16 and transformers 5.23: /path/to/python scripts/oracles/template_turns.py
"""
import json
import os
import re

import trl
from transformers.utils.chat_template_utils import render_jinja_template

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "..", "tests", "text", "golden", "turns.json")
TEMPLATES = os.path.join(os.path.dirname(trl.__file__), "chat_templates")
NAMES = ["cohere", "deepseek_r1_distill", "deepseekv3", "gemma", "gptoss", "idefics3", "lfm2", "llama3",
         "muse_glimmer", "nemotron_3_nano", "phi3", "qwen2_5", "qwen3", "qwen3_5_think", "qwen3_8", "qwen3_vl"]
EXTRA = {"bos_token": "<s>", "eos_token": "</s>", "pad_token": "<pad>"}
SPECIAL = re.compile(r"<\|[^|<>]*\|>|<｜[^｜<>]*｜>|<[a-z]+\|>|<\|[a-z]+>|</?s>|<(?:start|end)_of_[a-z]+>")


UNIT = re.compile(SPECIAL.pattern + r"|</?think>|.", re.S)  # what no tokenizer of these models cuts further, or more


def alike(a, b):
    """Code points of b that it has in common with a, in whole tokens."""
    length = 0
    for x, y in zip(UNIT.findall(a), UNIT.findall(b)):
        if x != y:
            break
        length += len(x)
    return length


def message(role, content, **more):
    return {"role": role, "content": content, **more}


CALL = [{"type": "function", "function": {"name": "add", "arguments": {"a": 2, "b": 2}}}]
CHATS = [
    [message("user", "2+2?"), message("assistant", "4")],
    [message("user", "2+2?"), message("assistant", "4"), message("user", "and é?"), message("assistant", "<no>\n")],
    [message("system", "Be brief."), message("user", "2+2?"), message("assistant", "<think>\nsum\n</think>\n\n4")],
    [message("user", "2+2?"), message("assistant", "", tool_calls=CALL), message("tool", "4", name="add"),
     message("assistant", "It is 4.")],
    [message("user", "q"), message("assistant", ""), message("user", "q"), message("assistant", "a"),
     message("user", "q"), message("assistant", "b")],
]


def read(name):
    with open(os.path.join(TEMPLATES, name + ".jinja"), newline="") as file:
        return file.read()


def render(template, messages, generation_prompt=False, spans=False):
    texts, indices = render_jinja_template(
        [messages], chat_template=template, add_generation_prompt=generation_prompt,
        return_assistant_tokens_mask=spans, **EXTRA)
    return texts[0], indices[0] if spans else []


def turns(template, training, messages):
    """[[begin, end), ...] in code points, or None where the two render differently."""
    text, _ = render(template, messages)
    trained, spans = render(training, messages, spans=True)
    if text != trained:
        return None
    merged = []
    for begin, end in spans:
        if merged and merged[-1][1] == begin:
            merged[-1][1] = end
        else:
            merged.append([begin, end])
    given = [alike(render(template, messages[:i], True)[0], text)
             for i, m in enumerate(messages) if m["role"] == "assistant"]
    out = []
    for begin, end in merged:
        begin = max([begin] + [g for g in given if g <= end])
        ends = [m.end() for m in SPECIAL.finditer(text[begin:end])]
        if ends and not text[begin + ends[-1]:end].strip(" \t\r\n"):
            end = begin + ends[-1]
        out.append([begin, end])
    return out


def main():
    cases, sources = [], {}
    for name in NAMES:
        template, training = (re.sub(r"strftime_now\([^)]*\)", '"2026-01-31"', read(n))
                              for n in (name, name + "_training"))
        for k, messages in enumerate(CHATS):
            try:
                found = turns(template, training, messages)
            except Exception as e:  # a template without tools or systems
                print(f"{name}, chat {k}: {type(e).__name__}: {str(e)[:60]}")
                continue
            if name == "gptoss" and not messages[1]["content"] and "tool_calls" not in messages[1]:
                continue  # a header of special tokens alone, and an end that changes with what follows
            if found is None:
                print(f"{name}, chat {k}: the training template writes it differently")
                continue
            text, _ = render(template, messages)
            sources[name] = template
            size = lambda n: len(text[:n].encode())
            cases.append({"template": name, "chat": k, "text": text,
                          "special": sorted(set(SPECIAL.findall(text)), key=lambda s: (-len(s), s)),
                          "turns": [[size(b), size(e)] for b, e in found]})
    rows = ",\n".join(json.dumps(case, ensure_ascii=False) for case in cases)
    with open(OUT, "w", newline="\n") as out:
        out.write("{\"extra\": " + json.dumps(EXTRA) + ",\n\"chats\": "
                  + json.dumps(CHATS, ensure_ascii=False) + ",\n\"templates\": "
                  + json.dumps(sources, ensure_ascii=False) + ",\n\"cases\": [\n" + rows + "\n]}\n")
    print(len(cases), "chats of", len(sources), "templates")


if __name__ == "__main__":
    main()
