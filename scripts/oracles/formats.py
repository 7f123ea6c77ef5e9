#!/usr/bin/env python3
"""Writes tests/data/golden/formats.json, lines.jsonl.zst and columns/: records of other tools, and what the tools' own code makes of them.

- alpaca, sharegpt and entries of dataset_info.json: the converters of LLaMA-Factory (llamafactory/data/converter.py and
  parser.py), whose _prompt, _response, _system and _tools are put together as a record here. A function's call is JSON in
  its words, which LLaMA-Factory's FunctionFormatter reads when it renders it; it is read in the same way here.
- h4: TRL's data_utils.maybe_extract_prompt.
- hh: the function of TRL's examples/datasets/hh-rlhf-helpful-base.py, which the package does not hold.
- lines.jsonl.zst: pyarrow's zstd. columns/: pyarrow's Parquet, with every compression that its wheel writes, and datasets'
  save_to_disk; the rows are those of pyarrow's to_pylist, without the nulls that structs of other rows bring along.
- tables: Hugging Face datasets, load_dataset("csv"), every cell as text.

Needs trl 1.16, datasets 5.2 and the unpacked wheel of llamafactory 0.9.5 (its dependencies are not used):
  /path/to/python scripts/oracles/formats.py /path/to/unpacked
"""
import importlib
import json
import math
import os
import re
import shutil
import sys
import tempfile
import types

HERE = os.path.dirname(os.path.abspath(__file__))
OUT = os.path.join(HERE, "..", "..", "tests", "data", "golden", "formats.json")


def llamafactory(folder):
    """converter.py and parser.py without the packages round them, which import a whole trainer."""
    quiet = types.SimpleNamespace(warning_rank0=lambda *_: None, warning_rank0_once=lambda *_: None)
    logging = types.ModuleType("llamafactory.extras.logging")
    logging.get_logger = lambda _: quiet
    constants = types.ModuleType("llamafactory.extras.constants")
    constants.DATA_CONFIG = "dataset_info.json"
    misc = types.ModuleType("llamafactory.extras.misc")
    misc.use_modelscope = misc.use_openmind = lambda: False
    for name, path in (("llamafactory", "llamafactory"), ("llamafactory.extras", None), ("llamafactory.data", "llamafactory/data")):
        package = types.ModuleType(name)
        package.__path__ = [os.path.join(folder, path)] if path else []
        sys.modules[name] = package
    sys.modules.update({m.__name__: m for m in (logging, constants, misc)})
    sys.modules["llamafactory.extras"].logging = logging
    return importlib.import_module("llamafactory.data.converter"), importlib.import_module("llamafactory.data.parser")


def message(turn):
    if turn["role"] == "function":
        calls = json.loads(turn["content"])
        calls = calls if isinstance(calls, list) else [calls]
        return {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": call} for call in calls]}
    return {"role": "tool" if turn["role"] == "observation" else str(turn["role"].value if hasattr(turn["role"], "value") else turn["role"]),
            "content": turn["content"]}


def listed_record(modules, entry, record):
    converter, parser = modules
    attr, = parser.get_dataset_list(["mine"], {"mine": dict(entry, file_name="a.json")})
    out = converter.get_dataset_converter(attr.formatting, attr, None)(dict(record))
    system = [{"role": "system", "content": out["_system"]}] if out["_system"] else []
    prompt = system + [message(m) for m in out["_prompt"]]
    response = [message(m) for m in out["_response"]]
    if attr.kto_tag:
        label = record[attr.kto_tag]
        made = {"prompt": prompt, "completion": [response[0 if label else 1]], "label": label}
    elif attr.ranking:
        made = {"prompt": prompt, "chosen": [response[0]], "rejected": [response[1]]}
    else:
        made = {"messages": prompt + response}
    tools = json.loads(out["_tools"]) if out["_tools"] else None
    if tools:
        made["tools"] = [{"type": "function", "function": tool} for tool in tools]
    return made


def hh(example):
    """TRL, examples/datasets/hh-rlhf-helpful-base.py: extract_dialogue."""
    prompt = os.path.commonprefix([example["chosen"], example["rejected"]])
    if not prompt.endswith("\n\nAssistant: "):
        prompt = prompt[: prompt.rfind("\n\nAssistant: ")] + "\n\nAssistant: "
    chosen, rejected = (example[k][len(prompt):] for k in ("chosen", "rejected"))
    parts = re.split(r"(\n\nAssistant: |\n\nHuman: )", prompt[: -len("\n\nAssistant: ")])[1:]
    turns = [{"role": "user" if a == "\n\nHuman: " else "assistant", "content": b} for a, b in zip(parts[::2], parts[1::2])]
    return {"prompt": turns, "chosen": [{"role": "assistant", "content": chosen}], "rejected": [{"role": "assistant", "content": rejected}]}


def chat(*turns, role="from", content="value", names=("human", "gpt")):
    return [{role: names[i % 2], content: text} for i, text in enumerate(turns)]


def listed_cases(modules):
    tools = json.dumps([{"name": "add", "description": "Adds.", "parameters": {"type": "object", "properties": {"a": {"type": "integer"}}}}])
    call = json.dumps({"name": "add", "arguments": {"a": 2, "b": [1, "é"]}}, ensure_ascii=False)
    two = json.dumps([{"name": "add", "arguments": {"a": 1}}, {"name": "add", "arguments": {"a": 2}}])
    called = [{"from": "human", "value": "2+1?"}, {"from": "function_call", "value": call}, {"from": "observation", "value": "3"},
              {"from": "gpt", "value": "It is 3."}]
    sharegpt = {"formatting": "sharegpt"}
    roles = {"role_tag": "role", "content_tag": "content", "user_tag": "user", "assistant_tag": "assistant", "system_tag": "system",
             "observation_tag": "tool", "function_tag": "call"}
    yield "alpaca", {}, {"instruction": "Add one.", "input": "2", "output": "3"}
    yield "alpaca", {}, {"instruction": "Say hello.", "input": "", "output": "Hello."}
    yield "alpaca", {}, {"instruction": "", "input": "Only\nthis.", "output": "Yes."}
    full = {"prompt": "instruction", "query": "input", "response": "output", "system": "system", "history": "history"}
    yield "alpaca", {"columns": full}, {"instruction": "And 2?", "input": "", "output": "3", "system": "Be brief.",
                                        "history": [["1+1?", "2"], ["é?", "e"]]}
    yield "alpaca", {"columns": full}, {"instruction": "a", "input": "b", "output": "c", "system": "", "history": []}
    yield "listed", {"columns": {"prompt": "question", "response": "answer"}}, {"question": "2+1?", "answer": "3", "input": "not this"}
    yield "listed", {"columns": {"query": "q", "response": "a"}}, {"q": "2+1?", "a": "3"}
    yield "listed", {"ranking": True, "columns": {"prompt": "q", "query": "input", "chosen": "good", "rejected": "bad"}}, {
        "q": "2+1?", "input": "Quick.", "good": "3", "bad": "4"}
    yield "listed", {"columns": {"prompt": "instruction", "response": "output", "kto_tag": "fine"}}, {
        "instruction": "2+1?", "output": "3", "fine": True}
    yield "listed", {"columns": {"prompt": "instruction", "response": "output", "kto_tag": "fine"}}, {
        "instruction": "2+1?", "output": "4", "fine": False}
    yield "sharegpt", sharegpt, {"conversations": chat("2+1?", "3")}
    yield "sharegpt", sharegpt, {"conversations": [{"from": "system", "value": "Be brief."}] + chat("2+1?", "3", "And?", "4")}
    yield "sharegpt", dict(sharegpt, columns={"messages": "conversations", "system": "system", "tools": "tools"}), {
        "conversations": called, "system": "Use tools.", "tools": tools}
    yield "sharegpt", dict(sharegpt, columns={"messages": "conversations", "system": "system", "tools": "tools"}), {
        "conversations": [called[0], {"from": "function_call", "value": two}] + called[2:], "system": "", "tools": tools}
    yield "sharegpt", dict(sharegpt, columns={"messages": "conversations", "tools": "tools"}), {"conversations": chat("a", "b"), "tools": "[]"}
    yield "listed", dict(sharegpt, columns={"messages": "talk"}, tags=roles), {
        "talk": [{"role": "system", "content": "s"}] + chat("a", "b", role="role", content="content", names=("user", "assistant"))}
    yield "listed", dict(sharegpt, columns={"messages": "talk", "system": "sys"}, tags=roles), {
        "sys": "t", "talk": [{"role": "user", "content": "2+1?"}, {"role": "call", "content": call}, {"role": "tool", "content": "3"},
                             {"role": "assistant", "content": "3."}]}
    yield "listed", dict(sharegpt, ranking=True, columns={"messages": "conversations", "chosen": "chosen", "rejected": "rejected"}), {
        "conversations": chat("2+1?", "3", "Sure?"), "chosen": {"from": "gpt", "value": "Yes."}, "rejected": {"from": "gpt", "value": "No."}}
    yield "listed", dict(sharegpt, columns={"messages": "conversations", "kto_tag": "label"}), {
        "conversations": chat("2+1?", "3", "Sure?", "Yes."), "label": True}
    yield "listed", dict(sharegpt, columns={"messages": "conversations", "kto_tag": "label"}), {
        "conversations": chat("2+1?", "4"), "label": False}


def h4_records():
    u, a = (lambda t: {"role": "user", "content": t}), (lambda t: {"role": "assistant", "content": t})
    yield {"prompt": "2+1?", "chosen": [u("2+1?"), a("3")], "rejected": [u("2+1?"), a("4")]}
    yield {"prompt": "And?", "chosen": [u("2+1?"), a("3"), u("And?"), a("4"), u("x"), a("y")], "rejected": [u("2+1?"), a("3"), u("And?"), a("5")]}


def hh_records():
    yield {"chosen": "\n\nHuman: 2+1?\n\nAssistant: 3", "rejected": "\n\nHuman: 2+1?\n\nAssistant: 4"}
    yield {"chosen": "\n\nHuman: Hi\n\nthere\n\nAssistant: Hello. \n\nHuman: 2+1?\n\nAssistant: It is 3.",
           "rejected": "\n\nHuman: Hi\n\nthere\n\nAssistant: Hello. \n\nHuman: 2+1?\n\nAssistant: It is é."}
    yield {"chosen": "\n\nHuman: 2+1?\n\nAssistant: 3\n\nHuman: And?\n\nAssistant: 4", "rejected": "\n\nHuman: 2+1?\n\nAssistant: 3\n\nHuman: So?\n\nAssistant: 5"}


TABLES = [
    ("a.csv", 'prompt,completion\n"2+1?",3\n"a ""quote"", and\na line",4\n é ,\n'),
    ("b.tsv", "question\tanswer\tlevel\r\n2+1?\t3\t007\r\nwith, comma\tTrue\t1.0\r\n"),
]


def tables():
    import datasets

    for name, text in TABLES:
        with tempfile.TemporaryDirectory() as folder:
            path = os.path.join(folder, name)
            with open(path, "w", newline="", encoding="utf-8") as f:
                f.write(text)
            separator = "\t" if name.endswith("tsv") else ","
            words = datasets.Features({column: datasets.Value("string") for column in text.splitlines()[0].split(separator)})
            rows = datasets.load_dataset("csv", data_files=path, sep=separator, features=words, keep_default_na=False, na_values=[""],
                                         split="train", cache_dir=folder)
            yield {"name": name, "text": text, "rows": list(rows)}


def without_nulls(value):
    if isinstance(value, list):
        return [without_nulls(v) for v in value]
    return {k: without_nulls(v) for k, v in value.items() if v is not None} if isinstance(value, dict) else value


ROWS = [
    {"data_source": "openai/gsm8k", "prompt": [{"role": "user", "content": "2+1?", "name": None}, {"role": "assistant", "content": "é", "name": "b"}],
     "reward_model": {"style": "rule", "ground_truth": "3"}, "extra_info": {"index": 0, "split": "train"}, "score": 0.5, "good": True,
     "ids": [1, 2, 3], "none": None, "empty": []},
    {"data_source": "b", "prompt": [{"role": "user", "content": "3+1?", "name": None}], "reward_model": {"style": "rule", "ground_truth": "4"},
     "extra_info": None, "score": None, "good": False, "ids": [], "none": None, "empty": []},
]


def columns():
    """(name below columns/, its rows), each written."""
    import datasets
    import pyarrow
    import pyarrow.parquet

    folder = os.path.join(os.path.dirname(OUT), "columns")
    shutil.rmtree(folder, ignore_errors=True)
    os.makedirs(folder)
    rows = [{k: without_nulls(v) for k, v in row.items()} for row in ROWS]
    table = pyarrow.Table.from_pylist(ROWS)
    for compression in ("none", "snappy", "gzip", "zstd", "brotli", "lz4"):
        pyarrow.parquet.write_table(table, os.path.join(folder, compression + ".parquet"), compression=compression, row_group_size=1, store_schema=False)
        yield compression + ".parquet", rows
    with pyarrow.ipc.new_file(os.path.join(folder, "file.arrow"), table.schema) as out:
        out.write_table(table, max_chunksize=1)
    yield "file.arrow", rows
    odd = pyarrow.table({"prompt": pyarrow.array(["a", "b", "a"]).dictionary_encode(), "completion": pyarrow.array(["c", "d", "e"], pyarrow.large_string()),
                         "half": pyarrow.array([1.5, float("nan"), float("inf")]), "big": pyarrow.array([2**63, 0, 1], pyarrow.uint64()),
                         "pair": pyarrow.array([[1, 2], [3, 4], [5, 6]], pyarrow.list_(pyarrow.int8(), 2))})
    with pyarrow.ipc.new_stream(os.path.join(folder, "odd.arrow"), odd.schema) as out:
        out.write_table(odd)
    finite = [{k: None if isinstance(v, float) and not math.isfinite(v) else v for k, v in row.items()} for row in odd.to_pylist()]
    yield "odd.arrow", finite
    data = datasets.Dataset.from_list([{"instruction": f"{a}+1?", "input": "", "output": str(a + 1)} for a in range(4)])
    data.save_to_disk(os.path.join(folder, "saved"), num_shards=2)
    yield "saved", list(data)


def main():
    import pyarrow
    from trl.data_utils import maybe_extract_prompt

    modules = llamafactory(sys.argv[1])
    cases = [{"format": format, "info": entry, "record": record, "expected": listed_record(modules, entry, record)}
             for format, entry, record in listed_cases(modules)]
    cases += [{"format": "h4", "record": r, "expected": maybe_extract_prompt(r)} for r in h4_records()]
    cases += [{"format": "hh", "record": r, "expected": hh(r)} for r in hh_records()]
    with open(OUT, "w", encoding="utf-8") as f:
        json.dump({"cases": cases, "tables": list(tables()), "columns": [{"name": n, "rows": r} for n, r in columns()]}, f, ensure_ascii=False, indent=1)
        f.write("\n")
    lines = "".join(json.dumps({"prompt": f"{a}+1?", "completion": str(a + 1)}) + "\n" for a in range(8))
    with open(os.path.join(os.path.dirname(OUT), "lines.jsonl.zst"), "wb") as f:
        f.write(pyarrow.compress(lines.encode(), codec="zstd", asbytes=True))


if __name__ == "__main__":
    main()
