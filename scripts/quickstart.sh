#!/usr/bin/env bash
# From nothing to a model that learned: sets everything up, builds the six programs, makes arithmetic data, trains a small Llama
# from random weights by supervised fine-tuning, then by GRPO from exact answers, and prints the held-out accuracy on the way.
# Tests are not built here; scripts/test.sh builds everything. With --real it fetches SmolLM2-135M-Instruct (89 MB) instead and
# teaches it two-digit sums and differences by GRPO.
#   scripts/quickstart.sh [--real] [folder for data and runs, default runs/quickstart]
set -euo pipefail
cd "$(dirname "$0")/.."
real=0
if [ "${1:-}" = --real ]; then real=1; shift; fi
scripts/setup.sh --programs
bin=${TEMPER_BUILD:-build}/bin
out=${1:-runs/quickstart}
mkdir -p "$out"

if [ $real = 1 ]; then
  scripts/fetch_smollm2.sh
  start=$SECONDS
  "$bin/temper-train" configs/rl/smollm2-arithmetic.json --run "$out/real"
  python3 - "$out/real" $((SECONDS - start)) <<'PY'
import json, sys
run, seconds = sys.argv[1], int(sys.argv[2])
rows = [r for r in map(json.loads, open(f"{run}/metrics.jsonl")) if r["split"] == "eval"]
print("held-out accuracy of answers sampled at temperature 1, two-digit sums and differences:")
for what, r in (("SmolLM2-135M-Instruct", rows[0]), ("after GRPO", rows[-1])):
    print(f"  {what:<24}{100 * r['accuracy']:5.1f} %   95 % interval {100 * r['low']:.1f} to {100 * r['high']:.1f}")
print(f"trained in {seconds} s; report: {run}/report.html, adapter: {run}/final")
if rows[-1]["low"] <= rows[0]["high"]:
    sys.exit("quickstart: the model did not learn; please report this with the run folder")
PY
  cat <<TEXT

Talk to it, and to the model it came from, in a browser:
  $bin/temper-serve $out/real
Or here:
  $bin/temper-generate --model models/smollm2 --adapter $out/real/final --chat
Your own data (ShareGPT, Alpaca, OpenAI chats, CSV, Parquet ...; temper-inspect data FILE shows how a file is understood):
  $bin/temper-train mine.json --new sft --data YOURS --model models/smollm2 && $bin/temper-train mine.json
TEXT
  exit 0
fi

echo "== data: arithmetic questions in words" >&2
python3 scripts/data/arithmetic.py --out "$out/data" --train 6000 --test 300 --max-number 10

start=$SECONDS
common=(--set "data.train=[\"$out/data/train.jsonl\"]" --set "data.eval=[\"$out/data/test.jsonl\"]")
echo "== supervised fine-tuning from random weights" >&2
"$bin/temper-train" configs/sft/quickstart.json "${common[@]}" --run "$out/sft"
echo "== GRPO from verifiable rewards" >&2
"$bin/temper-train" configs/rl/quickstart.json "${common[@]}" --set "model.path=$out/sft/final" --run "$out/rl"

python3 - "$out" $((SECONDS - start)) <<'PY'
import json, sys
out, seconds = sys.argv[1], int(sys.argv[2])
def evals(run):
    rows = [json.loads(line) for line in open(f"{out}/{run}/metrics.jsonl")]
    return [r for r in rows if r["split"] == "eval"]
def show(what, r):
    print(f"  {what:<24}{100 * r['accuracy']:5.1f} %   95 % interval {100 * r['low']:.1f} to {100 * r['high']:.1f}")
sft, rl = evals("sft"), evals("rl")
print("held-out accuracy of answers sampled at temperature 1:")
show("random weights", sft[0])
show("after fine-tuning", sft[-1])
show("after GRPO", rl[-1])
print(f"trained in {seconds} s; report: {out}/rl/report.html, model: {out}/rl/final")
if rl[-1]["accuracy"] <= sft[-1]["accuracy"] or sft[-1]["accuracy"] <= sft[0]["accuracy"]:
    sys.exit("quickstart: the model did not learn; please report this with the run folder")
PY
cat <<TEXT

Talk to it:
  $bin/temper-generate --model $out/rl/final --prompt "Mia has 3 pens and buys 4. How many pens does Mia have?" --max-new-tokens 32
Your own data, lines of {"prompt": ..., "completion": ...} or {"messages": [...]}, from the model above:
  $bin/temper-train configs/sft/quickstart.json --set 'data.train=["YOURS.jsonl"]' --set 'model={"path": "$out/rl/final"}' --run runs/mine
A real model (SmolLM2-135M-Instruct, 89 MB) in its place:
  scripts/fetch_smollm2.sh && $bin/temper-generate --model models/smollm2 --chat
TEXT
