#!/usr/bin/env python3
"""Writes tests/text/golden/behind.json: what stands behind an assistant's words when a conversation goes on, by transformers.

Of templates that only ever add to a chat: the whole conversation, rendered by transformers' own render_jinja_template with the
generation prompt, begins with the prompt that the turn was written behind; then come the turn, its end token and all that is
put behind it. Templates are those of tests/text/golden (templates/*.jinja and turns.json), but for the few whose turns hold
special tokens themselves; the other side of the first turn is a
tool or a user, one message or two, and the turn calls a tool or does not.

    python scripts/oracles/template_behind.py            # transformers 5.23, jinja2 3.1.6
"""
import glob
import json
import os
import re

os.environ["HF_HUB_OFFLINE"] = "1"
from transformers.utils.chat_template_utils import render_jinja_template  # noqa: E402

GOLDEN = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "tests", "text", "golden")
EXTRA = {"bos_token": "<s>", "eos_token": "</s>", "date_string": "01 Feb 2025"}
SPECIAL = re.compile(r"<\|[^|<>]*\|>|<｜[^｜<>]*｜>|</?s>|<(?:start|end)_of_[a-z]+>|\[/?(?:INST|TOOL_RESULTS|TOOL_CALLS)\]")
TOOLS = [{"type": "function", "function": {"name": "add", "description": "adds", "parameters": {
    "type": "object", "properties": {"a": {"type": "number"}}, "required": ["a"]}}}]


def call(number):
    return {"id": f"call0000{number}", "type": "function", "function": {"name": "add", "arguments": {"a": number}}}


def tool(number, content):
    return {"role": "tool", "name": "add", "content": content, "tool_call_id": f"call0000{number}"}


def calls(*numbers):
    return {"role": "assistant", "content": "", "tool_calls": [call(n) for n in numbers]}


USER = {"role": "user", "content": "1+1?"}
HOLD_SPECIAL = {"gptoss", "muse_glimmer", "deepseek_r1_distill", "deepseekv3", "nemotron_3_nano", "deepseek_r1.jinja"}
CHATS = [  # messages, and which of them was written last
    ([USER, calls(1), tool(1, "two")], 1),
    ([USER, calls(1, 2), tool(1, "two\n"), tool(2, "<|im_end|> three</s>")], 1),
    ([USER, calls(1), tool(1, "two"), calls(2), tool(2, "three")], 3),
    ([{"role": "system", "content": "Sum."}, USER, calls(1), tool(1, "two")], 2),
    ([USER, {"role": "assistant", "content": "add(1)"}, tool(1, "two")], 1),
    ([USER, {"role": "assistant", "content": "Two."}, {"role": "user", "content": "Sure?"}], 1),
    ([USER, {"role": "assistant", "content": "Two."}, {"role": "user", "content": "Sure?"},
      {"role": "assistant", "content": "Yes."}, {"role": "user", "content": "Why?"}], 3),
]


def render(template, messages):
    return render_jinja_template([messages], chat_template=template, add_generation_prompt=True, tools=TOOLS, **EXTRA)[0][0]


def main():
    with open(os.path.join(GOLDEN, "turns.json"), encoding="utf-8") as file:
        sources = {name: text for name, text in json.load(file)["templates"].items()}
    for path in sorted(glob.glob(os.path.join(GOLDEN, "templates", "*.jinja"))):
        with open(path, encoding="utf-8", newline="") as file:
            sources[os.path.basename(path)] = file.read()
    rows = []
    for name, template in sources.items():
        if name in HOLD_SPECIAL:
            continue
        for k, (messages, written) in enumerate(CHATS):
            try:
                prompt, whole = render(template, messages[:written]), render(template, messages)
            except Exception as e:  # a template without tools or systems
                print(f"{name}, chat {k}: {type(e).__name__}: {str(e)[:60]}")
                continue
            shown = all(m["content"].strip() in whole for m in messages[written + 1:])
            end = SPECIAL.search(whole, len(prompt))
            if end and end.group() == "[TOOL_CALLS]":
                end = SPECIAL.search(whole, end.end())
            if not whole.startswith(prompt) or not shown or not end or end.start() == len(prompt):
                print(f"{name}, chat {k}: written anew when it goes on, or not at all")
                continue
            rows.append({"template": name, "chat": k, "turn": whole[len(prompt):end.start()],
                         "behind": whole[end.start():],
                         "special": sorted(set(SPECIAL.findall(whole)), key=lambda s: (-len(s), s))})
    with open(os.path.join(GOLDEN, "behind.json"), "w", encoding="utf-8", newline="\n") as out:
        out.write("{\"extra\": " + json.dumps(dict(EXTRA, tools=TOOLS)) + ",\n\"chats\": "
                  + json.dumps([{"messages": m, "written": w} for m, w in CHATS], ensure_ascii=False)
                  + ",\n\"cases\": [\n" + ",\n".join(json.dumps(r, ensure_ascii=False) for r in rows) + "\n]}\n")
    print(len(rows), "chats of", len({r["template"] for r in rows}), "templates")


if __name__ == "__main__":
    main()
