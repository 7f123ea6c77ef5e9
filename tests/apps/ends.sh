#!/usr/bin/env bash
# What ends an answer, how a model wants to be sampled, and what of it is saved; options that may be given twice.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/ends.sh
set -uo pipefail
bin=$(realpath "${TEMPER_BIN:?}")
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0
fail() { echo "FAIL: $*"; failed=1; }
json() { python3 -c "import json, sys; j = json.load(open(sys.argv[1])); print(json.dumps($2))" "$1"; }

for i in 1 2 3 4 5 6 7 8; do echo "{\"prompt\": \"go $i\", \"completion\": \" yes ok\"}"; done > train.jsonl
cat > first.json <<JSON
{ "task": "sft", "threads": 1,
  "model": {"dtype": "f32", "init": {"vocab": 280, "hidden": 32, "intermediate": 64, "layers": 2, "heads": 2, "kv_heads": 1, "max_positions": 64}},
  "data": {"train": ["train.jsonl"], "max_tokens": 60}, "optimizer": {"lr": 0.01}, "schedule": {"name": "constant"},
  "train": {"steps": 1, "batch_size": 8}, "checkpoint": {"every": 0}, "run": "first" }
JSON
"$bin/temper-train" first.json --quiet || { echo "FAIL: the model that this test needs could not be made"; exit 1; }
eos=$(json first/final/generation_config.json 'j["eos_token_id"]')
# A base model whose own end is another token than its tokenizer's, with its ways of sampling.
cp -r first/final base
other=$(python3 -c "print(200)")
for file in config generation_config; do
  python3 - base/$file.json "$other" <<'PY'
import json, sys
j = json.load(open(sys.argv[1])); j["eos_token_id"] = int(sys.argv[2])
if "generation" in sys.argv[1]: j.update(do_sample=True, temperature=0.25, top_p=0.5)
json.dump(j, open(sys.argv[1], "w"))
PY
done
[ "$eos" != "$other" ] || fail "the test's model ends with $other already"

tune() { "$bin/temper-train" first.json --set 'model={"path": "base", "dtype": "f32"}' --set train.steps=$1 --run $2 --quiet "${@:3}" || fail "training $2"; }
tune 80 full
tune 60 lora --set 'adapter={"kind": "lora", "rank": 8}' --set health.max_bad_in_a_row=1000
answer() { "$bin/temper-generate" --prompt "go 3" --output got.jsonl --temperature 0 --max-new-tokens 16 --threads 1 --dtype f32 "$@" || fail "generate $*"; }
ends() {  # WHAT: the answer in got.jsonl was ended, behind its last word
  [ "$(json got.jsonl '[[c["finish"], c["text"][-3:]] for c in j["completions"]]')" = '[["end", " ok"]]' ] || fail "$1: $(cat got.jsonl)"
}
joined="[[$eos, $other], true, 0.25, 0.5]"
sampled='[j["eos_token_id"], j.get("do_sample"), j.get("temperature"), j.get("top_p")]'
for run in full lora; do
  [ "$(json $run/final/generation_config.json "$sampled")" = "$joined" ] || fail "$run/final: $(cat $run/final/generation_config.json)"
done
answer --model full/final; ends "full"
answer --model base --adapter lora/final; ends "an adapter"
rm base/tokenizer_config.json base/special_tokens_map.json  # the base's own tokenizer then knows no end: the adapter's folder does
answer --model base --adapter lora/final; ends "an adapter's own end ids"
cp first/final/*token* base
"$bin/temper-convert" base merged --adapter lora/final 2> err || fail "merging: $(cat err)"
[ "$(json merged/generation_config.json "$sampled")" = "$joined" ] || fail "merged: $(cat merged/generation_config.json)"
answer --model merged; ends "a merged adapter"
"$bin/temper-convert" full/final full.gguf --to gguf 2> err && "$bin/temper-convert" full.gguf back 2> err || fail "through GGUF: $(cat err)"
[ "$(json back/generation_config.json 'j["eos_token_id"]')" = "[$eos, $other]" ] || fail "through GGUF: $(cat back/generation_config.json)"

# Adapters of folders that are called alike: a weighted sum as one folder, and moving on from another model.
"$bin/temper-convert" base both --adapter lora/final@.5 --adapter ./lora/final@.5 --adapter-only 2> err || fail "--adapter-only: $(cat err)"
[ -f both/adapter_config.json ] && [ -f both/adapter_model.safetensors ] && [ ! -e both/model.safetensors ] || fail "--adapter-only: $(ls both)"
answer --model base --adapter both; ends "a sum of adapters"
answer --model base --adapter lora/final@.5 --adapter ./lora/final@.5; ends "two adapters of one name"
"$bin/temper-convert" base moved --merge expo --with full/final --set alpha=0.01 2> err || fail "--merge expo: $(cat err)"
answer --model moved; ends "moved weights"
"$bin/temper-convert" merged apart --adapter lora/final --unmerge 2> err || fail "--unmerge: $(cat err)"
find . -name '*.tmp' | grep -q . && fail "temporary folders are left: $(find . -name '*.tmp')"

# A chat samples as the model says unless the command line says otherwise, and says so.
chat() { echo hello | "$bin/temper-generate" --model full/final --chat --threads 1 --max-new-tokens 8 "$@" > out 2> err || fail "chat $*: $(cat err)"; }
chat; grep -qF 'generation_config.json says: temperature 0.25, top_p 0.5' err || fail "a chat does not say how it samples: $(cat err)"
chat --temperature 0; grep -q 'says: top_p 0.5' err && ! grep -q 'temperature 0.25' err || fail "a chat's own options: $(cat err)"

# Lists may be given again and again; log-probs of greedy answers are the model's.
answer --model full/final --stop zzz --stop ok; [ "$(json got.jsonl '[j["completions"][0]["text"], j["completions"][0]["finish"]]')" = '[" yes ", "stop"]' ] || fail "two --stop: $(cat got.jsonl)"
answer --model full/final --ban yes --ban ok; [ "$(json got.jsonl 'any(w in j["completions"][0]["text"] for w in ("yes", "ok"))')" = false ] || fail "two --ban: $(cat got.jsonl)"
"$bin/temper-eval" --model full/final --data train.jsonl --reward '{"kind": "exact", "column": "completion"}' --stop zzz --stop ok --ban q --ban x --max-new-tokens 8 --threads 1 --output eval.jsonl --quiet > out 2> err || fail "eval: $(cat err)"
[ "$(head -n 1 eval.jsonl | python3 -c 'import json, sys; print(json.loads(sys.stdin.readline())["completion"])')" = " yes " ] || fail "two --stop of temper-eval: $(head -n 1 eval.jsonl)"
answer --model full/final --logprobs
python3 - got.jsonl <<'PY' || fail "log-probs of a greedy answer: $(cat got.jsonl)"
import json, sys
c = json.load(open(sys.argv[1]))["completions"][0]
sys.exit(not all(-1 < x < 0 for x in c["logprobs"]))
PY

# Of an empty prompt, what it lacks.
"$bin/temper-generate" --model full/final --prompt "" --threads 1 --max-new-tokens 4 > out 2> err
code=$?
[ $code = 0 ] || { [ $code = 2 ] && grep -q 'prompt is empty' err; } || fail "an empty prompt: $code $(cat err)"
"$bin/temper-generate" --model full/final --threads 1 2> err; grep -q 'found 0' err || fail "no prompt at all: $(cat err)"
[ $failed = 0 ] && echo "ends: all as it should be"
exit $failed
