#!/usr/bin/env bash
# Constrained texts from the command line: by an expression, by a schema, with their weights.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/constrained.sh
set -uo pipefail
bin=$(realpath "${TEMPER_BIN:?}") source=$(realpath "${TEMPER_SOURCE:?}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0
fail() { echo "FAIL: $*"; failed=1; }
cat > model.json <<JSON
{ "task": "sft", "threads": 1,
  "model": {"dtype": "f32", "init": {"vocab": 400, "hidden": 32, "intermediate": 64, "layers": 2, "heads": 2, "kv_heads": 1, "max_positions": 512}},
  "data": {"train": ["$source/data/arithmetic/train.jsonl"], "max_tokens": 200}, "optimizer": {"lr": 5e-3},
  "train": {"steps": 5, "batch_size": 16}, "checkpoint": {"every": 0}, "run": "model" }
JSON
"$bin/temper-train" model.json --quiet || { echo "FAIL: the model that this test needs could not be made"; exit 1; }
head -n 4 "$source/data/arithmetic/test.jsonl" > four.jsonl
generate() { "$bin/temper-generate" --model model/final --dtype f32 --threads 1 "$@" || fail "generate $*"; }

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
[ $failed = 0 ] && echo ok
exit $failed
