#!/usr/bin/env bash
# Speculation, searches and mirostat from the command line and in rollouts, and the user's mistakes as one line and exit code 2.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/decoding.sh
. "$(dirname "$0")/shared/tiny.sh"
go_on
model() {  # FOLDER LAYERS STEPS
  cat > "$1.json" <<JSON
{ "task": "sft", "threads": 1, "seed": $2,
  "model": {"dtype": "f32", "init": {"tokenizer": "tokens", "hidden": 32, "intermediate": 64, "layers": $2, "heads": 2, "kv_heads": 1, "max_positions": 256}},
  "data": {"train": ["$source/data/arithmetic/train.jsonl"], "max_tokens": 200}, "optimizer": {"lr": 5e-3},
  "train": {"steps": $3, "batch_size": 16}, "checkpoint": {"every": 0}, "run": "$1" }
JSON
  "$bin/temper-train" "$1.json" --quiet "${@:4}" || { echo "FAIL: a model that this test needs could not be made"; exit 1; }
}
model first 1 1 --set model.init.tokenizer= --set model.init.vocab=400 2> err
cp -r first/final tokens
model target 4 30
model draft 1 30
head -n 6 "$source/data/arithmetic/test.jsonl" > six.jsonl
generate() { "$bin/temper-generate" --model target/final --dtype f32 --threads 1 --input six.jsonl --ignore-end --max-new-tokens 40 "$@" || fail "generate $*"; }
stat() { python3 -c "import json, sys; print(json.loads(open('err').read().splitlines()[-1])[sys.argv[1]])" "$1"; }

generate --temperature 0 --n 1 --output greedy.jsonl
generate --temperature 0.5 --n 3 --output sampled.jsonl
generate --temperature 0 --find-skips skips.json --trials 12 2> err
grep -q 'sub-layers skipped' err || fail "--find-skips says nothing: $(cat err)"
grep -q '"kind":"skip"' skips.json || fail "skips.json: $(cat skips.json)"
for kind in lookup skips.json '{"kind": "draft", "model": "draft/final", "draft_tokens": 4}'; do
  generate --temperature 0 --n 1 --output got.jsonl --speculation "$kind" --stats 2> err
  cmp -s greedy.jsonl got.jsonl || fail "--speculation $kind: another greedy text"
  [ "$(stat drafted)" -gt 0 ] && [ "$(stat accepted)" -gt 0 ] || fail "--speculation $kind: $(cat err)"
  [ "$(stat passes)" -lt "$(stat tokens)" ] || fail "--speculation $kind: no pass is saved: $(cat err)"
done
generate --temperature 0.5 --n 3 --output got.jsonl --speculation lookup
cmp -s sampled.jsonl got.jsonl || fail "look-up: another sampled text"
printf '2 + 3\n' | "$bin/temper-generate" --model target/final --dtype f32 --threads 1 --chat --template chatml --max-new-tokens 8 --temperature 0 --speculation lookup > chat 2> err || fail "chat: $(cat err)"

evaluate() { "$bin/temper-eval" --model target/final --dtype f32 --threads 1 --data six.jsonl --reward math --max-new-tokens 24 --quiet "$@" || fail "eval $*"; }
evaluate > plain.json
evaluate --speculation lookup > got.json
cmp -s plain.json got.json || fail "temper-eval --speculation: other figures"
evaluate --n 2 --temperature 1 --mirostat-tau 2 --min-new-tokens 3 --repetition-penalty 1.1 > got.json

generate --search '{"kind": "beam", "beams": 3}' --n 3 --output beams.jsonl
python3 -c "import json; assert all(len({c['text'] for c in json.loads(l)['completions']}) == 3 for l in open('beams.jsonl'))" || fail "beams are not three texts"
generate --search '{"kind": "contrastive", "alpha": 0}' --output got.jsonl
cmp -s greedy.jsonl got.jsonl || fail "contrastive search without contrast is not greedy decoding"
# temper-eval searches for the same texts, and keeps them as it goes.
evaluate --search '{"kind": "contrastive", "alpha": 0}' > got.json
cmp -s plain.json got.json || fail "temper-eval --search without contrast: other figures than greedy decoding's"
evaluate --search beam --output evaluated.jsonl > got.json
"$bin/temper-generate" --model target/final --dtype f32 --threads 1 --input six.jsonl --max-new-tokens 24 --search beam --output got.jsonl || fail "beams"
python3 - <<'PY' || fail "temper-eval --search beam finds other texts than temper-generate"
import json
read = lambda name: [json.loads(line) for line in open(name)]
assert [s["completion"] for s in read("evaluated.jsonl")] == [r["completions"][0]["text"] for r in read("got.jsonl")]
PY
generate --mirostat-tau 3 --output got.jsonl

# Rollouts: the same texts.
cat > rl.json <<JSON
{ "task": "rl", "threads": 1, "model": {"path": "target/final", "dtype": "f32"}, "data": {"train": ["six.jsonl"], "max_tokens": 100},
  "rewards": [{"kind": "math"}], "algorithm": {"name": "grpo"}, "optimizer": {"lr": 1e-4},
  "rollout": {"group_size": 4, "prompts_per_step": 3, "max_new_tokens": 24},
  "train": {"steps": 2, "batch_size": 3}, "checkpoint": {"every": 0}, "run": "plain" }
JSON
texts() { python3 -c "import json, sys; print(sorted((r['step'], r['completion']) for r in map(json.loads, open(sys.argv[1] + '/samples.jsonl')) if r['step'] == 1))" "$1"; }
"$bin/temper-train" rl.json --quiet || fail "rl"
"$bin/temper-train" rl.json --quiet --run lookup --set rollout.speculation=lookup || fail "rl with look-up"
[ "$(texts plain)" = "$(texts lookup)" ] && [ "$(texts plain)" != "[]" ] || fail "look-up in rollouts: other texts"
"$bin/temper-train" rl.json --quiet --run drafted --set 'rollout.speculation={"kind": "draft", "model": "draft/final"}' || fail "rl with a draft model"
refuses() {  # WHAT PATTERN COMMAND...: one line, exit code 2
  "${@:3}" > out 2> err
  local code=$?
  [ $code = 2 ] && grep -q -- "$2" err && [ "$(wc -l < err)" = 1 ] || fail "$1: exit code $code: $(cat err)"
}
g=("$bin/temper-generate" --model target/final --dtype f32 --threads 1 --prompt 1 --max-new-tokens 4)
refuses "a kind that is none" 'lookup' "${g[@]}" --speculation look
refuses "no such file" 'none.json' "${g[@]}" --speculation none.json
refuses "a draft without a folder" 'model' "${g[@]}" --speculation draft
refuses "layers that the model lacks" 'layers 0 to 3' "${g[@]}" --speculation '{"kind": "skip", "mlp": [4]}'
refuses "speculation with mirostat" 'mirostat_tau' "${g[@]}" --speculation lookup --mirostat-tau 3
refuses "mirostat with top_k" 'mirostat-tau' "${g[@]}" --top-k 3 --mirostat-tau 3
refuses "beams that are drawn" 'leave out temperature' "${g[@]}" --search beam --temperature 0.5
refuses "more texts than beams" 'finds 4 completions' "${g[@]}" --search beam --n 5
refuses "a search with speculation" 'no speculation' "${g[@]}" --search beam --speculation lookup
e=("$bin/temper-eval" --model target/final --dtype f32 --threads 1 --reward math --max-new-tokens 4)
for with in "--n 2" "--speculation lookup" "--environment budget" "--regex a"; do
  refuses "an evaluation's search with $with" '--search: finds one answer' "${e[@]}" --search beam --data six.jsonl $with
done
refuses "a search of stored samples" '--search: finds one answer' "$bin/temper-eval" --samples evaluated.jsonl --search beam
refuses "an evaluation's search that is none" 'search.kind' "${e[@]}" --data six.jsonl --search beems
refuses "a search that is drawn" 'leave out temperature' "${e[@]}" --search beam --data six.jsonl --temperature 0.5
refuses "skips of a chat" '--find-skips goes with' "${g[@]:0:7}" --chat --find-skips a.json
"$bin/temper-train" first.json --quiet --set model.init.tokenizer= --set model.init.vocab=360 --run other 2> err || fail "another tokenizer: $(cat err)"
refuses "a draft of another tokenizer" 'another tokenizer' "${g[@]}" --speculation '{"kind": "draft", "model": "other/final"}'

[ $failed = 0 ] && echo ok
exit $failed
