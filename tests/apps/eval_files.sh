#!/usr/bin/env bash
# temper-eval beyond one table of figures: stored samples, comparisons, break-downs, benchmarks' own files, multiple choice, tables and a
# page, all samplers, an evaluation that is stopped and goes on; and the user's mistakes as one line.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/eval_files.sh
set -euo pipefail
bin=${TEMPER_BIN:?} source=${TEMPER_SOURCE:?}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAIL: $*"; exit 1; }
cd "$work"

cat > sft.json <<JSON
{ "task": "sft", "threads": 2,
  "model": {"dtype": "f32", "init": {"vocab": 400, "hidden": 32, "intermediate": 64, "layers": 2, "heads": 2, "kv_heads": 1, "max_positions": 512}},
  "data": {"train": ["$source/data/arithmetic/train.jsonl"], "max_tokens": 200},
  "optimizer": {"name": "adamw", "lr": 3e-3}, "train": {"steps": 5, "batch_size": 16}, "run": "sft" }
JSON
"$bin/temper-train" sft.json --run sft --quiet
model=("$bin/temper-eval" --model sft/final --dtype f32 --quiet)
python3 - "$source" <<'PY'
import json, sys
with open("data.jsonl", "w") as f:
    for i, line in enumerate(open(f"{sys.argv[1]}/data/arithmetic/test.jsonl")):
        if i < 24:
            f.write(json.dumps(json.loads(line) | {"level": f"Level {9 + i % 3}"}) + "\n")
PY
short=(--data data.jsonl --max-new-tokens 12)

# Everything that is said of fresh samples is said of stored ones, without a model.
asked=(--n 4 --k 1 2 4 --tau 0.25 0.5 1 --extrapolate 16 64 --by level --correct-by letters --verifier digits --wrong-cost 0.5 --level 0.9)
rewards=(--reward '{"kind": "regex", "name": "letters", "pattern": "[aeiou]"}' --reward '{"kind": "regex", "name": "digits", "pattern": "[a-h]"}')
"${model[@]}" "${short[@]}" "${rewards[@]}" "${asked[@]}" --top-k 30 --typical-p 0.95 --repetition-penalty 1.1 --seed 3 --output a.jsonl > a.json
stored=("$bin/temper-eval" --quiet)
"${stored[@]}" --samples a.jsonl "${asked[@]:2}" --seed 3 > again.json
cmp a.json again.json || fail "the figures of stored samples are others"
python3 - <<'PY'
import json
a = json.load(open("a.json"))
assert list(a["by"]["level"]) == ["Level 9", "Level 10", "Level 11"] and all(v["prompts"] == 8 for v in a["by"]["level"].values()), a["by"].keys()
assert {"g_pass@2_0.25", "g_pass@4_1", "pass@4"} <= set(a["figures"]), list(a["figures"])
assert a["verifier"]["name"] == "digits" and len(a["verifier"]["curve"]) == 4 and a["verifier"]["cost"] == 0.5
assert set(a["extrapolated"]) in ({"law", "prompts", "figures"}, {"none"}), a["extrapolated"]
lines = [json.loads(line) for line in open("a.jsonl")]
mean = sum(line["correct"] for line in lines) / len(lines)
assert abs(a["figures"]["accuracy"]["value"] - mean) < 1e-12 and 0 < mean < 1, mean
PY
"${stored[@]}" --samples a.jsonl --reward math --output scored.jsonl > scored.json
grep -q '"reward/math": {' scored.json && [ "$(wc -l < scored.jsonl)" = 96 ] || fail "not scored anew"
"${stored[@]}" --samples scored.jsonl > scored-again.json
cmp scored.json scored-again.json || fail "samples that were scored anew have other figures"
"$bin/temper-generate" --model sft/final --input data.jsonl --n 2 --max-new-tokens 8 --score math --output answers.jsonl 2> log
"${stored[@]}" --samples answers.jsonl | grep -q '"prompts": 24' || fail "answers of temper-generate are no samples"
"${stored[@]}" --samples data.jsonl --reward math | grep -q '"value": 1.0' || fail "answers that a file has are not scored"

"${stored[@]}" --samples a.jsonl --limit 5 | grep -q '"samples": 20' || fail "--limit left more than 5 prompts"

# Two models on the same prompts: here two seeds.
"${model[@]}" "${short[@]}" "${rewards[@]}" --correct-by letters --n 4 --seed 4 --output b.jsonl > b.json
"${stored[@]}" --compare a.jsonl b.jsonl --page ab.html > ab.json
"${stored[@]}" --compare a.jsonl b.jsonl | cmp - ab.json || fail "a comparison gives other numbers the second time"
head -n 40 b.jsonl > part.jsonl
"$bin/temper-eval" --compare a.jsonl part.jsonl --table > part.txt 2> log
grep -q '14 prompts of A and 0 of B are not among' log || fail "no word of prompts that are not compared: $(cat log)"
grep -q '^accuracy' part.txt || fail "no table: $(cat part.txt)"
python3 - <<'PY'
import json
ab, a, b = (json.load(open(f)) for f in ("ab.json", "a.json", "b.json"))
row = ab["compared"]["accuracy"]
assert ab["prompts"] == {"matched": 24, "only_a": 0, "only_b": 0}, ab["prompts"]
assert abs(row["difference"]["value"] - (a["figures"]["accuracy"]["value"] - b["figures"]["accuracy"]["value"])) < 1e-12
assert row["difference"]["low"] < row["difference"]["value"] < row["difference"]["high"] and 0 < row["p_a_above_b"] < 1
PY

# Tables for people, and a page.
"${stored[@]}" --samples a.jsonl "${asked[@]:2}" --table --page a.html > a.txt
grep -Eq '^accuracy +0\.[0-9]+ +\[' a.txt && grep -q '^By level' a.txt && grep -q '^The verifier digits' a.txt || fail "no tables: $(cat a.txt)"
grep -q '<svg' a.html && grep -q 'P(A &gt; B)' ab.html && ! grep -q '<script' a.html || fail "no page"

# Benchmarks as their files lie about.
mkdir -p math/algebra
printf '{"question": "2 + 3?", "answer": "2 + 3 = 5\\n#### 5"}\n{"question": "1 + 1?", "answer": "#### 2"}\n' > gsm.jsonl
printf '{"problem": "1 + 1", "level": "Level 1", "type": "Algebra", "solution": "It is $\\\\boxed{2}$."}' > math/algebra/1.json
printf '{"problem": "1 + 2", "level": "Level 2", "type": "Algebra", "solution": "It is $\\\\boxed{3}$."}' > math/algebra/2.json
"${model[@]}" --data gsm.jsonl --format gsm8k --reward math --max-new-tokens 8 --loss gsm.jsonl > gsm.json
grep -q '"loss/gsm": {' gsm.json || fail "no loss of GSM8K's solutions"
"${model[@]}" --data math --format math --reward math --max-new-tokens 8 --by level > math.json
grep -q '"Level 2": {' math.json || fail "no levels of MATH"

# Multiple choice by log-prob.
cat > questions.jsonl <<'JSON'
{"prompt": "Two and two are", "choices": ["four", "five"], "answer": 0, "level": "easy"}
{"prompt": "The third of A, B, C is", "choices": ["A", "B", "C"], "answer": "C", "level": "hard"}
{"prompt": "Water is", "choices": ["wet", "made of dry sand"], "answer": "wet", "level": "easy"}
JSON
printf 'What is two and two?,3,4,5,6,B\n"Which, if any?",a,b,c,d,A\n' > logic_test.csv
"${model[@]}" --choices questions.jsonl --choice-form both --by level --output picked.jsonl > choices.json
"${model[@]}" --choices logic_test.csv --format mmlu --choice-form letters --by subject > mmlu.json
"${stored[@]}" --samples picked.jsonl --by level > picked.json
python3 - <<'PY'
import json
c, p, m = (json.load(open(f)) for f in ("choices.json", "picked.json", "mmlu.json"))
assert list(c["figures"]) == [f"{n}/questions" for n in ("acc", "acc_norm", "acc_bytes", "acc_tokens", "acc_mutual_info", "acc_letters")], c["figures"].keys()
assert c["figures"]["acc/questions"]["value"] == p["figures"]["accuracy"]["value"]
assert c["by"]["level"]["easy"]["prompts"] == 2 and c["by"]["level"]["easy"]["figures"]["acc/questions"]["value"] == p["by"]["level"]["easy"]["figures"]["accuracy"]["value"]
assert list(m["figures"]) == ["acc_letters/logic_test"] and list(m["by"]["subject"]) == ["logic"], m
PY
"${model[@]}" --choices questions.jsonl --prior "" | grep -q mutual && fail "a prior that nobody asked for"

# One that is stopped goes on, and ends with the same bytes.
long=("${model[@]}" --data data.jsonl --reward math --n 8 --temperature 1.5 --max-new-tokens 64 --batch 8)
"${long[@]}" --output whole.jsonl > whole.json
stopped=0
for _ in 1 2 3; do
  rm -f torn.jsonl.partial torn.jsonl
  "${long[@]}" --output torn.jsonl > torn.json 2> log &
  pid=$!
  for _ in $(seq 2000); do
    [ "$(cat torn.jsonl.partial 2> /dev/null | wc -l)" -ge 3 ] && break
    sleep 0.01
  done
  kill -INT "$pid" 2> /dev/null || true
  code=0; wait "$pid" || code=$?
  [ "$code" = 130 ] && { stopped=1; break; }
done
[ "$stopped" = 1 ] || fail "it was never stopped in time"
[ -s torn.jsonl.partial ] && [ ! -e torn.jsonl ] || fail "what was there is not kept"
code=0; "${long[@]}" --top-p 0.5 --output torn.jsonl > out 2> log || code=$?
[ "$code" = 2 ] && [ "$(wc -l < log)" = 1 ] && grep -q 'sampling.top_p was 1.0, is 0.5' log || fail "other settings: $code $(cat log)"
printf '{"part":0,"requ' >> torn.jsonl.partial
"$bin/temper-eval" "${long[@]:1}" --output torn.jsonl > torn.json 2> log
cmp whole.jsonl torn.jsonl && cmp whole.json torn.json || fail "what went on ends with other bytes"
[ ! -e torn.jsonl.partial ] || fail "the beginnings are left"

expect() {  # words of the error line, then the arguments
  local words=$1 code=0
  shift
  "${stored[@]}" "$@" > out 2> err || code=$?
  [ "$code" = 2 ] || fail "$*: exit code $code: $(cat err)"
  [ ! -s out ] || fail "$*: wrote to stdout"
  [ "$(wc -l < err)" = 1 ] || fail "$*: $(cat err)"
  grep -qF -- "$words" err || fail "$*: $(cat err)"
}
m=(--model sft/final --dtype f32)
expect 'give one of --score, --samples and --compare' --samples a.jsonl --compare a.jsonl b.jsonl
expect 'goes with none of --data' --samples a.jsonl --data data.jsonl
expect '--compare: goes with none of --reward' --compare a.jsonl b.jsonl --reward math
expect 'none of the 24 prompts' --compare a.jsonl picked.jsonl
expect 'the answers have no "reward"' --samples data.jsonl
expect '"prompt": expected a text, found none' --samples gsm.jsonl
expect 'no prompt has a column "leval"' --samples a.jsonl --by leval
expect 'expected 1 to 4' --samples a.jsonl --k 8
expect 'pass@4 is measured' --samples a.jsonl --extrapolate 4
expect 'too few to fit' --samples picked.jsonl --extrapolate 4
expect 'no reward is called "math"; there are: letters, digits' --samples a.jsonl --verifier math
expect 'is what says what is correct' --samples a.jsonl --verifier letters --correct-by letters
expect 'completion_ids' --samples a.jsonl --diversity
expect 'sft.json' --samples sft.json
expect 'expected a line of GSM8K' "${m[@]}" --data data.jsonl --format gsm8k --reward math
expect 'expected a question with "prompt", "choices"' "${m[@]}" --choices data.jsonl
expect '--output: has the samples of' "${m[@]}" --choices questions.jsonl --choices other=questions.jsonl --output x.jsonl
expect '--top-p: expected' "${m[@]}" --data data.jsonl --reward math --top-p 2
expect 'there is no such folder' --samples a.jsonl --page none/a.html
echo "eval_files: stored samples, comparisons, benchmarks, choices, pages, and what goes on"
