#!/usr/bin/env bash
# The speed table on a toy model without a peer: every row is measured, kept and not measured again, and becomes the table, the bars, the
# roofline page and the curves.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/bench.sh
set -euo pipefail
export TEMPER_BIN=${TEMPER_BIN:?}
source=${TEMPER_SOURCE:?}
work=$(mktemp -d)
export XDG_CACHE_HOME=$work/cache
trap 'rm -rf "$work"' EXIT
fail() { echo "FAIL: $*"; exit 1; }
bench() { env -u TEMPER_PEER_PYTHON "$source/scripts/bench/run.sh" "$@" 2>> "$work/log"; }
toy=(--toy --no-peer --steps 2 --threads 1 --out "$work/out")

bench "${toy[@]}" --runs 1 --rows grpo-full-bf16,sft > "$work/first" || { cat "$work/log"; fail "the first rows"; }
cp "$work/out/sft-bf16.json" "$work/before.json"
bench "${toy[@]}" --runs 1 > "$work/all" || { cat "$work/log"; fail "all rows"; }
cmp "$work/before.json" "$work/out/sft-bf16.json" || fail "a row that was there is measured again"
bench "${toy[@]}" --runs 2 --rows sft-bf16 > "$work/second" || { cat "$work/log"; fail "a second run"; }
bench curves "${toy[@]}" --runs 1 > "$work/curves" || { cat "$work/log"; fail "curves"; }
bench report --out "$work/out" > "$work/report" || { cat "$work/log"; fail "report"; }
cmp "$work/report" "$work/out/table.md" || fail "report prints another table"

for wrong in "--rows nothing" "--steps 3 --rows sft-bf16" "--rows sft-bf16 --gsm8k /nowhere"; do
  # shellcheck disable=SC2086
  if bench "${toy[@]}" --runs 1 $wrong > /dev/null; then fail "$wrong is taken"; fi
done
if bench --rows sft-bf16 --out "$work/none"; then fail "neither a peer's Python nor --no-peer is asked for"; fi

python3 - "$work/out" "$("$source/scripts/bench/run.sh" --list | cut -d' ' -f1 | tr '\n' ' ')" <<'PY'
import json, pathlib, sys
import xml.etree.ElementTree as xml
out, rows = pathlib.Path(sys.argv[1]), sys.argv[2].split()
table = (out / "table.md").read_text()
assert len(rows) >= 24, rows
for row in rows:
    kept = json.loads((out / f"{row}.json").read_text())
    assert f"| {row} |" in table, (row, table)
    values = [run["value"] for run in kept["sides"]["Temper"]]
    assert len(values) == (2 if row == "sft-bf16" else 1) and all(v > 0 for v in values), (row, values)
    assert not set(kept["sides"]) & {"TRL", "transformers", "llama.cpp", "safetensors"}, kept["sides"].keys()
phases = json.loads((out / "grpo-full-bf16.json").read_text())["sides"]["Temper"][0]["phases"]
assert {"generate", "reward", "forward", "head", "backward", "optimizer"} <= set(phases), phases
for name in ("grpo-full-bf16", "dpo-fp32", "lora-nf4"):
    assert any(line.startswith(f"| {name} |") for line in table.split("GB planned")[1].splitlines()), table
bars = (out / "ratios.svg").read_text()
xml.fromstring(bars)
assert bars.count("<rect") == 1 + 5 and "lora-nf4" in bars and "memory-growth" in bars, bars  # the rows beside Temper itself
roofline = (out / "roofline.md").read_text()
for part in ("GFLOP/s", "GB/s", "### grpo-full-bf16", "| backward |", "### Decoding", "| decode-1-fp32 |"):
    assert part in roofline, (part, roofline)
for name in ("group", "vocabulary"):
    xml.fromstring((out / f"curve-{name}.svg").read_text())
    assert len(json.loads((out / "curves.json").read_text())["curves"][name]["points"]) == 2
print(f"bench: {len(rows)} rows, the table, the bars, the roofline page and the curves")
PY
