#!/usr/bin/env bash
# Every shipped config parses, can be planned, and opens with a comment that holds the command that runs it.
#   TEMPER_BIN=build/bin TEMPER_SOURCE=. tests/apps/configs.sh
set -uo pipefail
bin=$(realpath "${TEMPER_BIN:?}") source=$(realpath "${TEMPER_SOURCE:?}")
work=$(mktemp -d)
export XDG_CACHE_HOME=$work/cache
trap 'rm -rf "$work"' EXIT
failed=0 count=0
fail() { echo "FAIL: $*"; failed=1; }

# A teacher may come from an earlier run or from the network; then a small one stands in, and its tokenizer with it.
small_teacher() {
  [ -e "$work/small/final" ] && return
  cat > "$work/small.json" <<JSON
{ "task": "sft", "model": {"init": {"vocab": 400, "hidden": 32, "intermediate": 64, "layers": 2, "heads": 2, "kv_heads": 1, "max_positions": 512}},
  "data": {"train": ["$source/data/arithmetic/train.jsonl"], "max_tokens": 256}, "train": {"steps": 1, "batch_size": 2}, "run": "small" }
JSON
  "$bin/temper-train" "$work/small.json" --set threads=1 --quiet || fail "a small teacher could not be trained"
}

init='model.init={"vocab": 512, "hidden": 32, "intermediate": 64, "layers": 2, "heads": 2, "kv_heads": 1}'
while IFS= read -r file; do
  name=${file#"$source/"}
  count=$((count + 1))
  [[ $name == */base/* ]] && continue  # layers that others extend
  if [[ $name == configs/merge/* ]]; then  # recipes of temper-convert: nothing is wrong but that no model is there yet
    "$bin/temper-convert" --merge "$file" "$work/merged" 2> "$work/err"
    grep -qE 'expected a model folder, found nothing$' "$work/err" && [ "$(wc -l < "$work/err")" = 1 ] || fail "$name: $(cat "$work/err")"
    grep -q "temper-convert --merge $name" "$file" || fail "$name: its opening comment lacks \"temper-convert --merge $name\""
    continue
  fi
  # What a config names may come from an earlier run or from the network; nothing else may be wrong with it.
  "$bin/temper-inspect" config "$file" > "$work/out" 2> "$work/err" ||
    { [ -s "$work/err" ] && ! grep -v ': there is no such file or folder$' "$work/err"; } ||
    fail "$name: $(cat "$work/err")"
  missing=$(sed -n 's/.*: model\.path: \(.*\): there is no such file or folder$/\1/p' "$work/err")
  # The comment before the first field.
  sed -E '/^[{ ]*"/,$d' "$file" > "$work/opening"
  grep -q '//' "$work/opening" || fail "$name: does not open with a comment"
  grep -qF "temper-train $name" "$work/opening" || fail "$name: its opening comment lacks \"temper-train $name\""
  grep -qE '[0-9] ?(s|min|h|hours?)\b' "$work/opening" || fail "$name: its opening comment does not say how long it takes"
  grep -qE '[0-9] ?(MB|GB)\b' "$work/opening" || fail "$name: its opening comment does not say how much memory it takes"
  # A small model stands in for one that is missing.
  swap=()
  if [[ $name == configs/distill/* ]]; then
    small_teacher
    swap=(--set "teachers.0.path=$work/small/final" --set "model.init.tokenizer=$work/small/final")
    "$bin/temper-train" "$file" "${swap[@]}" --set train.steps=1 --set train.batch_size=2 --set eval.every=0 --set threads=1 \
      --run "$work/first-$count" --quiet 2> "$work/err" || fail "$name: first step: $(cat "$work/err")"
  fi
  if [[ $name == configs/rounds/* ]]; then
    small_teacher
    "$bin/temper-train" "$file" --set "model.path=$work/small/final" --plan > "$work/out" 2> "$work/err" || fail "$name --plan: $(cat "$work/err")"
  elif [ -z "$missing" ]; then
    "$bin/temper-train" "$file" "${swap[@]}" --plan > "$work/out" 2> "$work/err" || fail "$name --plan: $(cat "$work/err")"
  else
    "$bin/temper-train" "$file" --set 'model.path=""' --set "$init" --plan > "$work/out" 2> "$work/err" ||
      fail "$name --plan with a model from random weights: $(cat "$work/err")"
  fi
  grep -q '"peak_bytes": [1-9]' "$work/out" || fail "$name: the plan lacks a peak of memory"
done < <(find "$source/configs" -name '*.json' | sort)
[ "$count" -gt 0 ] || fail "no configs found in $source/configs"
[ $failed = 0 ] && echo "$count configs parse and can be planned"
exit $failed
