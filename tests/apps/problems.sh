#!/usr/bin/env bash
# Made problems: what temper-inspect prints of them is what the oracles work out from their texts alone; temper-eval's reward
# scores their own answers; runs learn from them, sft and rl, and one that was killed ends with the same bytes.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/problems.sh
set -euo pipefail
bin=${TEMPER_BIN:?} source=${TEMPER_SOURCE:?}
work=$(mktemp -d)
export XDG_CACHE_HOME=$work/cache
trap 'rm -rf "$work"' EXIT
fail() { echo "FAIL: $*"; exit 1; }
problems() { "$bin/temper-inspect" problems "$@"; }

problems word_problems --count 3000 --set max_steps=8 > "$work/words.jsonl"
python3 "$source/scripts/oracles/word_problems.py" < "$work/words.jsonl" || fail "word problems"
for set in text=english text=symbols; do
  problems ksat --count 400 --set $set --set max_variables=12 > "$work/ksat.jsonl"
  python3 "$source/scripts/oracles/ksat.py" < "$work/ksat.jsonl" || fail "ksat $set"
done
# The oracles tell what is wrong.
sed '7s/#### [0-9]*/#### 0/g' "$work/words.jsonl" | python3 "$source/scripts/oracles/word_problems.py" > "$work/out" 2>&1 && fail "a wrong answer"
grep -q '^7: ' "$work/out" || fail "a wrong answer: $(head -n 2 "$work/out")"
sed '7s/"satisfiable":true/"satisfiable":false/' "$work/ksat.jsonl" | python3 "$source/scripts/oracles/ksat.py" > "$work/out" 2>&1 && fail "a wrong verdict"

# Their own answers are right.
for kind in math:words ksat:ksat; do
  "$bin/temper-inspect" reward ${kind%:*} --input "$work/${kind#*:}.jsonl" | grep -vq '"score":1.0' && fail "${kind%:*}: an answer of its own is not right"
done

[ "$(problems ksat --seed 1)" = "$(problems ksat)" ] || fail "the same seed, other problems"
[ "$(problems ksat --seed 2)" != "$(problems ksat)" ] || fail "another seed, the same problems"
[ "$(problems ksat --count 3 --held-out)" != "$(problems ksat --count 3)" ] || fail "held out, the same problems"
problems > "$work/out" 2> "$work/err" && fail "no kind"
refuses() {  # message arguments
  local want=$1
  shift
  local code=0
  "$@" > "$work/out" 2> "$work/err" || code=$?
  [ $code = 2 ] || fail "$*: exit code $code: $(cat "$work/err")"
  [ "$(wc -l < "$work/err")" = 1 ] || fail "$*: more than a line: $(cat "$work/err")"
  grep -qF -- "$want" "$work/err" || fail "$*: $(cat "$work/err")"
}
refuses 'problems: make.kind: expected one of ksat, word_problems, found "sat"' "$bin/temper-inspect" problems sat
refuses 'problems: make.ratio: expected 0.1 to 100, found 0' "$bin/temper-inspect" problems ksat --set ratio=0
refuses 'give --count and --seed' "$bin/temper-inspect" problems ksat --set seed=3

init='{"vocab": 400, "hidden": 32, "intermediate": 64, "layers": 2, "heads": 2, "kv_heads": 1, "max_positions": 512}'
cat > "$work/sft.json" <<JSON
{ "task": "sft", "threads": 2, "model": {"dtype": "f32", "init": $init},
  "data": {"make": {"kind": "word_problems", "max_steps": 2}, "make_eval": {"kind": "word_problems", "max_steps": 2, "count": 8}, "max_tokens": 400},
  "rewards": [{"kind": "math"}], "optimizer": {"name": "adamw", "lr": 3e-3}, "train": {"steps": 20, "batch_size": 8},
  "eval": {"every": 20, "max_new_tokens": 8}, "checkpoint": {"every": 0}, "run": "sft" }
JSON
cat > "$work/rl.json" <<JSON
{ "task": "rl", "threads": 2, "seed": 3, "model": {"path": "sft/final", "dtype": "f32"},
  "data": {"make": {"kind": "ksat", "text": "symbols", "max_variables": 4}, "make_eval": {"kind": "ksat", "text": "symbols", "max_variables": 4, "count": 6}, "max_tokens": 500},
  "rollout": {"prompts_per_step": 4, "group_size": 4, "max_new_tokens": 6},
  "rewards": [{"kind": "ksat"}, {"kind": "contains", "texts": ["1", "e"]}], "algorithm": {"name": "grpo"}, "optimizer": {"name": "adamw", "lr": 1e-3},
  "train": {"steps": 12, "batch_size": 2}, "eval": {"every": 6}, "checkpoint": {"every": 2, "keep": 9}, "run": "rl" }
JSON
train() { "$bin/temper-train" "$@" --quiet 2> "$work/err" || fail "$*: $(cat "$work/err")"; }
train "$work/sft.json"
train "$work/rl.json" --run "$work/whole"
python3 - "$work/whole/config.json" <<'PY' || fail "the numbers in the run's config"
import json, sys
data = json.load(open(sys.argv[1]))["data"]
assert (data["make"]["count"], data["make"]["seed"]) == (12 * 4, 3), data["make"]
assert (data["make_eval"]["count"], data["make_eval"]["seed"]) == (6, 3), data["make_eval"]
PY
# The run asks its problems, each once, and the held-out ones.
problems ksat --count 48 --seed 3 --set text=symbols --set max_variables=4 > "$work/asked.jsonl"
problems ksat --count 6 --seed 3 --held-out --set text=symbols --set max_variables=4 > "$work/held.jsonl"
python3 - "$work" <<'PY' || fail "the prompts of the run"
import json, sys
def read(name): return [json.loads(line) for line in open(f"{sys.argv[1]}/{name}")]
asked, held = ({r["prompt"] for r in read(name)} for name in ("asked.jsonl", "held.jsonl"))
seen = {"train": set(), "eval": set()}
for row in read("whole/samples.jsonl"): seen[row["split"]].add(row["prompt"].removeprefix("<s>"))
assert seen["train"] <= asked and len(seen["train"]) >= 40, (len(seen["train"]), len(seen["train"] - asked))
assert seen["eval"] == held, seen["eval"] ^ held
PY

"$bin/temper-train" "$work/rl.json" --run "$work/killed" --quiet 2>> "$work/log" &
pid=$!
for _ in $(seq 600); do [ -e "$work/killed/checkpoints/step-4/DONE" ] && break; sleep 0.05; done
kill -KILL $pid 2> /dev/null || true
wait $pid 2> /dev/null || true
[ -e "$work/killed/final" ] && echo "note: the run had ended before it was killed"
train "$work/rl.json" --run "$work/killed"
for file in final/model.safetensors samples.jsonl; do cmp "$work/whole/$file" "$work/killed/$file" || fail "$file differs after a resume"; done

# A change of the problems is a change of the config.
"$bin/temper-train" "$work/rl.json" --run "$work/whole" --set data.make.ratio=4 > "$work/out" 2> "$work/err" && fail "another ratio: accepted"
grep -qF 'data.make.ratio: 4.26 in the run, 4.0 now' "$work/err" || fail "another ratio: $(cat "$work/err")"
refuses 'data.make: stands in the place of data.train; give one of them' "$bin/temper-train" "$work/rl.json" --run "$work/n" --set "data.train=$source/data/sums/train.jsonl"
refuses 'data.make_eval: stands in the place of data.eval; give one of them' "$bin/temper-train" "$work/rl.json" --run "$work/n" --set "data.eval=$source/data/sums/test.jsonl"
refuses 'data.make.max_variables: 3 is below min_variables 4' "$bin/temper-train" "$work/rl.json" --run "$work/n" --set data.make.max_variables=3
refuses 'data.make.count: left out, but the run would draw 40000000 problems' "$bin/temper-train" "$work/rl.json" --run "$work/n" --set train.steps=10000000
refuses 'reward math: the data has no column "answer"' "$bin/temper-train" "$work/rl.json" --run "$work/n" --set 'rewards=[{"kind": "math"}]'
refuses 'data.make: 400 draws gave no problem 2' "$bin/temper-train" "$work/rl.json" --run "$work/n" --set data.make.ratio=0.5
echo ok
