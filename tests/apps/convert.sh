#!/usr/bin/env bash
# temper-convert from folder to GGUF and back, with an adapter merged in, and what it refuses.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/convert.sh
set -uo pipefail
convert=$(realpath "${TEMPER_BIN:?}")/temper-convert inspect=$(realpath "${TEMPER_BIN:?}")/temper-inspect
golden=$(realpath "${TEMPER_SOURCE:?}")/tests
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work" || exit 1
failed=0
fail() { echo "FAIL: $*"; failed=1; }
converts() { "$convert" "$@" 2> err || fail "$*: $(cat err)"; }
refuses() {  # PATTERN ARGUMENTS...: exit code 2, one line that matches, nothing left behind
  local pattern=$1 code before after
  shift
  before=$(find . | sort)
  "$convert" "$@" > out 2> err
  code=$?
  after=$(find . | grep -vE '^\./(out|err)$' | sort)
  [ $code = 2 ] || fail "$*: exit code $code, expected 2: $(cat err)"
  [ "$(wc -l < err)" = 1 ] || fail "$*: expected one line: $(cat err)"
  grep -qE -- "$pattern" err || fail "$*: \"$(cat err)\" does not match \"$pattern\""
  [ "$(grep -vE '^\./(out|err)$' <<< "$before")" = "$after" ] || fail "$*: left files behind: $after"
}

# GGUF -> folder -> GGUF -> folder: the weights stay the same bytes.
converts "$golden/model/golden/gguf/llama_linear.gguf" a
converts a b.gguf --to gguf
converts b.gguf c
cmp a/model.safetensors c/model.safetensors || fail "weights changed on the way through GGUF"
# tokenizer.json has no mark for GGUF's unused tokens, so the first way back may list the vocabulary otherwise; the ids are the
# same, and from then on the file is.
for folder in a c; do "$inspect" tokenize --model $folder --text 'A <tool> says: 12 + 7 = 19, naïve 🙂' > $folder.ids || fail "tokenize $folder"; done
cmp a.ids c.ids || fail "the tokenizer changed on the way through GGUF"
converts c round.gguf --to gguf
converts round.gguf e
cmp c/tokenizer.json e/tokenizer.json || fail "the tokenizer changed on the second way through GGUF"
converts a wide --dtype f32
[ "$(stat -c %s wide/model.safetensors)" -gt "$(stat -c %s a/model.safetensors)" ] || fail "--dtype f32 is no larger than bf16"

# GGUF takes the tokenizer's tokens and what it puts around a text as they are loaded, whichever files have them.
cp -r a named
python3 - named <<'PY' || fail "the folder with tokens in several files was not made"
import json, sys
path = sys.argv[1] + "/"
tokenizer = json.load(open(path + "tokenizer.json"))
del tokenizer["added_tokens"][0]  # <|end|> stays a piece; special_tokens_map.json makes it special
json.dump(tokenizer, open(path + "tokenizer.json", "w"))
json.dump({"add_bos_token": False, "add_eos_token": True}, open(path + "tokenizer_config.json", "w"))
json.dump({"eos_token": {"content": "<|end|>"}, "pad_token": "<|eot|>"}, open(path + "special_tokens_map.json", "w"))
json.dump({"<extra>": 119}, open(path + "added_tokens.json", "w"))
json.dump({"eos_token_id": [2, 0]}, open(path + "generation_config.json", "w"))
config = json.load(open(path + "config.json"))
open(path + "chat_template.jinja", "w").write("from the file")
PY
converts named named.gguf --to gguf
converts named.gguf back
python3 - back <<'PY' || fail "GGUF lost tokens of the folder's tokenizer"
import json, sys
path = sys.argv[1] + "/"
config, tokenizer = (json.load(open(path + name)) for name in ("tokenizer_config.json", "tokenizer.json"))
assert config["eos_token"] == "<|end|>" and config["pad_token"] == "<|eot|>", config
assert config["bos_token"] == "<|start|>" and config["add_bos_token"] and not config["add_eos_token"], config
assert config["chat_template"] == "from the file", config
special = {t["content"]: t["special"] for t in tokenizer["added_tokens"]}
assert special["<|end|>"] and special["<|eot|>"] and not special["<tool>"] and "<extra>" in special, special
assert json.load(open(path + "generation_config.json"))["eos_token_id"] == [0, 2]
PY

# A merged adapter computes what base and adapter compute together.
adapter=$golden/adapter/golden/names
base=$golden/model/golden/llama3
converts "$base" merged --adapter "$adapter"
grep -q 'largest change of a log-prob' err || fail "merging does not say what it changed"
sed -E 's/.*"ids": (\[[^]]*\]).*/{"ids": \1}/' "$adapter/golden.json" > ids.jsonl
"$inspect" logprob --model "$base" --adapter "$adapter" --dtype f32 --input ids.jsonl > with 2> err || fail "logprob: $(cat err)"
"$inspect" logprob --model merged --dtype f32 --input ids.jsonl > without 2> err || fail "logprob: $(cat err)"
python3 - with without <<'PY' || fail "the merged model computes something else"
import json, sys
a, b = (json.loads(open(f).readline())["logprobs"] for f in sys.argv[1:])
sys.exit(max(abs(x - y) for x, y in zip(a, b)) > 1e-4 or len(a) != len(b))
PY

# Mistral's window has no place in GGUF, which is told.
cp -r a window
cp "$golden/model/golden/mistral/"{config.json,model.safetensors} window
converts window window.gguf --to gguf
grep -q 'no sliding window' err || fail "the lost sliding window is not told: $(cat err)"

# What a quantisation costs is told, and stands in the card beside the files.
printf '{"text": "12 + 7 = 19, and 5 more are 24"}\n{"text": "A <tool> says: 3"}\n' > texts.jsonl
converts a few/a.gguf --to gguf --dtype q8_0 --perplexity sums=texts.jsonl --modelfile
grep -qE 'perplexity on sums \([0-9]+ tokens\): [0-9.]+ before, [0-9.]+ after' err || fail "perplexity is not told: $(cat err)"
converts a few/b.gguf --to gguf --perplexity sums=texts.jsonl
[ "$(grep -cE '^\| [ab]\.gguf \|' few/README.md)" = 2 ] && [ "$(grep -c '^## GGUF files' few/README.md)" = 1 ] || fail "the card: $(cat few/README.md)"
python3 - few/README.md <<'PY' || fail "the same weights have another perplexity: $(cat few/README.md)"
import sys
rows = {r[0]: r for r in ([c.strip() for c in line.strip("| \n").split("|")] for line in open(sys.argv[1]) if line.startswith("| ")) if r[0].endswith(".gguf")}
before, after = (float(x) for x in rows["b.gguf"][-2:])
assert before == after, rows
assert abs(float(rows["a.gguf"][-1]) / before - 1) < 0.2, rows
PY
refuses 'perplexity is about a GGUF' a d --perplexity texts.jsonl
refuses 'there is no such file' a d.gguf --to gguf --perplexity nothing.jsonl
echo '{"no": "text"}' > odd.jsonl
refuses 'odd.jsonl:1' a d.gguf --to gguf --perplexity odd.jsonl

# A run for Weights & Biases.
mkdir run && echo '{"task": "sft"}' > run/config.json && echo '{"step":1,"split":"train","loss":0.5,"time":{"seconds":1}}' > run/metrics.jsonl
converts log run --wandb wandb
ls wandb/offline-run-*/run-*.wandb > out || fail "no offline run: $(find wandb)"
refuses 'is there already' log run --wandb wandb
refuses 'give --wandb FOLDER, --mlflow URL' log run
refuses 'no run folder' log nowhere --wandb wandb

# An empty folder is a fine target; anything else is not touched.
mkdir empty && converts a empty && [ -f empty/config.json ] || fail "an empty target folder was not used"
refuses 'is there already' a c
refuses 'is there already' a b.gguf --to gguf
refuses 'no such file' nothing d
refuses 'dtype: expected f32, bf16 or f16' a d --dtype int4
refuses 'config\.json' "$golden" d
head -c 3000 b.gguf > torn.gguf
refuses 'not a valid GGUF file' torn.gguf d
refuses 'does not begin with GGUF' a/config.json d
refuses 'no adapter_config\.json' a d --adapter a
refuses 'expected shape|rank for it|belongs to nothing|is missing|holds no LoRA' "$base" d --adapter "$golden/adapter/golden/all_linear"
refuses 'needs a tokenizer' "$base" d.gguf --to gguf
[ $failed = 0 ] && echo "convert: all as it should be"
exit $failed
