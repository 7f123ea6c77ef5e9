#!/usr/bin/env bash
# temper-inspect objective: one batch, and a file of batches a line with settings of their own.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/objective.sh
set -euo pipefail
bin=${TEMPER_BIN:?}
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
fail() { echo "FAIL: $*"; exit 1; }

batch='"sequences": [{"logp": [-0.5, -1.2], "logp_old": [-0.9, -1.0], "advantage": 1}, {"logp": [-2.0], "logp_old": [-1.3], "advantage": -1}]'
echo "{$batch}" > "$work/one.json"
printf '{%s}\n\n{%s, "set": {"clip_high": 10, "clip_low": 1}}\n' "$batch" "$batch" > "$work/many.jsonl"
"$bin/temper-inspect" objective grpo --input "$work/one.json" > "$work/one.out"
"$bin/temper-inspect" objective policy/grpo --input "$work/many.jsonl" --set clip_high=0.2 > "$work/many.out"
[ "$(wc -l < "$work/many.out")" = 2 ] || fail "two batches gave $(wc -l < "$work/many.out") lines"
cmp "$work/one.out" <(head -n 1 "$work/many.out") || fail "a batch of a file differs from the same batch alone"
cmp -s "$work/one.out" <(tail -n 1 "$work/many.out") && fail "a line's own settings changed nothing"
"$bin/temper-inspect" objective grpo --input "$work/one.json" --set clip_high=10 --set clip_low=1 > "$work/wide.out"
cmp "$work/wide.out" <(tail -n 1 "$work/many.out") || fail "a line's own settings differ from the same by --set"

refused() {  # text command...
  local text=$1
  shift
  "$@" > "$work/out" 2> "$work/err" && fail "not refused: $*"
  [ "$(wc -l < "$work/err")" = 1 ] && grep -qF "$text" "$work/err" || fail "$*: $(cat "$work/err")"
}
echo '{"sequences": [{"logp": [-0.5, -1.2]}]}' >> "$work/many.jsonl"
refused 'many.jsonl:4: sequences.0: "logp_old" is missing' "$bin/temper-inspect" objective grpo --input "$work/many.jsonl"
printf '{%s, "set": 3}\n' "$batch" > "$work/bad.jsonl"
refused 'bad.jsonl:1: "set": expected an object' "$bin/temper-inspect" objective grpo --input "$work/bad.jsonl"
refused 'did you mean "simpo"' "$bin/temper-inspect" list objective simppo
refused 'the kinds are objective' "$bin/temper-inspect" list algorithm
"$bin/temper-inspect" list objective preference/dpo | grep -q '"family":"preference"' || fail "list objective preference/dpo"
echo "ok"
