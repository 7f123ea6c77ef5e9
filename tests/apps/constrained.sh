#!/usr/bin/env bash
# Constrained texts from the command line: by an expression, by a schema, with their weights.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/constrained.sh
. "$(dirname "$0")/shared/tiny.sh"
tiny_model
go_on
head -n 4 "$source/data/arithmetic/test.jsonl" > four.jsonl
generate() { "$bin/temper-generate" --model sft/final --dtype f32 --threads 1 "$@" || fail "generate $*"; }

generate --input four.jsonl --n 5 --max-new-tokens 60 --regex '(yes|no), [1-9]\d{0,3}(\.\d)?' --output texts.jsonl 2> err
python3 - <<'PY' || fail "texts that do not fit, or have no weight"
import json, re
cs = [c for l in open("texts.jsonl") for c in json.loads(l)["completions"]]
assert len(cs) == 20 and len({c["text"] for c in cs}) > 5
assert all(re.fullmatch(r"(yes|no), [1-9]\d{0,3}(\.\d)?", c["text"]) and c["finish"] == "end" and c["log_weight"] < 0 for c in cs), cs
PY
cat > schema.json <<'JSON'
{"type": "object", "properties": {"ok": {"type": "boolean"}, "n": {"type": "integer", "minimum": -5, "maximum": 300},
 "tags": {"type": "array", "items": {"enum": ["é", "b"]}, "maxItems": 2}}, "required": ["ok", "n"]}
JSON
generate --input four.jsonl --n 5 --max-new-tokens 400 --json-schema schema.json --logprobs --output objects.jsonl 2> err
generate --input four.jsonl --n 5 --max-new-tokens 400 --json-schema "$(cat schema.json)" --logprobs --output same.jsonl 2> err
cmp -s objects.jsonl same.jsonl || fail "a schema and its file give other texts"
python3 - <<'PY' || fail "objects that do not fit"
import json, math
for c in (c for l in open("objects.jsonl") for c in json.loads(l)["completions"]):
    assert c["finish"] == "end", c
    o = json.loads(c["text"])
    assert isinstance(o["ok"], bool) and -5 <= o["n"] <= 300 and set(o) <= {"ok", "n", "tags"}, o
    assert all(t in ("é", "b") for t in o.get("tags", [])) and len(o.get("tags", [])) <= 2, o
    assert c["log_weight"] < 0 and all(x <= 0 for x in c["logprobs"])
PY
generate --input four.jsonl --max-new-tokens 3 --temperature 0 --json-schema schema.json --output cut.jsonl 2> err
grep -q 'warning: 4 of 4 texts reached max_new_tokens before they were whole' err || fail "cut texts are not told of: $(cat err)"
grep -q log_weight cut.jsonl && fail "greedy texts have weights"
# Groups for training have the log-probs of the law that drew them.
generate --input four.jsonl --n 3 --max-new-tokens 40 --regex '\d{1,2}' --score math --write groups --output groups.jsonl 2> err
grep -q null <(python3 -c 'import json; print([json.loads(l)["logprobs"] for l in open("groups.jsonl")])') && fail "log-probs that are not known"

# Each record its own, in generation and evaluation: words, numbers, and schemas as objects and as texts.
python3 - <<'PY'
import json
rows = [json.loads(line) for line in open("four.jsonl")]
schemas = [{"type": "integer", "multipleOf": 25, "minimum": 1, "maximum": 999}, '{"enum": ["é", "b"]}', {"type": "boolean"}, '{"type": "null"}']
with open("own.jsonl", "w") as out:
    for row, own, schema in zip(rows, ["yes|no", "[1-9][0-9]", "[x-z]{3}", "yes|no"], schemas):
        out.write(json.dumps({**row, "own": own, "schema": schema}) + "\n")
PY
generate --input own.jsonl --n 6 --max-new-tokens 24 --regex-column own --output words.jsonl 2> err
generate --input own.jsonl --n 6 --max-new-tokens 24 --json-schema-column schema --temperature 1.5 --output shapes.jsonl 2> err
"$bin/temper-eval" --model sft/final --dtype f32 --threads 1 --data own.jsonl --n 3 --max-new-tokens 24 --regex-column own --rethink 1 --reward exact --quiet --json --output answers.jsonl > eval.json || fail "evaluation"
python3 - <<'PY' || fail "texts that do not fit the records' own constraints"
import json, re
read = lambda name: [json.loads(line) for line in open(name)]
for record in read("words.jsonl"):
    assert all(re.fullmatch(record["own"], c["text"]) and c["log_weight"] <= 0 for c in record["completions"]), record
answers = read("answers.jsonl")
assert len(answers) == 24 and all(re.fullmatch(a["columns"]["own"], a["completion"]) for a in answers), answers
number, word, truth, nothing = ([json.loads(c["text"]) for c in r["completions"]] for r in read("shapes.jsonl"))
assert all(n % 25 == 0 and 1 <= n <= 999 for n in number) and set(word) <= {"é", "b"}, (number, word)
assert all(isinstance(t, bool) for t in truth) and nothing == [None] * 6
PY
# The same seed gives a record the text that its constraint alone gives.
generate --input own.jsonl --n 6 --max-new-tokens 24 --regex 'yes|no' --output yes.jsonl 2> err
[ "$(sed -n 4p words.jsonl | grep -o '"completions".*')" = "$(sed -n 4p yes.jsonl | grep -o '"completions".*')" ] || fail "another text than by the one constraint"
head -n 2 own.jsonl > lack.jsonl && sed -n 3p four.jsonl >> lack.jsonl
refuses() {  # PATTERN COMMAND...: one line, exit code 2
  "${@:2}" > out 2> err
  local code=$?
  [ $code = 2 ] && grep -qF -- "$1" err && [ "$(wc -l < err)" = 1 ] || fail "$*: exit code $code: $(cat err)"
}
g=("$bin/temper-generate" --model sft/final --dtype f32 --threads 1 --max-new-tokens 8)
refuses 'lack.jsonl:3: no column "own"' "${g[@]}" --input lack.jsonl --regex-column own
refuses 'lack.jsonl:3: no column "own"' "$bin/temper-eval" --model sft/final --dtype f32 --data lack.jsonl --reward exact --max-new-tokens 8 --regex-column own
refuses 'own.jsonl:1: schema: expected a regular expression' "${g[@]}" --input own.jsonl --regex-column schema
refuses 'own.jsonl:1: own: ' "${g[@]}" --input own.jsonl --json-schema-column own
refuses 'no column "own"' "${g[@]}" --prompt 1 --regex-column own
refuses '--regex: goes without a column' "${g[@]}" --input own.jsonl --regex-column own --regex a
refuses '--regex-column: goes without json_schema_column' "${g[@]}" --input own.jsonl --regex-column own --json-schema-column schema
refuses 'search: ' "${g[@]}" --input own.jsonl --regex-column own --search beam
[ $failed = 0 ] && echo ok
exit $failed
