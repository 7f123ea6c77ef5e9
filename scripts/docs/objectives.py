#!/usr/bin/env python3
"""Prints lib/objective/README.md from the registry: a section a family, a part an objective.

  scripts/docs/objectives.py build/bin/temper-inspect > lib/objective/README.md
"""
import json
import subprocess
import sys
from pathlib import Path

ROOM = Path(__file__).resolve().parent.parent.parent / "lib/objective"

OPENING = """# Objectives

<!-- Printed by scripts/docs/objectives.py from what `temper-inspect list objective` says; edit notes.cc and registry.cc of the families. -->

Pure functions from ragged numbers (one per token, sequence or group) to values; `policy/policy.h` says the contract of the largest
family. One folder a family; one file an objective, one line in `registry.cc`, its equation and metrics in `notes.cc`, one test.
`temper-inspect list objective NAME` prints what stands here, `temper-inspect objective NAME --input batch.json` evaluates one on
numbers. A program of your own adds to the registries with the functions of `extend.h`.

Every value and gradient is compared with the peers' own code, or with the authors' form in float64: on the goldens of
`tests/objective/golden`, and on 200 random ragged batches a row ([worst errors](../../scripts/oracles/random_batches.md)).

"""


def listed(program, kind):
    return json.loads(subprocess.run([program, "list", kind], capture_output=True, text=True, check=True).stdout)


def anchor(family, name):
    return f"{family}-{name}".replace("_", "-")


def numbered(lines):
    return "".join(f"{i}. {line}\n" for i, line in enumerate(lines, 1))


def metrics(rows):
    return "".join(f"- `{m['name']}`: {m['what']}\n" for m in rows)


def default(field):
    if field.get("required"):
        return "required"
    return "" if "default" not in field else f"`{json.dumps(field['default'], ensure_ascii=False)}`"


def fields(rows, shared):
    own = [f for f in rows if f["name"] not in shared or json.dumps(f.get("default")) != shared[f["name"]]]
    if not own:
        return ""
    lines = ["| field | default | what |", "|---|---|---|"]
    for f in own:
        note = "" if f["name"] not in shared else " (differs from the family's default)"
        lines.append(f"| `{f['name']}` | {default(f)} | {f.get('help', '').replace('|', '&#124;')}{note} |")
    return "\n".join(lines) + "\n\n"


def common_fields(entries):
    """Fields that every objective of a family has, with the commonest default."""
    names = set.intersection(*[{f["name"] for f in e["fields"]} for e in entries])
    shared, rows = {}, []
    for f in entries[0]["fields"]:
        if f["name"] not in names or len(entries) < 3:
            continue
        values = [json.dumps(g.get("default")) for e in entries for g in e["fields"] if g["name"] == f["name"]]
        shared[f["name"]] = max(sorted(set(values)), key=values.count)
        rows.append({**f, "default": json.loads(shared[f["name"]])})
    return shared, rows


def main():
    program = sys.argv[1]
    entries = listed(program, "objective")
    out = [OPENING]
    for family in listed(program, "objective_family"):
        mine = [e for e in entries if e["family"] == family["name"]]
        out.append(f"- [{family['title']}](#{family['title'].lower().replace(' ', '-')}): "
                   + ", ".join(f"[{e['name']}](#{anchor(e['family'], e['name'])})" for e in mine) + "\n")  # fmt: skip
    study = (ROOM / "study/reading.txt").read_text() if (ROOM / "study/reading.txt").exists() else ""
    if study:
        out.append(f"\n## The study\n\n[All of them side by side](study/study.html) (`scripts/study/algorithms.sh`). {study}")
    for family in listed(program, "objective_family"):
        mine = [e for e in entries if e["family"] == family["name"]]
        shared, rows = common_fields(mine)
        out.append(f"\n## {family['title']}\n\n{family['summary']}\n")
        if family["departures"]:
            out.append(f"\nDifferent from the sources on purpose, for the whole family:\n\n{numbered(family['departures'])}")
        if family["metrics"]:
            out.append(f"\nMetrics of every one (means over the step):\n\n{metrics(family['metrics'])}")
        if rows:
            out.append(f"\nFields of every one:\n\n{fields(rows, {})}".rstrip() + "\n")
        for e in mine:
            out.append(f'\n<a id="{anchor(e["family"], e["name"])}"></a>\n### {e["name"]}\n\n{e["summary"]}')
            out.append(f". {e['source']}.\n\n" if e["source"] else ".\n\n")
            if e["equation"]:
                out.append(f"    {e['equation']}\n\n")
            out.append(f"Reads {', '.join(e['inputs'])}.\n\n")
            if e["departures"]:
                out.append(numbered(e["departures"]) + "\n")
            if e["metrics"]:
                out.append(metrics(e["metrics"]) + "\n")
            out.append(fields(e["fields"], shared))
            curve = f"study/{e['family']}-{e['name']}.svg"
            if (ROOM / curve).exists():
                out.append(f"![{e['name']} in the study]({curve})\n\n")
    out.append("\n## What else departs from its source\n\nWhat `temper-inspect list` says of kinds that are no objectives.\n\n")
    for kind in ("input", "filter", "order", "selection", "problem", "reward", "replay", "adapter", "optimizer", "schedule"):
        for e in listed(program, kind):
            if e["departures"]:
                out.append(f"{kind} `{e['name']}`" + (f" ({e['source']})" if e["source"] else "") + ":\n\n" + numbered(e["departures"]) + "\n")
    print("".join(out).rstrip())


if __name__ == "__main__":
    main()
