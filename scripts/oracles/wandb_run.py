#!/usr/bin/env python3
"""Reads an offline run that `temper-convert log RUN --wandb FOLDER` wrote with the wandb package's own record classes and compares it
with the run's metrics.jsonl: every number, step by step. Sending it needs a server.

    python3 scripts/oracles/wandb_run.py RUN FOLDER/offline-run-...     (wandb 0.31, protobuf)
"""
import glob
import json
import math
import struct
import sys
import zlib

from wandb.proto import wandb_internal_pb2


def records(path):
    data = open(path, "rb").read()
    assert struct.unpack("<4sHB", data[:7]) == (b":W&B", 0xBEE1, 0)
    at, text = 7, b""
    while at < len(data):
        left = 32768 - at % 32768
        if left < 7:
            at += left
            continue
        crc, size, kind = struct.unpack("<IHB", data[at:at + 7])
        piece = data[at + 7:at + 7 + size]
        assert zlib.crc32(piece, zlib.crc32(bytes([kind]))) == crc, "a checksum differs"
        text += piece
        at += 7 + size
        if kind in (1, 4):
            record = wandb_internal_pb2.Record()
            record.ParseFromString(text)
            yield record
            text = b""
    assert not text


run, folder = sys.argv[1:]
wanted = {}
for line in open(run + "/metrics.jsonl"):
    row = json.loads(line)
    values = wanted.setdefault(row["step"], {})
    for group, part in ((row["split"], row), (row["split"] + "_time", row.get("time", {}))):
        for name, value in part.items():
            if name not in ("step", "split", "time", "nonfinite") and isinstance(value, (int, float)) and math.isfinite(value):
                values[group + "/" + name] = value
found, kinds, config = {}, [], {}
for number, record in enumerate(records(glob.glob(folder + "/run-*.wandb")[0]), 1):
    assert record.num == number
    kinds.append(record.WhichOneof("record_type"))
    if kinds[-1] == "run":
        config = {u.key: json.loads(u.value_json) for u in record.run.config.update}
    if kinds[-1] == "history":
        found[record.history.step.num] = {i.nested_key[0]: json.loads(i.value_json) for i in record.history.item}
assert kinds[:2] == ["header", "run"] and kinds[-1] == "exit", kinds
assert config == json.load(open(run + "/config.json"))
assert found.keys() == wanted.keys(), (found.keys(), wanted.keys())
for step, values in wanted.items():
    for name, value in values.items():
        assert found[step][name] == value, (step, name, value, found[step].get(name))
    assert found[step]["_step"] == step
print(f"{len(found)} steps, {sum(len(v) for v in wanted.values())} numbers, all equal")
