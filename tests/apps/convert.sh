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
