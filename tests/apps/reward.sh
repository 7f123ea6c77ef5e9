#!/usr/bin/env bash
# temper-inspect reward: every kind that needs no model, on completions of a file.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/reward.sh
set -euo pipefail
bin=${TEMPER_BIN:?}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAIL: $*"; exit 1; }

cat > "$work/pairs.jsonl" <<'JSON'
{"completion": "so \\boxed{0.50}", "answer": "1/2", "tokens": 50}
{"completion": "so \\boxed{3}", "answer": ["1/2", "x^2"], "tokens": 100}
{"completion": "no idea", "answer": "", "tokens": 1}
JSON
pairs=$work/pairs.jsonl
scores() {  # kind [options] -> the scores of $pairs with blanks between
  "$bin/temper-inspect" reward "$@" --input "$pairs" > "$work/out"
  python3 -c 'import json, sys; print(*[json.loads(line)["score"] for line in open(sys.argv[1])])' "$work/out"
}
expect() {  # scores kind [options]
  local want=$1
  shift
  local got
  got=$(scores "$@")
  [ "$got" = "$want" ] || fail "$*: $got, not $want"
}
expect "1.0 0.0 None" math
grep -qF '{"score":1.0,"answer":"1/2","references":["1/2"],"answer_kind":"number","kind":"number"}' "$work/out" || fail "what math read: $(cat "$work/out")"
grep -qF '{"score":0.0,"answer":"3","references":["1/2","x^2"],"answer_kind":"number","kind":"number"}' "$work/out" || fail "what math read: $(cat "$work/out")"
expect "1.0 0.0 None" math --set 'kinds=["number"]'
expect "None 0.0 None" math --set 'kinds=["expression"]'

# Every kind of answer, as it is read.
cat > "$work/kinds.jsonl" <<'JSON'
{"kind": "number", "completion": "#### 1,080", "answer": "1080 \\text{ dollars}", "read": "1080"}
{"kind": "expression", "completion": "\\boxed{\\sqrt{12}}", "answer": "2\\sqrt{3}", "read": "2*sqrt(3)"}
{"kind": "equation", "completion": "\\boxed{2x - y + 3 = 0}", "answer": "y = 2x + 3", "read": "y = 2*x + 3"}
{"kind": "inequality", "completion": "\\boxed{(3, \\infty)}", "answer": "x > 3", "read": "x > 3"}
{"kind": "tuple", "completion": "the answer is (3, -1).", "answer": "(3,-1)", "read": "(3, -1)"}
{"kind": "interval", "completion": "\\boxed{[2,5)}", "answer": "[2, 5)", "read": "[2, 5)"}
{"kind": "union", "completion": "\\boxed{x \\ne 0}", "answer": "(-\\infty, 0) \\cup (0, \\infty)", "read": "(-oo, 0) u (0, oo)"}
{"kind": "set", "completion": "\\boxed{\\{2, 1\\}}", "answer": "\\{1, 2\\}", "read": "{1, 2}"}
{"kind": "list", "completion": "\\boxed{1 - \\sqrt{2}, 1 + \\sqrt{2}}", "answer": "1 \\pm \\sqrt{2}", "read": "1 + sqrt(2), 1 - sqrt(2)"}
{"kind": "matrix", "completion": "\\boxed{\\begin{bmatrix} 1 & 0.5 \\end{bmatrix}}", "answer": "\\begin{pmatrix} 1 & \\frac12 \\end{pmatrix}", "read": "[1, 1/2]"}
{"kind": "base", "completion": "\\boxed{1011}", "answer": "1011_2", "read": "1011_2"}
{"kind": "ratio", "completion": "\\boxed{6:4}", "answer": "3:2", "read": "3:2"}
{"kind": "time", "completion": "\\boxed{3:45 PM}", "answer": "3:45 \\text{ p.m.}", "read": "3:45 pm"}
{"kind": "choice", "completion": "The answer is (C).", "answer": "C", "read": "C"}
{"kind": "text", "completion": "\\boxed{\\text{Even}}", "answer": "even", "read": "even"}
JSON
"$bin/temper-inspect" reward math --input "$work/kinds.jsonl" > "$work/out"
python3 - "$work/kinds.jsonl" "$work/out" <<'PY' || fail "kinds"
import json, sys
wanted, found = ([json.loads(line) for line in open(file)] for file in sys.argv[1:])
assert len(wanted) == len(found) == 15
for w, f in zip(wanted, found):
    assert (f["score"], f["kind"], f["references"]) == (1.0, w["kind"], [w["read"]]), f"{w}: {f}"
PY
expect "5.0 -5.0 None" math --set correct=5 --set incorrect=-5
expect "0.0 0.0 0.0" exact
expect "1.0 1.0 0.0" contains --set 'texts=["so"]'
expect "1.0 1.0 0.0" regex --set 'pattern=boxed'
expect "0.0 0.0 0.0" format --set pattern=think_answer
expect "0.75 -0.5 None" cosine --set max_tokens=100
expect "0.0 -1.0 0.0" overlong --set max_tokens=100 --set cache=20
expect "0.0 0.0 0.0" repetition --set ngram=2 --set unit=words
cat > "$work/texts.jsonl" <<'JSON'
{"completion": "The cat sat on a mat.", "answer": ["cat on a mat", "The cat sat on a mat."]}
{"completion": "A dog", "answer": "the cat sat"}
{"completion": "{\"a\": 1}", "answer": ""}
JSON
texts() {  # scores kind [options]
  local pairs=$work/texts.jsonl
  expect "$@"
}
texts "1.0 0.0 0.0" rouge
texts "1.0 0.0 0.0" rouge --set type=rouge2 --set measure=precision --set stem=true
texts "1.0 0.0 0.0" bleu
texts "1.0 0.0 0.0" f1
texts "1.0 0.0 0.0" f1 --set metric=exact_match
texts "0.0 0.0 1.0" json_schema --set 'schema={"properties": {"a": {"type": "integer"}}}'
echo '{"properties": {"a": {"type": "string"}}}' > "$work/schema.json"
texts "0.0 0.0 0.0" json_schema --set "schema_file=$work/schema.json" --set extract=first
echo '{"completion": "a a a a a", "ids": [5, 5, 5, 5, 5]}' > "$work/ids.jsonl"
"$bin/temper-inspect" reward repetition --set ngram=2 --set penalty=-1 --input "$work/ids.jsonl" > "$work/out"
[ "$(cat "$work/out")" = '{"score":-0.75}' ] || fail "repetition: $(cat "$work/out")"
printf '%s\n' 'import json, sys' 'for line in sys.stdin:' '  x = json.loads(line)' \
  '  print(json.dumps({"id": x["id"], "score": len(x["completion"])}), flush=True)' > "$work/length.py"
expect "15.0 12.0 7.0" process --set "command=[\"python3\", \"$work/length.py\"]"

cat > "$work/code.jsonl" <<'JSON'
{"completion": "```python\ndef f(x):\n    return x + 1\n```", "tests": ["assert f(1) == 2", "assert f(2) == 3"]}
{"completion": "def f(x):\n    return 2", "tests": ["assert f(1) == 2", "assert f(2) == 3"]}
{"completion": "```\nprint(int(input()) + 1)\n```", "inputs": ["1", "2"], "outputs": ["2\n", "3\n"]}
{"completion": "def f(", "tests": "assert f(1) == 2"}
JSON
code() {  # options -> the scores with blanks between
  "$bin/temper-inspect" reward code "$@" --input "$work/code.jsonl" > "$work/out"
  python3 -c 'import json, sys; print(*[json.loads(line)["score"] for line in open(sys.argv[1])])' "$work/out"
}
[ "$(code)" = "1.0 0.0 1.0 0.0" ] || fail "code: $(cat "$work/out")"
[ "$(code --set score=share)" = "1.0 0.5 1.0 0.0" ] || fail "code, share: $(cat "$work/out")"
[ "$(code --set score=coderl)" = "1.0 -0.3 1.0 -1.0" ] || fail "code, coderl: $(cat "$work/out")"
grep -qF '"program":"print(int(input()) + 1)\n"' "$work/out" || fail "what code read: $(cat "$work/out")"

refused() {  # text command...
  local text=$1
  shift
  "$@" > "$work/out" 2> "$work/err" && fail "not refused: $*"
  [ "$(wc -l < "$work/err")" = 1 ] && grep -qF "$text" "$work/err" || fail "$*: $(cat "$work/err")"
}
refused 'did you mean "math"' "$bin/temper-inspect" reward maths --input "$work/pairs.jsonl"
refused 'did you mean "column"' "$bin/temper-inspect" reward math --set colum=x --input "$work/pairs.jsonl"
refused 'no kind "numbers" (known: number, ' "$bin/temper-inspect" reward math --set 'kinds=["numbers"]' --input "$work/pairs.jsonl"
refused 'pairs.jsonl:1: ' "$bin/temper-inspect" reward math --set column=reply --input "$work/pairs.jsonl"
refused 'the keyword "typ" is not checked here' "$bin/temper-inspect" reward json_schema --set 'schema={"typ": "object"}' --input "$work/pairs.jsonl"
refused 'needs the completion'"'"'s token ids' "$bin/temper-inspect" reward repetition --input "$work/pairs.jsonl"
"$bin/temper-inspect" reward code --input "$work/pairs.jsonl" > "$work/out" 2> "$work/err" && fail "not refused: code without tests"
grep -qF 'neither a column "tests" nor "inputs" and "outputs"' "$work/err" || fail "code without tests: $(cat "$work/err")"
refused 'no program "no-such-python"' "$bin/temper-inspect" reward code --set 'command=["no-such-python"]' --input "$work/code.jsonl"
refused 'finish: expected {a} and {b}' "$bin/temper-inspect" reward code --set finish=pass --input "$work/code.jsonl"
echo '{"answer": 1}' > "$work/bad.jsonl"
refused 'bad.jsonl:1: expected {"completion"' "$bin/temper-inspect" reward math --input "$work/bad.jsonl"
echo "ok"
