#!/usr/bin/env python3
"""Prints lib/data/README.md from the registry: what files may be, what their records become, and how to add a format.

  scripts/docs/formats.py build/bin/temper-inspect > lib/data/README.md
"""
import json
import subprocess
import sys

OPENING = """# Data: files, formats, records

<!-- Printed by scripts/docs/formats.py from what `temper-inspect list format` says; edit formats/registry.cc. -->

A file goes through three hands: `source/` takes rows out of what holds them, `formats/` makes each row a record of the kinds of
`records.h`, and `RecordEncoder` makes token ids and targets of a record. `temper-inspect data FILE` shows the first three records as
they were understood, `--model FOLDER` their tokens and which of them are learnt:

```bash
build/bin/temper-inspect data mine.json --model models/smollm2
build/bin/temper-inspect data mine.csv --set columns.prompt=question --set columns.completion=answer
```

## What may hold the rows

| file | told by |
|---|---|
| JSONL, an object a line | what is none of the others |
| a JSON array of objects, on one line or on many | its first character |
| CSV and TSV with a header; quoted cells may hold separators and line ends | the name: `.csv`, `.tsv` |
| Parquet and Arrow, as a stream or a file; the folder that datasets' `save_to_disk` wrote | its first bytes; `state.json` |
| any of the texts under gzip or zstd (`.csv.gz`) | its first bytes |

Cells of a table are text, so that an answer `3` stays one; an empty cell is null, and one that holds a chat as JSON
(`[{"role": ...}]`) is that chat. Parquet and Arrow are read by Arrow's own library, which `scripts/setup.sh` takes out of the pyarrow wheel (`--no-arrow` does without):
`columns/arrow` is a module that programs load when they meet such a file. Lists and structs become lists and objects, of which null
fields are left out, as Arrow fills in what the structs of other rows have.

A packed file may become 200 times as large, or 64 MiB, and none more than 4 GiB: what is larger is
refused before it fills the memory.

## Formats

`"data": {"format": "auto"}`, the default, tells a record by its keys, in the order of this table; a name says that all records have this
format. A file has one format: the first record that differs is an error, but for those that become themselves, which may stand side by
side. Further columns travel along and reach rewards and templates.

| `format` | what | told by | becomes |
|---|---|---|---|
"""

BEHIND = """
`llamafactory` reads a file as LLaMA-Factory's `dataset_info.json` says that names it (`file_name`), beside it or in the folder above:
`formatting` (alpaca, sharegpt, openai), `columns`, `tags`, `ranking`, `kto_tag`. `auto` does so too where there is such an entry and the
config has no `columns` or `tags`. What the entry does not list is not read, as there.

A message's `"weight": 0` keeps a turn of the assistant from being learnt, in any chat. Token ids are learnt where `labels` has them
again; `-100` is not learnt, and positions outside the `attention_mask` are left out. Ids outside the tokenizer's vocabulary and lists
of different lengths are errors.

## Columns and tags

For all that has other names. `columns` says what the file calls `prompt`, `completion`, `messages`, `chosen`, `rejected`, `label`,
`system` and `tools`; the column stays under its own name too, for rewards. `tags` says what messages call `role` and `content` and how
`user`, `assistant`, `system`, `observation` (a tool's answer) and `function` (a call as JSON) are spelled. GSM8K for `sft`:

```json
"data": {"train": ["gsm8k/train.jsonl"], "columns": {"prompt": "question", "completion": "answer"}, "chat_prompts": true}
```

and chats of customers and agents:

```json
"data": {"train": ["talks.json"], "columns": {"messages": "talk"},
         "tags": {"role": "who", "content": "words", "user": "customer", "assistant": "agent"}}
```

## An example of each

"""

ADDING = """
## How to add a format

1. Two functions in a file of `formats/`, declared in `formats/parts.h`: whether a record has the keys that tell it, and what the record
   becomes. They are pure; an error names the record's place. What has nothing to learn (a tie) becomes nothing and is counted.
2. An entry in `formats/registry.cc`, in front of the formats whose keys it has too, with an example that
   `tests/data/formats_test.cc` converts and tells from the others.
3. Its own tool's code in `scripts/oracles/formats.py`, which writes `tests/data/golden/formats.json`; a file in
   `tests/fuzz/corpus/formats`.
4. This page again: `scripts/docs/formats.py build/bin/temper-inspect > lib/data/README.md`.
"""


def main():
    formats = json.loads(subprocess.run([sys.argv[1], "list", "format"], capture_output=True, text=True, check=True).stdout)
    out = [OPENING]
    for f in formats:
        left_out = f"; left out: {f['leaves_out']}" if f["leaves_out"] else ""
        out.append(f"| `{f['name']}` | {f['summary']} ({f['source']}) | {f['keys']} | {f['becomes']}{left_out} |\n")
    out.append(BEHIND)
    for f in formats:
        out.append(f"`{f['name']}`:\n```json\n{json.dumps(f['example'], ensure_ascii=False)}\n```\n")
    out.append(ADDING)
    print("".join(out).rstrip())


if __name__ == "__main__":
    main()
