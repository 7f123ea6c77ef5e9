#!/usr/bin/env bash
# Tokens that a run adds: full and adapter runs learn and save them, a continued run ends in the same bytes, what cannot learn
# them says so.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/new_tokens.sh
. "$(dirname "$0")/shared/tiny.sh"
tiny_model
go_on
tokens='["<plan>", {"token": "<|done|>", "special": true, "like": "pens"}]'
for i in 1 2 3 4 5 6 7 8; do echo "{\"prompt\":\"Count to $i: \",\"completion\":\"<plan>$i<|done|>\"}"; done > data.jsonl
config() {  # FILE ADAPTER STEPS
  cat > "$1" <<JSON
{ "task": "sft", "threads": 1, "seed": 3, "model": {"path": "sft/final", "dtype": "f32", "add_tokens": $tokens},
  "adapter": $2, "data": {"train": ["data.jsonl"], "max_tokens": 64},
  "optimizer": {"name": "adamw", "lr": 5e-3}, "train": {"steps": $3, "batch_size": 8}, "checkpoint": {"every": 10}, "run": "unused" }
JSON
}
config full.json '{"kind": "full"}' 60
config lora.json '{"kind": "lora", "rank": 4}' 60

rows=$(python3 -c 'import json; print(json.load(open("sft/final/config.json"))["vocab_size"])')

"$bin/temper-train" full.json --run full --quiet || fail "a full run"
python3 - full/final $((rows + 2)) <<'PY' || fail "full/final"
import json, struct, sys
folder, rows = sys.argv[1], int(sys.argv[2])
assert json.load(open(folder + "/config.json"))["vocab_size"] == rows
with open(folder + "/model.safetensors", "rb") as f:
    header = json.loads(f.read(struct.unpack("<Q", f.read(8))[0]))
assert header["model.embed_tokens.weight"]["shape"][0] == rows, header
assert "<plan>" in open(folder + "/tokenizer_config.json").read()
PY
answer() { "$bin/temper-generate" "$@" --dtype f32 --prompt "Count to 5: " --temperature 0 --max-new-tokens 6 --logprobs --output answer.jsonl && cat answer.jsonl; }
answer --model full/final > told || fail "full/final does not answer"
grep -q '<plan>' told || fail "the full run did not learn <plan>: $(cat told)"
ids=$("$bin/temper-inspect" tokenize --model full/final --text 'a<plan>b')
python3 -c "import json,sys; assert $rows in json.loads(sys.argv[1])['ids']" "$ids" || fail "tokenize: $ids"

"$bin/temper-train" lora.json --run lora --quiet 2> said || fail "a LoRA run: $(cat said)"
grep -q 'embed_tokens' lora/final/adapter_config.json || fail "the adapter does not save its embedding: $(cat lora/final/adapter_config.json)"
answer --model sft/final --adapter lora/final > told || fail "lora/final does not answer"
grep -q '<plan>' told || fail "the LoRA run did not learn <plan>: $(cat told)"
"$bin/temper-convert" sft/final merged --adapter lora/final 2> said || fail "merging: $(cat said)"
answer --model merged > merged.told || fail "the merged model does not answer"
grep -q '<plan>' merged.told || fail "the merged model lost <plan>: $(cat merged.told)"

# A server has them, of an adapter that it starts with.
"$bin/temper-serve" lora --port 0 > serve.out 2> serve.err &
server=$!
for _ in $(seq 300); do grep -q listening serve.out && break; sleep 0.1; done
python3 - "$(sed -n 's/.* on \(http[^ ]*\).*/\1/p' serve.out)" <<'PY' || fail "temper-serve lora: $(cat serve.err)"
import json, sys, urllib.request
body = {"model": "lora", "prompt": "Count to 5: ", "temperature": 0, "max_tokens": 6}
request = urllib.request.Request(sys.argv[1] + "v1/completions", json.dumps(body).encode(), {"Content-Type": "application/json"})
text = json.load(urllib.request.urlopen(request))["choices"][0]["text"]
assert "<plan>" in text and "<|done|>" not in text, text
PY
kill "$server"; wait "$server"

# Stopped half-way and continued.
for kind in full lora; do
  config half.json "$(python3 -c "import json; print(json.dumps(json.load(open('$kind.json'))['adapter']))")" 60
  "$bin/temper-train" half.json --run half --quiet &
  run=$!
  while ! compgen -G 'half/checkpoints/step-*/DONE' > /dev/null && kill -0 $run 2> /dev/null; do sleep 0.02; done
  kill -9 $run 2> /dev/null
  wait $run 2> /dev/null
  "$bin/temper-train" half.json --run half --quiet 2> said || fail "continuing a $kind run: $(cat said)"
  diff -r half/final $kind/final > differs || fail "a continued $kind run ends otherwise: $(cat differs)"
  rm -rf half
done

"$bin/temper-train" full.json --plan > plan 2>&1 || fail "--plan: $(cat plan)"

expect "is a token of" "$bin/temper-train" full.json --set 'model.add_tokens=["<|im_end|>"]' --run run
expect "trains no embeddings" "$bin/temper-train" full.json --set 'adapter={"kind": "ia3"}' --run run
expect "expected a list" "$bin/temper-train" full.json --set 'model.add_tokens={"a": 1}' --run run
expect "stands there twice" "$bin/temper-train" full.json --set 'model.add_tokens=["<a>", "<a>"]' --run run
[ "$failed" = 0 ] && echo "ok"
exit "$failed"
